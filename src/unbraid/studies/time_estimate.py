"""Estimate how long the missing runs of a study take, from runs of before or from a few steps."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from unbraid.data import load
from unbraid.data.images import ImageTable
from unbraid.engine.state import State
from unbraid.errors import UnbraidError, UserError
from unbraid.runs import Config, noise
from unbraid.studies.results import RunResult
from unbraid.studies.store import Store, steps_done
from unbraid.studies.study import Job, Row, Study

# A row is measured in the middle of each of these parts of its schedule, as the time of a step may
# change, after one step that is not counted.
PARTS, STEPS_PER_PART = 4, 3
# Rows with fewer missing steps are not measured: that would take a noticeable part of their time.
MIN_MEASURED_STEPS = 100 * PARTS * (STEPS_PER_PART + 1)
# Where the time of a step is from.
FINISHED, PAUSED, MEASURED = "finished runs", "paused runs", "measured now"


@dataclass(frozen=True)
class RowEstimate:
    """What is missing of a row, and how long it takes.

    Parameters
    ----------
    row : Row
        The row.
    missing : int
        Number of missing runs.
    steps : int
        Number of missing steps of these runs.
    seconds_per_step : float or None
        Time of a step of one run on one worker, in seconds; None if it is not known.
    source : str
        Where this time is from: "finished runs", "paused runs" or "measured now"; empty if it is
        not known.
    """

    row: Row
    missing: int
    steps: int
    seconds_per_step: float | None
    source: str

    @property
    def hours(self) -> float | None:
        """Hours of training of one worker."""
        seconds = self.seconds_per_step
        return None if seconds is None else self.steps * seconds / 3600


def estimate(
    study: Study,
    store: Store,
    missing: Sequence[Job],
    results: Mapping[str, RunResult],
    *,
    device: str | None = None,
    measure: bool = False,
) -> list[RowEstimate]:
    """Estimate the training time of the missing runs, row by row.

    The time of a step is that of finished runs of the same method, data, batch size and precision,
    those of the row if there are any; else that of runs of the row that were paused; else it is
    measured, if requested.

    Parameters
    ----------
    study : Study
        The study.
    store : Store
        Directory of its runs.
    missing : sequence of Job
        The runs that will be trained.
    results : mapping of str to RunResult
        Results in the directory, also of other studies, by key.
    device : str, optional
        Kind of device of the earlier runs, by default any.
    measure : bool, default False
        Whether to measure a few steps of rows without earlier runs, on this machine's CPU with one
        thread. Rows with few missing steps are not measured.

    Returns
    -------
    list of RowEstimate
        An estimate for each row with missing runs.
    """
    keys = {job.key for job in missing}
    table: ImageTable | None = None
    estimates = []
    for row in study.rows:
        jobs = [job for job in row.jobs if job.key in keys]
        # A run that two rows share is trained once.
        keys -= {job.key for job in jobs}
        if not jobs:
            continue
        left = [max(0, job.config.budget.steps - steps_done(store.run(job))) for job in jobs]
        seconds, source = _earlier(row, list(results.values()), store, device)
        if seconds is None and measure and sum(left) >= MIN_MEASURED_STEPS:
            table = table or load(jobs[0].config.data)
            # A run that diverges is reported when it is trained.
            with contextlib.suppress(UnbraidError):
                seconds, source = measured(jobs[0].config, table), MEASURED
        estimates.append(RowEstimate(row, len(jobs), sum(left), seconds, source))
    return estimates


def _earlier(
    row: Row, results: Sequence[RunResult], store: Store, device: str | None
) -> tuple[float | None, str]:
    """Return the time of a step in earlier runs, and which runs these are."""
    config = row.jobs[0].config
    finished = [r for r in results if r.is_done and _is_alike(r.table, config, device)]
    own = {job.key for job in row.jobs}
    of_row = [result for result in finished if result.key in own]
    seconds = sum(result.training_seconds or 0.0 for result in of_row or finished)
    steps = sum(result.step for result in of_row or finished)
    if seconds > 0 and steps > 0:
        return seconds / steps, FINISHED
    seconds, steps = _paused(row, store, device)
    return (seconds / steps, PAUSED) if seconds > 0 and steps > 0 else (None, "")


def _is_alike(table: Mapping[str, object], config: Config, device: str | None) -> bool:
    expected = config.as_table()
    budget = table.get("budget")
    return (
        all(table.get(name) == expected[name] for name in ("method", "data", "precision"))
        and isinstance(budget, dict)
        and budget.get("batch_size") == config.budget.batch_size
        and (device is None or _kind(table.get("device", "cpu")) == _kind(device))
    )


def _paused(row: Row, store: Store, device: str | None) -> tuple[float, int]:
    """Return the seconds and steps of all training sessions of a row's unfinished runs."""
    seconds, steps = 0.0, 0
    for job in row.jobs:
        with contextlib.suppress(UserError):
            for session in store.run(job).read_provenance():
                if device is None or _kind(session.get("device", "cpu")) == _kind(device):
                    seconds += session.get("seconds", 0.0) / session.get("members", 1)
                    steps += max(0, session.get("to_step", 0) - session.get("from_step", 0))
    return seconds, steps


def _kind(device: object) -> str:
    return str(device).partition(":")[0]


def measured(config: Config, table: ImageTable) -> float:
    """Measure the mean time of a training step over the schedule, on the CPU with one thread.

    Parameters
    ----------
    config : Config
        Configuration of a run.
    table : ImageTable
        Its dataset.

    Returns
    -------
    float
        Seconds per step: the mean over parts of the schedule of the median over steps. Surveys are
        not included.
    """
    config, method = config.with_fingerprint_of(table), config.method
    images = config.budget.batch_size * method.batches_per_step
    state = State(config, table.shape, torch.device("cpu"))
    medians = []
    with _one_thread():
        for part in range(PARTS):
            first = (2 * part + 1) * config.budget.steps // (2 * PARTS)
            times = []
            for step in range(first, first + STEPS_PER_PART + 1):
                state.step = step
                began = time.perf_counter()
                index = noise.batch_indices(config.seed, step, len(table), images)
                generator = noise.generator(config.seed, "choose", step)
                index, extra = method.sample_batch(state.parts, index, generator)
                state.advance(torch.from_numpy(table.images(index.numpy())).float(), extra)
                times.append(time.perf_counter() - began)
            medians.append(statistics.median(times[1:]))
    return statistics.mean(medians)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread, as a worker does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
