"""Run the missing runs of a study."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from unbraid.studies.executors import Executor
from unbraid.studies.plan import describe_plan
from unbraid.studies.results import DONE, FAILED, RunResult
from unbraid.studies.store import Store, steps_done
from unbraid.studies.study import Job, Study

POLL_SECONDS = 2.0
# Reading the progress of thousands of runs on a cluster may take at most this share of the time.
MAX_READING_SHARE = 1 / 20


def run(study: Study, store: Store, executor: Executor, *, failed: bool = False) -> dict[str, int]:
    """Run the missing runs of a study.

    Prints what is missing and the estimated time first. Failed runs are retried by the executor,
    then reported.

    Parameters
    ----------
    study : Study
        The study.
    store : Store
        Directory of runs and results.
    executor : Executor
        Where the runs are executed.
    failed : bool, default False
        Also repeat the runs that failed in an earlier call.

    Returns
    -------
    dict of str to int
        Number of runs that are done and that have failed.

    Raises
    ------
    UserError
        If another study is running in the directory.
    KeyboardInterrupt
        If the user interrupts, after every worker has written its checkpoint.
    """
    with store.locked():
        known = store.results()
        missing = [job for job in study.jobs if _is_missing(known.get(job.key), failed)]
        if missing:
            _run_missing(missing, study, store, executor, known)
    results = store.results()
    states = [results[job.key].status for job in study.jobs if job.key in results]
    return {status: states.count(status) for status in (DONE, FAILED)}


def _is_missing(result: RunResult | None, failed: bool) -> bool:
    return result is None or (failed and result.status == FAILED)


def _run_missing(
    missing: list[Job], study: Study, store: Store, executor: Executor, known: dict[str, RunResult]
) -> None:
    waiting = {job.key: job for job in missing}
    try:
        tqdm.write(describe_plan(study, store, missing, known, executor))
        executor.start(missing, study, store)
        with _ProgressDisplay.opened(missing, store) as display:
            while waiting:
                for table in executor.collect(POLL_SECONDS):
                    result = store.append(table, known)
                    display.finish(waiting.pop(result.key), result)
                display.refresh()
    finally:
        executor.stop()


class _ProgressDisplay:
    """A progress bar over all steps, and one for every run in progress."""

    def __init__(self, jobs: list[Job], store: Store) -> None:
        self._store, self._jobs = store, {job.key: job for job in jobs}
        self._steps = {job.key: steps_done(store.run(job)) for job in jobs}
        self._failed, self._done, self._all = 0, 0, len(jobs)
        total = sum(job.config.budget.steps for job in jobs)
        self._bar = tqdm(
            total=total, initial=sum(self._steps.values()), unit="step", unit_scale=True
        )
        self._run_bars: dict[str, tqdm] = {}
        self._read_at, self._reading_seconds = 0.0, 0.0

    @classmethod
    @contextmanager
    def opened(cls, jobs: list[Job], store: Store) -> Iterator[_ProgressDisplay]:
        """Show the display during a block."""
        display = cls(jobs, store)
        try:
            yield display
        finally:
            for bar in display._run_bars.values():
                bar.close()
            display._bar.close()

    def finish(self, job: Job, result: RunResult) -> None:
        """Report a finished run and count the steps that it completed."""
        steps = job.config.budget.steps
        reason = ""
        if result.status == FAILED:
            self._failed += 1
            self._bar.total -= steps - self._steps[job.key]
            attempts = f"{result.attempts} attempt{'s' if result.attempts != 1 else ''}"
            reason = f": {attempts}, last: {result.reasons[-1]}"
        else:
            self._done += 1
            self._advance(job.key, steps)
        del self._jobs[job.key]
        if job.key in self._run_bars:
            self._run_bars.pop(job.key).close()
        tqdm.write(f"{result.status:6} {job.name}{reason}")

    def refresh(self) -> None:
        """Update the progress from the logs, unless reading them takes too much of the time."""
        began = time.monotonic()
        if (began - self._read_at) * MAX_READING_SHARE < self._reading_seconds:
            return
        for job in self._jobs.values():
            run = self._store.run(job)
            if not run.path.exists():
                continue
            steps = steps_done(run)
            if steps > self._steps[job.key] and job.key not in self._run_bars:
                total = job.config.budget.steps
                self._run_bars[job.key] = tqdm(
                    total=total, desc=f"  {job.name}", unit="step", leave=False
                )
            self._advance(job.key, steps)
            if job.key in self._run_bars:
                self._run_bars[job.key].n = steps
                self._run_bars[job.key].refresh()
        self._bar.set_postfix_str(f"{self._done} of {self._all} done, {self._failed} failed")
        self._read_at = time.monotonic()
        self._reading_seconds = self._read_at - began

    def _advance(self, key: str, steps: int) -> None:
        self._bar.update(max(0, steps - self._steps[key]))
        self._steps[key] = max(steps, self._steps[key])
