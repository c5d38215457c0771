"""Train one member of a population in this process: `python -m unbraid.engine.member_worker NAME`.

Reads its work from the standard input, where `cpu_population` writes it.
"""

from __future__ import annotations

import pickle
import sys
import time
from multiprocessing import process, spawn
from typing import Any

from unbraid.engine.trainer import train
from unbraid.engine.workers import (
    GRACE_SECONDS,
    Progress,
    report_failures,
    report_progress,
    start_worker,
)
from unbraid.errors import UnbraidError
from unbraid.files import directory_lock
from unbraid.runs.run import WORKER_LOCK

PROGRESS_SECONDS = 0.5


class _ReportedProgress:
    """Progress bar of the trainer that reports to the parent process."""

    def __init__(self, *, initial: int, total: int, **_: Any) -> None:
        self._step, self._steps, self._status = initial, total, ""
        self._reported_at = 0.0

    def update(self, steps: int) -> None:
        self._step += steps
        if time.monotonic() - self._reported_at > PROGRESS_SECONDS:
            report_progress(Progress(self._step, self._steps, self._status))
            self._reported_at = time.monotonic()

    def set_postfix_str(self, status: str) -> None:
        self._status = status

    def close(self) -> None:
        pass


def main() -> int:
    """Train the member and return 0, 2 if it failed, or 130 if it was stopped."""
    # As in processes of `multiprocessing`: a script without a `__main__` guard, which would start
    # workers without end, is refused.
    vars(process.current_process())["_inheriting"] = True
    spawn.prepare(pickle.load(sys.stdin.buffer))
    run, config, table, kwargs = pickle.load(sys.stdin.buffer)
    del vars(process.current_process())["_inheriting"]
    start_worker()
    try:
        # A worker whose parent was killed may still be writing its checkpoint.
        with directory_lock(run.path, WORKER_LOCK, timeout=GRACE_SECONDS):
            train(config, table, run.path, resume=True, progress_bar=_ReportedProgress, **kwargs)
    except UnbraidError as error:
        report_failures({run.path.name: str(error)})
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
