"""`study run` and `study status`: what is missing is run, what is there is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from unbraid.runs import Run
from unbraid.studies.executors import Executor
from unbraid.studies.store import DONE, FAILED, Result, Store, busy
from unbraid.studies.study import Job, Study


def run(study: Study, store: Store, executor: Executor, *, failed: bool = False) -> dict[str, int]:
    """Run what is missing and only that; how many runs are done and failed after it.

    A failed run is left as it is unless `failed`. UserError if another study runs in the directory.
    KeyboardInterrupt once every worker has written its checkpoint.
    """
    with store.exclusively():
        known = store.results()
        missing = [j for j in study.jobs if _is_missing(known.get(j.key), failed)]
        if missing:
            _carry_out(missing, study, store, executor, known)
    states = [result["status"] for result in _of(study, store).values()]
    return {status: states.count(status) for status in (DONE, FAILED)}


def _is_missing(result: Result | None, failed: bool) -> bool:
    return result is None or (failed and result["status"] == FAILED)


def _of(study: Study, store: Store) -> dict[str, Result]:
    known = store.results()
    return {job.key: known[job.key] for job in study.jobs if job.key in known}


def _carry_out(
    missing: list[Job], study: Study, store: Store, executor: Executor, known: dict[str, Result]
) -> None:
    waiting = {job.key: job for job in missing}
    try:
        executor.start(missing, study, store)
        with _Board.shown(missing, store, executor.place) as board:
            while waiting:
                for result in executor.collect(2.0):
                    store.append(result, known)
                    board.finished(waiting.pop(result["key"]), result)
                board.refresh()
    finally:
        executor.stop()


class _Board:
    """The live table: a bar over all steps with the time left, and a line a run that moves."""

    def __init__(self, jobs: list[Job], store: Store, place: str) -> None:
        self._store, self._jobs = store, {job.key: job for job in jobs}
        self._steps = {job.key: steps_done(store.run(job)) for job in jobs}
        self._failed, self._done, self._all = 0, 0, len(jobs)
        total = sum(job.config.budget.steps for job in jobs)
        tqdm.write(f"{len(jobs)} runs to do, {total:,} steps in all, {place}")
        self._bar = tqdm(
            total=total, initial=sum(self._steps.values()), unit="step", unit_scale=True
        )
        self._lines: dict[str, tqdm] = {}
        self._read_at, self._reading = 0.0, 0.0

    @classmethod
    @contextmanager
    def shown(cls, jobs: list[Job], store: Store, place: str) -> Iterator[_Board]:
        board = cls(jobs, store, place)
        try:
            yield board
        finally:
            for line in board._lines.values():
                line.close()
            board._bar.close()

    def finished(self, job: Job, result: Result) -> None:
        """Say so, and count its steps; those that a failed run lacks will not come."""
        self._done += result["status"] == DONE
        self._failed += result["status"] == FAILED
        steps = job.config.budget.steps
        if result["status"] == FAILED:
            self._bar.total -= steps - self._steps[job.key]
        else:
            self._move(job.key, steps)
        del self._jobs[job.key]
        if job.key in self._lines:
            self._lines.pop(job.key).close()
        why = f": {result['reasons'][-1]}" if result["status"] == FAILED else ""
        tqdm.write(f"{result['status']:6} {job.name}{why}")

    def refresh(self) -> None:
        """Read how far each run is, in a twentieth of the time: a cluster's are thousands."""
        began = time.monotonic()
        if began - self._read_at < 20 * self._reading:
            return
        for job in self._jobs.values():
            run = self._store.run(job)
            if not run.path.exists():
                continue
            steps = steps_done(run)
            if steps > self._steps[job.key] and job.key not in self._lines:
                all_steps = job.config.budget.steps
                self._lines[job.key] = tqdm(
                    total=all_steps, desc=f"  {job.name}", unit="step", leave=False
                )
            self._move(job.key, steps)
            if job.key in self._lines:
                self._lines[job.key].n = steps
                self._lines[job.key].refresh()
        self._bar.set_postfix_str(f"{self._done} of {self._all} done, {self._failed} failed")
        self._read_at = time.monotonic()
        self._reading = self._read_at - began

    def _move(self, key: str, steps: int) -> None:
        self._bar.update(max(0, steps - self._steps[key]))
        self._steps[key] = max(steps, self._steps[key])


def steps_done(run: Run) -> int:
    """How many steps the log tells of; 0 without one."""
    try:
        with run.log_file.open("rb") as file:
            file.seek(max(0, run.log_file.stat().st_size - 8192))
            whole = file.read().rpartition(b"\n")[0].decode(errors="replace")
    except OSError:
        return 0
    found = whole.rpartition("\n")[2].partition('"step": ')[2].partition(",")[0]
    return int(found) if found.isdigit() else 0


def status(study: Study, store: Store) -> str:
    """A line a row: how many runs are done, failed, running and missing; then each failure."""
    known = store.results()
    lines = [f"{study.title}, in {store.path}"]
    width = max(len(row.title) for row in study.rows)
    lines.append(
        f"{'row':{width}}{'runs':>6}{'done':>6}{'failed':>8}{'running':>9}{'missing':>9}{'steps':>9}"
    )
    failures = []
    for row in study.rows:
        states = [_state(job, known, store) for job in row.jobs]
        steps = sum(
            job.config.budget.steps if state == DONE else steps_done(store.run(job))
            for job, state in zip(row.jobs, states, strict=True)
        )
        share = steps / sum(job.config.budget.steps for job in row.jobs)
        counts = [states.count(s) for s in (DONE, FAILED, "running", "missing")]
        lines.append(
            f"{row.title:{width}}{len(row.jobs):6}{counts[0]:6}{counts[1]:8}{counts[2]:9}"
            f"{counts[3]:9}{share:9.0%}"
        )
        failures += [
            f"failed: {job.name}, {known[job.key]['attempts']} attempts:"
            f" {known[job.key]['reasons'][-1]}"
            for job, state in zip(row.jobs, states, strict=True)
            if state == FAILED
        ]
    lines += [*failures, _time_left(study, known, store)]
    return "\n".join(lines)


def _state(job: Job, known: dict[str, Result], store: Store) -> str:
    status = known[job.key]["status"] if job.key in known else "missing"
    # One that is done may be given another metric by another study just now.
    return "running" if status != DONE and busy(store.run(job)) else status


def _time_left(study: Study, known: dict[str, Result], store: Store) -> str:
    """By the step times of the runs that are done, training alone, one after the other."""
    done = [known[j.key] for j in study.jobs if known.get(j.key, {}).get("status") == DONE]
    missing = [job for job in study.jobs if job.key not in known]
    if not missing:
        return "nothing is missing"
    running = sum(busy(store.run(job)) for job in missing)
    runs = f"{len(missing)} runs are to be done"
    runs += f" ({running} of them run{'s' if running == 1 else ''})" if running else ""
    steps = sum(max(0, job.config.budget.steps - steps_done(store.run(job))) for job in missing)
    if not done:
        return f"{runs}, {steps:,} steps"
    pace = sum(r["training_seconds"] for r in done) / sum(r["step"] for r in done)
    hours = steps * pace / 3600
    return (
        f"{runs}, {steps:,} steps: about {hours:.1f} worker-hours of"
        f" training at the {1000 * pace:.0f} ms a step of those done (as of"
        f" {time.strftime('%Y-%m-%d %H:%M')})"
    )
