"""Executors: where the runs of a study are trained. Here: by worker processes on this machine."""

from __future__ import annotations

import os
import queue
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol, runtime_checkable

from unbraid.engine.workers import num_cores
from unbraid.errors import ArgumentError
from unbraid.runs.device import usable_device
from unbraid.studies.store import Store
from unbraid.studies.study import Job, Study, populations
from unbraid.studies.supervise import supervise

# Members of a population on a GPU by default: the ten seeds of a row.
MEMBERS = 10


@runtime_checkable
class Executor(Protocol):
    """Trains and scores the jobs of a study.

    Attributes
    ----------
    place : str
        Description of the workers.
    device : str
        Device of torch.
    workers : int
        Number of workers.
    runs_on_this_cpu : bool
        Whether the workers use the CPU of this machine.
    """

    place: str
    device: str
    workers: int
    runs_on_this_cpu: bool

    def start(self, jobs: list[Job], study: Study, store: Store) -> None:
        """Start the jobs in their order."""
        ...

    def collect(self, seconds: float) -> list[dict[str, Any]]:
        """Return the results since the last call; wait at most this long for one."""
        ...

    def stop(self) -> None:
        """Stop every worker, with a checkpoint."""
        ...


def max_members(device: str, members: int | None) -> int:
    """Return how many members a population may have, by default 1 on a CPU and 10 on a GPU."""
    if members is not None and members < 1:
        raise ArgumentError("members", members, "must be at least 1", "set `members` to 1 or more")
    return members or (1 if device == "cpu" else MEMBERS)


class LocalExecutor:
    """Worker processes on this machine, each with one thread or with one GPU.

    Parameters
    ----------
    workers : int, optional
        Number of processes, by default one per core or per GPU.
    device : str, optional
        Device of torch, default "cpu".
    members : int, optional
        Number of members of a population, by default 1 on a CPU and 10 on a GPU.

    Raises
    ------
    UserError
        If a number is less than 1, or if there is no GPU for the device "cuda".
    """

    def __init__(
        self, workers: int | None = None, device: str = "cpu", members: int | None = None
    ) -> None:
        self.device, self._members = device, max_members(device, members)
        self.runs_on_this_cpu = device == "cpu"
        gpus = [] if device == "cpu" else _gpus()
        self.workers = (len(gpus) or num_cores()) if workers is None else workers
        if self.workers < 1:
            raise ArgumentError(
                "workers", self.workers, "must be at least 1", "set `workers` to 1 or more"
            )
        plural = "s" if self.workers > 1 else ""
        where = f"on {min(self.workers, len(gpus))} of its GPUs" if gpus else "on this machine"
        self.place = f"{self.workers} worker{plural} {where}"
        # Environments of workers; one is taken by every worker that starts and returned at its end.
        self._environments: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        for number in range(self.workers):
            environment = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
            self._environments.put(environment)
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(self.workers)
        self._futures: set[Future[list[dict[str, Any]]]] = set()

    def start(self, jobs: list[Job], study: Study, store: Store) -> None:
        """Start the jobs in their order."""
        for population in populations(jobs, self._members):
            self._futures.add(self._pool.submit(self._run, population, study, store))

    def collect(self, seconds: float) -> list[dict[str, Any]]:
        """Return the results since the last call; wait at most this long for one."""
        finished, self._futures = wait(self._futures, seconds, FIRST_COMPLETED)
        return [result for future in finished for result in future.result()]

    def stop(self) -> None:
        """Stop every worker, with a checkpoint."""
        self._stop.set()
        # Runs that end meanwhile have a result in their directories, which the next start collects.
        self._pool.shutdown(cancel_futures=True)

    def _run(self, population: list[Job], study: Study, store: Store) -> list[dict[str, Any]]:
        environment = self._environments.get()
        try:
            return supervise(
                population,
                store.path,
                device=self.device,
                retries=study.retries,
                hang_timeout_minutes=study.hang_timeout_minutes,
                stop=self._stop,
                environment=environment,
            )
        finally:
            self._environments.put(environment)


def _gpus() -> list[str]:
    """Return the names of the GPUs that this process may use."""
    import torch

    # Does not initialise CUDA: each GPU is left to its worker.
    number = torch.cuda.device_count()
    if not number:
        usable_device("cuda")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    names = [name.strip() for name in visible if name.strip()]
    return (names or [str(i) for i in range(number)])[:number]
