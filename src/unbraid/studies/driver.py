"""Run the missing runs of a study, and report its status."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tqdm import tqdm

from unbraid.runs import Run
from unbraid.studies.executors import Executor
from unbraid.studies.results import DONE, FAILED, MISSING, RUNNING, RunResult
from unbraid.studies.store import Store, is_running
from unbraid.studies.study import Job, Row, Study

POLL_SECONDS = 2.0
# Reading the progress of thousands of runs on a cluster may take at most this share of the time.
MAX_READING_SHARE = 1 / 20
# The last record of a log is within this many bytes of its end.
LOG_TAIL_BYTES = 8192


def run(study: Study, store: Store, executor: Executor, *, failed: bool = False) -> dict[str, int]:
    """Run the missing runs of a study.

    Failed runs are retried by the executor, then reported.

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
        executor.start(missing, study, store)
        with _ProgressDisplay.opened(missing, store, executor.place) as display:
            while waiting:
                for table in executor.collect(POLL_SECONDS):
                    result = store.append(table, known)
                    display.finish(waiting.pop(result.key), result)
                display.refresh()
    finally:
        executor.stop()


class _ProgressDisplay:
    """A progress bar over all steps, and one for every run in progress."""

    def __init__(self, jobs: list[Job], store: Store, place: str) -> None:
        self._store, self._jobs = store, {job.key: job for job in jobs}
        self._steps = {job.key: steps_done(store.run(job)) for job in jobs}
        self._failed, self._done, self._all = 0, 0, len(jobs)
        total = sum(job.config.budget.steps for job in jobs)
        tqdm.write(f"{len(jobs)} missing runs, {total:,} steps in total; {place}")
        self._bar = tqdm(
            total=total, initial=sum(self._steps.values()), unit="step", unit_scale=True
        )
        self._run_bars: dict[str, tqdm] = {}
        self._read_at, self._reading_seconds = 0.0, 0.0

    @classmethod
    @contextmanager
    def opened(cls, jobs: list[Job], store: Store, place: str) -> Iterator[_ProgressDisplay]:
        """Show the display during a block."""
        display = cls(jobs, store, place)
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


def steps_done(run: Run) -> int:
    """Return the step of the last complete record of the log; 0 if there is none."""
    try:
        with run.log_file.open("rb") as file:
            file.seek(max(0, run.log_file.stat().st_size - LOG_TAIL_BYTES))
            complete_lines = file.read().rpartition(b"\n")[0].decode(errors="replace")
    except OSError:
        return 0
    last_line = complete_lines.rpartition("\n")[2]
    step = last_line.partition('"step": ')[2].partition(",")[0]
    return int(step) if step.isdigit() else 0


def status(study: Study, store: Store) -> str:
    """Return the status of a study as text.

    Parameters
    ----------
    study : Study
        The study.
    store : Store
        Directory of runs and results.

    Returns
    -------
    str
        Counts of done, failed, running and missing runs per row, failures, and the time left.
    """
    results = store.results()
    width = max(len(row.title) for row in study.rows)
    lines = [
        f"{study.title}, in {store.path}",
        f"{'row':{width}}{'runs':>6}{'done':>6}{'failed':>8}{'running':>9}{'missing':>9}{'steps':>9}",
        *[_row_status(row, width, results, store) for row in study.rows],
    ]
    lines += [
        f"failed: {job.name}, {results[job.key].attempts} attempts: {results[job.key].reasons[-1]}"
        for row in study.rows
        for job in row.jobs
        if _state(job, results, store) == FAILED
    ]
    return "\n".join([*lines, _time_left(study, results, store)])


def _row_status(row: Row, width: int, results: Mapping[str, RunResult], store: Store) -> str:
    states = [_state(job, results, store) for job in row.jobs]
    steps = sum(
        job.config.budget.steps if state == DONE else steps_done(store.run(job))
        for job, state in zip(row.jobs, states, strict=True)
    )
    share = steps / sum(job.config.budget.steps for job in row.jobs)
    done, failed, running, missing = map(states.count, (DONE, FAILED, RUNNING, MISSING))
    counts = f"{len(row.jobs):6}{done:6}{failed:8}{running:9}{missing:9}"
    return f"{row.title:{width}}{counts}{share:9.0%}"


def _state(job: Job, results: Mapping[str, RunResult], store: Store) -> str:
    state = results[job.key].status if job.key in results else MISSING
    # A worker of another study may be scoring a finished run with another metric.
    return RUNNING if state != DONE and is_running(store.run(job)) else state


def _time_left(study: Study, results: Mapping[str, RunResult], store: Store) -> str:
    """Estimate the worker-hours left from the training time per step of the runs done."""
    done = [results[job.key] for job in study.jobs if job.key in results]
    done = [result for result in done if result.is_done]
    missing = [job for job in study.jobs if job.key not in results]
    if not missing:
        return "no run is missing"
    running = sum(is_running(store.run(job)) for job in missing)
    runs = f"{len(missing)} runs left" + (f" ({running} running)" if running else "")
    steps = sum(max(0, job.config.budget.steps - steps_done(store.run(job))) for job in missing)
    if not done:
        return f"{runs}, {steps:,} steps"
    seconds = sum(result.training_seconds or 0.0 for result in done)
    seconds_per_step = seconds / sum(result.step for result in done)
    return (
        f"{runs}, {steps:,} steps: about {steps * seconds_per_step / 3600:.1f} worker-hours of"
        f" training at {1000 * seconds_per_step:.0f} ms a step, the mean of the runs done"
        f" ({time.strftime('%Y-%m-%d %H:%M')})"
    )
