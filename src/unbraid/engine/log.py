"""What a run writes as it goes: log.jsonl, TensorBoard events and the progress bar."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from unbraid.files import written_atomically
from unbraid.runs.run import Run


class Log:
    """The log of one run, continued after `step`: later records of a killed run are dropped.

    `bar` makes the progress bar: tqdm, or what takes its arguments and has its methods.
    """

    def __init__(self, run: Run, step: int, steps: int, bar: Callable[..., Any] = tqdm) -> None:
        records = [r for r in run.read_log() if r["step"] <= step]
        with written_atomically(run.log_file) as file:
            file.write("".join(json.dumps(r) + "\n" for r in records).encode())
        self._file = run.log_file.open("a")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from torch.utils.tensorboard import SummaryWriter
        self._events = SummaryWriter(str(run.events_folder), purge_step=step + 1)
        self._bar = bar(total=steps, initial=step, desc=run.path.name, unit="step")

    def tick(self, steps: int) -> None:
        """So many more steps are done."""
        self._bar.update(steps)

    def write(self, record: dict[str, Any]) -> None:
        """Add a record to the log, the events and the bar."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        for name, value in record.items():
            values = value if isinstance(value, list) else [value]
            for i, v in enumerate(values):
                if name != "step":
                    tag = f"{name}/{i}" if isinstance(value, list) else name
                    self._events.add_scalar(tag, v, record["step"])
        kl = " ".join(f"{nats:.1f}" for nats in record["kl"])
        self._bar.set_postfix_str(f"reconstruction {record['reconstruction']:.1f} nats, KL {kl}")

    def flush(self) -> None:
        """Bring everything written so far to the disk."""
        self._events.flush()
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._bar.close()
        self._events.close()
        self._file.close()
