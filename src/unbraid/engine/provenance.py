"""Record of every training session in provenance.json."""

from __future__ import annotations

import contextlib
import datetime
import json
import platform
import time
from collections.abc import Iterator

import torch

import unbraid
from unbraid.engine.state import State
from unbraid.files import written_atomically
from unbraid.runs.precision import flushes_denormals
from unbraid.runs.records import SessionRecord
from unbraid.runs.run import Run


@contextlib.contextmanager
def recorded_session(run: Run, state: State, members: int) -> Iterator[None]:
    """Add a training session to provenance.json when the block ends, however it ends."""
    run.read_provenance()  # A damaged file is reported before the training, not after it.
    first_step = state.step
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    started_at = time.monotonic()
    try:
        yield
    finally:
        record = SessionRecord(
            from_step=first_step,
            started=started,
            unbraid=unbraid.__version__,
            torch=torch.__version__,
            python=platform.python_version(),
            machine=f"{platform.system()} {platform.machine()}",
            device=str(state.device),
            threads=torch.get_num_threads(),
            flush_denormal=flushes_denormals(),
        )
        if members > 1:
            record["members"] = members
        record["to_step"] = state.step
        record["seconds"] = round(time.monotonic() - started_at, 1)
        with written_atomically(run.provenance_file) as file:
            file.write(json.dumps([*run.read_provenance(), record], indent=2).encode())
