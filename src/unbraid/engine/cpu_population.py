"""Members of a population on a CPU: a worker process of one thread for each."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Mapping
from multiprocessing import spawn
from typing import Any

from tqdm import tqdm

from unbraid.data.images import ImageTable
from unbraid.engine.workers import WorkerProcess, num_cores
from unbraid.runs.config import Config
from unbraid.runs.interrupt import deferred_signals
from unbraid.runs.run import Run

COMMAND = (sys.executable, "-m", "unbraid.engine.member_worker")
POLL_SECONDS = 0.1


def train_each(
    members: Mapping[Run, Config],
    table: ImageTable,
    max_workers: int | None,
    **kwargs: Any,
) -> dict[str, str]:
    """Train each member in a process of its own and return the failures.

    Parameters
    ----------
    members : mapping
        Configuration of each run directory.
    table : ImageTable
        Dataset of all members.
    max_workers : int or None
        Number of processes that run at the same time; None for one per core.
    **kwargs
        Further arguments of `train`.

    Returns
    -------
    dict
        Reason of each failure, by the name of the member's directory.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, when every member has written its checkpoint.
    """
    max_workers = max_workers or num_cores()
    waiting = list(members.items())
    running: list[_Member] = []
    failures: dict[str, str] = {}
    with deferred_signals() as stop, tqdm(total=len(members), desc="members", unit="member") as bar:
        try:
            while running or waiting:
                if stop:
                    raise KeyboardInterrupt
                while waiting and len(running) < max_workers:
                    position = min(set(range(1, max_workers + 1)) - {m.position for m in running})
                    running.append(_Member(*waiting.pop(0), table, kwargs, position))
                time.sleep(POLL_SECONDS)
                for member in [member for member in running if member.has_ended()]:
                    running.remove(member)
                    bar.update(member.worker.exit_code == 0)
                    if member.worker.exit_code:
                        failures[member.name] = member.worker.reason(member.name) or "unknown"
        finally:
            for member in running:
                member.worker.request_stop()
            for member in running:
                member.stop()
    return failures


class _Member:
    """Worker process of a member, and its progress bar in a line of the terminal."""

    def __init__(
        self, run: Run, config: Config, table: ImageTable, kwargs: dict[str, Any], position: int
    ) -> None:
        self.name, self.position = run.path.name, position
        # As for processes of `multiprocessing`: a method that a script defines is found there.
        preparation = spawn.get_preparation_data(self.name)
        preparation.pop("authkey", None)
        work = pickle.dumps(preparation) + pickle.dumps((run, config, table, kwargs))
        self.worker = WorkerProcess((*COMMAND, self.name), work)
        self._bar = tqdm(desc=self.name, unit="step", position=position, leave=False)

    def has_ended(self) -> bool:
        """Show the progress; return whether the process has ended, which is then cleaned up."""
        if self.worker.progress is not None:
            self._bar.n, self._bar.total, status = self.worker.progress
            self._bar.set_postfix_str(status)
        ended = self.worker.exit_code is not None
        if ended:
            self.stop()
        return ended

    def stop(self) -> None:
        """End the process and remove the progress bar."""
        self.worker.stop()
        self._bar.close()
