"""Where a study's runs are carried out: here, by worker processes, or as an executor of its own.

An executor takes jobs, hands back results as they come, and is told to stop.
"""

from __future__ import annotations

import os
import queue
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol, runtime_checkable

from unbraid.engine.workers import cores
from unbraid.errors import UserError
from unbraid.runs.device import usable_device
from unbraid.studies.store import Store
from unbraid.studies.study import Job, Study, populations
from unbraid.studies.supervise import supervise

# Of a population on one GPU: a table's ten seeds.
MEMBERS = 10


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


def members_of(device: str, members: int | None) -> int:
    """How many members a worker takes, by default one on a core and MEMBERS on a GPU."""
    if members is not None and members < 1:
        raise UserError(f"members={members}: a population has members; give --members 1 or more")
    return members or (1 if device == "cpu" else MEMBERS)


class Local:
    """Worker processes on this machine: one thread each, or one GPU with a population on it."""

    def __init__(
        self, workers: int | None = None, device: str = "cpu", members: int | None = None
    ) -> None:
        self._device, self._members = device, members_of(device, members)
        gpus = [] if device == "cpu" else _gpus()
        self.workers = (len(gpus) or cores()) if workers is None else workers
        if self.workers < 1:
            raise UserError(f"workers={self.workers}: runs need a worker; give --workers 1 or more")
        many = "s" if self.workers > 1 else ""
        used = min(self.workers, len(gpus))
        where = f"on {used} of its GPUs" if gpus else "on this machine"
        self.place = f"{self.workers} worker{many} {where}"
        # What each worker that is started takes, and gives back.
        self._places: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        for number in range(self.workers):
            only = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
            self._places.put(only)
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(self.workers)
        self._futures: set[Future[list[dict[str, Any]]]] = set()

    def start(self, jobs: list[Job], study: Study, store: Store) -> None:
        for population in populations(jobs, self._members):
            self._futures.add(self._pool.submit(self._carry_out, population, study, store))

    def collect(self, seconds: float) -> list[dict[str, Any]]:
        finished, self._futures = wait(self._futures, seconds, FIRST_COMPLETED)
        return [result for future in finished for result in future.result()]

    def stop(self) -> None:
        self._stop.set()
        # What ended well in the meantime is in its run directory, and gathered at the next start.
        self._pool.shutdown(cancel_futures=True)

    def _carry_out(self, population: list[Job], study: Study, store: Store) -> list[dict[str, Any]]:
        place = self._places.get()
        try:
            return supervise(
                population,
                store.path,
                device=self._device,
                retries=study.retries,
                hang_timeout_minutes=study.hang_timeout_minutes,
                stop=self._stop,
                environment=place,
            )
        finally:
            self._places.put(place)


def _gpus() -> list[str]:
    """What each GPU that this process may use is called."""
    import torch

    # Asked without making anything on it: each GPU is left to its worker.
    number = torch.cuda.device_count()
    if not number:
        usable_device("cuda")
    told = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    named = [one.strip() for one in told.split(",") if one.strip()]
    return (named or [str(one) for one in range(number)])[:number]
