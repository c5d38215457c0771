"""What a study has done and what it will do, as text."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from unbraid.runs.paper_budget import QUICK
from unbraid.studies.executors import Executor
from unbraid.studies.results import DONE, FAILED, MISSING, RUNNING, RunResult
from unbraid.studies.store import Store, is_running, steps_done
from unbraid.studies.study import Job, Row, Study
from unbraid.studies.time_estimate import RowEstimate, estimate


def describe_plan(
    study: Study,
    store: Store,
    missing: Sequence[Job],
    results: Mapping[str, RunResult],
    executor: Executor,
) -> str:
    """Return what will be run, how long it takes, and how to run a part of it, as text.

    Parameters
    ----------
    study : Study
        The study, or a part of it.
    store : Store
        Directory of runs and results.
    missing : sequence of Job
        The runs that will be trained.
    results : mapping of str to RunResult
        Results in the directory by key.
    executor : Executor
        Where they will be trained.

    Returns
    -------
    str
        A line per row with missing runs, and the sum.
    """
    estimates = estimate(
        study, store, missing, results, device=executor.device, measure=executor.runs_on_this_cpu
    )
    width = max(len(e.row.title) for e in estimates)
    steps = sum(e.steps for e in estimates)
    return "\n".join(
        [
            f"{study.title}, in {store.path}",
            f"{len(missing)} missing runs, {steps:,} steps left; {executor.place}",
            f"{'row':>3}  {'':{width}}{'missing':>9}{'steps':>13}{'ms per step':>13}{'hours':>9}",
            *[_row_plan(e, width) for e in estimates],
            _total_time(estimates, executor.workers),
            "run a part: --rows 1-3 (numbers or titles), --only seed=0 (also method=, latent_dim=,"
            " …); Ctrl-C pauses, and the same command resumes",
        ]
    )


def _row_plan(row_estimate: RowEstimate, width: int) -> str:
    e, row = row_estimate, row_estimate.row
    times = f"{'—':>13}{'—':>9}"
    if e.seconds_per_step is not None and e.hours is not None:
        times = f"{1000 * e.seconds_per_step:13.0f}{e.hours:9.1f}  {e.source}"
    return f"{row.number:3}  {row.title:{width}}{e.missing:9}{e.steps:13,}{times}{_label(row)}"


def _label(row: Row) -> str:
    return f"  {QUICK}" if row.is_quick else ""


def _total_time(estimates: Sequence[RowEstimate], workers: int) -> str:
    hours = [e.hours for e in estimates if e.hours is not None]
    unknown = sum(e.missing for e in estimates if e.hours is None)
    if not hours:
        return "estimated time: not known until a run is done (unbraid study status)"
    runs = sum(e.missing for e in estimates) - unknown
    # One run is trained by one worker.
    duration = sum(hours) / max(1, min(workers, runs))
    text = (
        f"estimated time: {_duration(duration)} ({sum(hours):.1f} worker-hours of training, without"
        " scoring)"
    )
    return text + (f", and {unknown} runs of unknown time" if unknown else "")


def _duration(hours: float) -> str:
    if hours < 1:
        return f"{max(1, math.ceil(60 * hours))} minutes"
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"


def status(study: Study, store: Store) -> str:
    """Return the status of a study as text.

    Parameters
    ----------
    study : Study
        The study, or a part of it.
    store : Store
        Directory of runs and results.

    Returns
    -------
    str
        Counts of done, failed, running and missing runs per row, failures, and the time left.
    """
    results = store.results()
    width = max(len(row.title) for row in study.rows)
    header = f"{'runs':>6}{'done':>6}{'failed':>8}{'running':>9}{'missing':>9}{'steps':>9}"
    lines = [
        f"{study.title}, in {store.path}",
        f"{'row':>3}  {'':{width}}{header}",
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
    return f"{row.number:3}  {row.title:{width}}{counts}{share:9.0%}{_label(row)}"


def _state(job: Job, results: Mapping[str, RunResult], store: Store) -> str:
    state = results[job.key].status if job.key in results else MISSING
    # A worker of another study may be scoring a finished run with another metric.
    return RUNNING if state != DONE and is_running(store.run(job)) else state


def _time_left(study: Study, results: Mapping[str, RunResult], store: Store) -> str:
    """Estimate the worker-hours left from the training time per step of earlier runs."""
    missing = [job for job in study.jobs if job.key not in results]
    if not missing:
        return "no run is missing"
    running = sum(is_running(store.run(job)) for job in missing)
    runs = f"{len(missing)} runs left" + (f" ({running} running)" if running else "")
    estimates = estimate(study, store, missing, results)
    steps = sum(e.steps for e in estimates)
    known = [e for e in estimates if e.hours is not None]
    if not known:
        return f"{runs}, {steps:,} steps"
    hours = sum(e.hours or 0.0 for e in known)
    known_steps = sum(e.steps for e in known)
    seconds_per_step = 3600 * hours / max(1, known_steps)
    unknown = f", and {steps - known_steps:,} steps of unknown time" if known_steps < steps else ""
    return (
        f"{runs}, {steps:,} steps: about {hours:.1f} worker-hours of training at"
        f" {1000 * seconds_per_step:.0f} ms a step, the mean of earlier runs{unknown}"
        f" ({time.strftime('%Y-%m-%d %H:%M')})"
    )
