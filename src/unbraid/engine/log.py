"""Training log of a run: log.jsonl, TensorBoard events and the progress bar."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from typing import Any, Protocol

from tqdm import tqdm

from unbraid.files import write_errors, written_atomically
from unbraid.runs.records import LogRecord
from unbraid.runs.run import Run

REMEDY = "the last checkpoint is kept; free disk space and resume the run"


class ProgressBar(Protocol):
    """The methods of `tqdm` that the log uses."""

    def update(self, steps: int, /) -> Any:
        """Advance by a number of steps."""

    def set_postfix_str(self, status: str, /) -> Any:
        """Set the text after the bar."""

    def close(self) -> Any:
        """Remove the bar."""


class Log:
    """Log of one training session.

    Records after `step`, which a killed session may have written, are removed.

    Parameters
    ----------
    run : Run
        Run directory.
    step : int
        Steps done before this session.
    steps : int
        Steps of the whole run.
    progress_bar : callable, optional
        Makes a `ProgressBar` from the keyword arguments of `tqdm`, which is the default.

    Raises
    ------
    UserError or StorageError
        If the log cannot be written; also raised by every method.
    """

    def __init__(
        self, run: Run, step: int, steps: int, progress_bar: Callable[..., ProgressBar] = tqdm
    ) -> None:
        self._run = run
        records = [record for record in run.read_log() if record["step"] <= step]
        with written_atomically(run.log_file) as file:
            file.write("".join(json.dumps(record) + "\n" for record in records).encode())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from torch.utils.tensorboard import SummaryWriter
        with write_errors(run.path, REMEDY):
            self._file = run.log_file.open("a", encoding="utf-8")
            self._events = SummaryWriter(str(run.events_folder), purge_step=step + 1)
        self._bar = progress_bar(total=steps, initial=step, desc=run.path.name, unit="step")

    def advance(self, steps: int) -> None:
        """Advance the progress bar by a number of steps."""
        self._bar.update(steps)

    def write(self, record: LogRecord) -> None:
        """Write a record to the log, the events and the progress bar."""
        with write_errors(self._run.path, REMEDY):
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
        """Write everything to the disk."""
        with write_errors(self._run.path, REMEDY):
            self._events.flush()
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the files and the progress bar."""
        self._bar.close()
        with write_errors(self._run.path, REMEDY):
            self._events.close()
            self._file.close()
