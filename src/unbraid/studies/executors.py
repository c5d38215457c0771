"""Where a study's runs are carried out: here, by worker processes, or as an executor of its own.

An executor takes jobs, hands back results as they come, and is told to stop.
"""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol, runtime_checkable

from unbraid.engine.workers import cores
from unbraid.errors import UserError
from unbraid.studies.store import Store
from unbraid.studies.study import Job, Study
from unbraid.studies.supervise import supervise


@runtime_checkable
class Executor(Protocol):
    """Carries out jobs somewhere."""

    place: str

    def start(self, jobs: list[Job], study: Study, store: Store) -> None:
        """Begin with the jobs, in their order."""
        ...

    def collect(self, seconds: float) -> list[dict[str, Any]]:
        """Results that came since the last call, after waiting for at most so long."""
        ...

    def stop(self) -> None:
        """End every worker, with a checkpoint."""
        ...


class Local:
    """Worker processes on this machine, one thread each."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = cores() if workers is None else workers
        if self.workers < 1:
            raise UserError(f"workers={self.workers}: runs need a worker; give --workers 1 or more")
        self.place = f"{self.workers} worker{'s' if self.workers > 1 else ''} on this machine"
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(self.workers)
        self._futures: set[Future[dict[str, Any]]] = set()

    def start(self, jobs: list[Job], study: Study, store: Store) -> None:
        for job in jobs:
            future = self._pool.submit(
                supervise,
                job,
                store.run(job).path,
                retries=study.retries,
                patience=study.patience,
                stop=self._stop,
            )
            self._futures.add(future)

    def collect(self, seconds: float) -> list[dict[str, Any]]:
        finished, self._futures = wait(self._futures, seconds, FIRST_COMPLETED)
        return [future.result() for future in finished]

    def stop(self) -> None:
        self._stop.set()
        # What ended well in the meantime is in its run directory, and gathered at the next start.
        self._pool.shutdown(cancel_futures=True)
