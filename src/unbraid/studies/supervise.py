"""Supervise a worker process: retry runs that fail, and report those that keep failing."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unbraid.engine.workers import WorkerProcess, running_worker
from unbraid.runs import Run
from unbraid.studies.results import FAILED
from unbraid.studies.study import Job
from unbraid.studies.worker import read_result

WORKER = (sys.executable, "-m", "unbraid.studies.worker")
# A progress bar every few seconds shows that a worker does not hang.
SHOW_PROGRESS = {"TQDM_DISABLE": None, "TQDM_MININTERVAL": "5"}
POLL_SECONDS = 0.2


class StoppedError(Exception):
    """The study was stopped while these runs were trained: they are neither done nor failed."""


def supervise(
    jobs: Sequence[Job],
    folder: Path,
    *,
    device: str = "cpu",
    retries: int = 1,
    hang_timeout_minutes: float = 30.0,
    stop: threading.Event | None = None,
    command: Sequence[str] = WORKER,
    environment: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Run a job, or the jobs of a population, in a worker process.

    Every retry resumes from the last checkpoint. Failed members of a population are retried in two
    halves, which may fit in the memory; in the last retry each is alone, so that no member fails
    because of another.

    Parameters
    ----------
    jobs : sequence of Job
        Jobs that differ in their seed only.
    folder : Path
        Directory of the run directories.
    device : str, optional
        Device of torch, default "cpu".
    retries : int, optional
        How often a failed job is retried, default 1.
    hang_timeout_minutes : float, optional
        Minutes without output after which the worker is stopped, default 30.
    stop : threading.Event, optional
        Event that stops the worker.
    command : sequence of str, optional
        Command of the worker, by default `unbraid.studies.worker`.
    environment : mapping, optional
        Environment variables of the worker that differ from this process's.

    Returns
    -------
    list of dict
        Result of each job, in order. The result of a failed job has the reason of each attempt.

    Raises
    ------
    StoppedError
        When `stop` is set and the worker has written its checkpoints.
    """
    stop = stop or threading.Event()
    results: dict[str, dict[str, Any]] = {}
    reasons: dict[str, list[str]] = {job.key: [] for job in jobs}
    waiting = [list(jobs)]
    while waiting:
        population = waiting.pop(0)
        attempt = _Attempt(population, folder, device)
        attempt.run(command, environment or {}, 60 * hang_timeout_minutes, stop)
        retried = []
        for job in population:
            earlier = reasons[job.key]
            try:
                result = attempt.result(job)
                results[job.key] = {**result, "attempts": len(earlier) + 1, "reasons": earlier}
            except (OSError, ValueError) as error:
                earlier.append(attempt.reason(job) or f"{type(error).__name__}: {error}")
                if len(earlier) <= retries:
                    retried.append(job)
        is_last = retried and len(reasons[retried[0].key]) == retries
        size = 1 if is_last else max(1, (len(retried) + 1) // 2)
        waiting[:0] = [retried[start : start + size] for start in range(0, len(retried), size)]
    return [results.get(job.key) or failed_result(job, reasons[job.key]) for job in jobs]


class _Attempt:
    """One worker process for a population."""

    def __init__(self, population: Sequence[Job], folder: Path, device: str) -> None:
        self._runs = {job.key: Run(folder / job.name) for job in population}
        order = {"jobs": [job.as_table() for job in population], "device": device}
        # What `unbraid.studies.worker` reads from its standard input.
        self._work = json.dumps(order).encode() + b"\n"
        self._folder = folder
        self._error: str | None = None
        self._worker: WorkerProcess | None = None

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        hang_timeout_seconds: float,
        stop: threading.Event,
    ) -> None:
        """Start the worker and wait for its end."""
        try:
            for run in self._runs.values():
                run.path.mkdir(parents=True, exist_ok=True)
                # A result of another scoring must not pass for the result of this attempt.
                run.result_file.unlink(missing_ok=True)
            with running_worker(
                [*command, str(self._folder)],
                self._work,
                next(iter(self._runs.values())).worker_log_file,
                {**SHOW_PROGRESS, **environment},
            ) as self._worker:
                while self._worker.exit_code is None and not stop.wait(POLL_SECONDS):
                    if self._worker.seconds_inactive() > hang_timeout_seconds:
                        self._error = f"hung: no step for {hang_timeout_seconds / 60:g} minutes"
                        break
        except OSError as error:
            # No disk space or no process: the jobs fail, but not the study.
            self._error = f"{type(error).__name__}: {error}"
        if stop.is_set():
            raise StoppedError

    def result(self, job: Job) -> dict[str, Any]:
        """Return the result of a job; OSError or ValueError if there is none."""
        run = self._runs[job.key]
        if self._worker is None:
            raise OSError(f"{run.result_file}: may be of another scoring")
        return read_result(run)

    def reason(self, job: Job) -> str | None:
        """Return why a job failed, or None if only its result is missing."""
        return self._error or (self._worker and self._worker.reason(job.name))


def failed_result(job: Job, reasons: list[str]) -> dict[str, Any]:
    """Return the result of a job that failed once for each of the reasons."""
    return {
        "key": job.key,
        "status": FAILED,
        **job.config.as_table(),
        "attempts": len(reasons),
        "reasons": reasons,
    }
