"""Merge the runs of a study from another study directory, such as one from another machine."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from unbraid.errors import UnbraidError, UserError
from unbraid.files import directory_lock, is_locked, written_atomically
from unbraid.runs import Run, checkpoint
from unbraid.runs.run import WORKER_LOCK
from unbraid.runs.weights import is_weights_only
from unbraid.studies.results import RunResult
from unbraid.studies.samples import read_sample
from unbraid.studies.store import Store, is_running
from unbraid.studies.study import Job, Study
from unbraid.studies.worker import eval_steps

# Entries of a result that may differ between two runs with the same numbers.
NOT_NUMBERS = frozenset({"attempts", "reasons", "training_seconds", "started", "unbraid"})
NOT_NUMBERS |= {"torch", "python", "machine", "device"}
BUSY = "is in use by another process; wait until it ends, and merge again"


@dataclass
class MergeReport:
    """What a merge has done. Every list has names of run directories, some with a reason.

    Parameters
    ----------
    results : list of str
        Runs whose result was added.
    checkpoints : list of str
        Unfinished runs whose checkpoint was copied, because it is of a later step.
    conflicts : list of str
        Runs that are finished in both directories with different numbers; nothing was changed.
    damaged : list of str
        Runs whose files are damaged in the other directory, in whole or in part.
    known : int
        Number of runs in the other directory of which nothing was new.
    """

    results: list[str] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    known: int = 0

    def as_text(self) -> str:
        """Return the report as text, with one line for each conflict and each damaged run."""
        summary = (
            f"{len(self.results)} results added, {len(self.checkpoints)} unfinished runs moved,"
            f" {self.known} runs without news, {len(self.conflicts)} conflicts,"
            f" {len(self.damaged)} damaged"
        )
        details = [
            *(f"unfinished: {text}" for text in self.checkpoints),
            *(f"conflict: {text}" for text in self.conflicts),
            *(f"damaged: {text}" for text in self.damaged),
        ]
        return "\n".join([summary, *details])


class _State(NamedTuple):
    """How far training can be resumed: the step, and the file of the checkpoint if there is one."""

    step: int
    file: Path | None
    damage: str = ""


def merge(study: Study, source: Store, store: Store) -> MergeReport:
    """Add the runs of a study in another directory to those in `store`.

    A result that is missing in `store` is added with the files of its run. Of a run that is
    finished in neither directory, the later checkpoint is kept. If a run is finished in both with
    different numbers, the result in `store` is kept and the conflict is reported. The other
    directory is only read, and damaged files in it replace nothing. A run's checkpoint is copied
    after its other files, and its result is added last, so a merge that was killed can be repeated.

    Parameters
    ----------
    study : Study
        The study.
    source : Store
        The other directory. It may be an archive that `study archive` wrote.
    store : Store
        Directory to merge into.

    Returns
    -------
    MergeReport
        What was added and what was not.

    Raises
    ------
    UserError
        If both directories are the same, a process uses one of them, or the other directory has no
        run of the study.
    UserError or StorageError
        If a file cannot be written.
    """
    if source.path.resolve() == store.path.resolve():
        raise UserError(f"{source.path}: both directories are the same; choose another `source`")
    if not source.path.is_dir():
        raise UserError(f"{source.path}: no such directory; set `source` to a study directory")
    theirs = source.results()
    known = [job for job in study.jobs if job.key in theirs or source.run(job).path.is_dir()]
    if not known:
        raise UserError(
            f"{source.path}: has no run of the study; set `source` to the directory of its runs"
        )
    report = MergeReport(damaged=_damaged_lines(source))
    with contextlib.ExitStack() as locks:
        locks.enter_context(_reading(source.path))
        locks.enter_context(store.locked())
        _require_idle([place.run(job) for job in known for place in (source, store)])
        ours = store.results()
        for job in tqdm(known, desc="merging", unit="run"):
            _merge_run(job, source, store, theirs.get(job.key), ours, report)
    return report


def _damaged_lines(store: Store) -> list[str]:
    if not store.results_file.exists():
        return []
    lines = store.results_file.read_text(encoding="utf-8", errors="replace").splitlines()
    damaged = sum(RunResult.from_line(line) is None for line in lines)
    return [f"{store.results_file}: {damaged} lines are damaged"] if damaged else []


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Keep studies out of a directory while it is read, also if it cannot be written."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(directory_lock(path, busy=BUSY))
        except UnbraidError:
            if is_locked(path):
                raise
        yield


def _require_idle(runs: Sequence[Run]) -> None:
    """Raise if a worker or a trainer uses one of the runs; a worker may outlive its study."""
    for run in runs:
        if is_running(run) or is_locked(run.path):
            raise UserError(f"{run.path}: {BUSY}")


def _merge_run(
    job: Job,
    source: Store,
    store: Store,
    result: RunResult | None,
    known: dict[str, RunResult],
    report: MergeReport,
) -> None:
    """Merge one run; `result` is that of the other directory, `known` are those of `store`."""
    run, other, own = store.run(job), source.run(job), known.get(job.key)
    is_done, own_is_done = bool(result and result.is_done), bool(own and own.is_done)
    if own_is_done and not is_done:
        report.known += 1
        return
    if own and result and own_is_done and (differing := _differing(own, result)):
        report.conflicts.append(
            f"{job.name}: {', '.join(differing)} differ; {store.path} keeps its own"
        )
        return
    state, own_state = _state(job, other, is_done=is_done), _state(job, run, is_done=own_is_done)
    if state.damage:
        report.damaged.append(f"{job.name}: {state.damage}")
    is_later = state.step > own_state.step
    if is_later or (is_done and not own_is_done and not checkpoint.exists(run.checkpoint_file)):
        damaged = _copy_run(job, other, run, state.file)
        report.damaged += [f"{job.name}: {name} is damaged, left out" for name in damaged]
        if is_later and not is_done:
            report.checkpoints.append(f"{job.name}, at step {state.step:,}")
    is_news = result is not None and (
        (is_done and not own_is_done)
        # A run that failed there is not failed here if it has come further here.
        or (own is None and state.step >= own_state.step)
    )
    if result and is_news:
        store.append(result.table, known)
        report.results.append(job.name)
    elif not is_later and not state.damage:
        report.known += 1


def _differing(one: RunResult, other: RunResult) -> list[str]:
    """Return the names of the numbers in which two results differ."""
    names = (one.table.keys() & other.table.keys()) - NOT_NUMBERS
    return sorted(name for name in names if one.table[name] != other.table[name])


def _state(job: Job, run: Run, *, is_done: bool) -> _State:
    """Return how far training of a run can be resumed; of a finished archived run, its weights."""
    if not checkpoint.exists(run.checkpoint_file):
        return _State(0, None)
    identity = job.config.identity()
    scored = _read_json(run.eval_scores_file, dict) or {}
    damage = "no checkpoint is usable, left out"
    for file in (run.checkpoint_file, run.previous_checkpoint_file):
        saved = checkpoint.read_if_valid(file, identity)
        if saved is None:
            continue
        if is_weights_only(saved):
            return _State(0, file if is_done else None)
        steps = eval_steps(job.config.budget.steps, job.scoring.checkpoints)
        if any(step < saved.step and str(step) not in scored for step in steps):
            # The weights of these steps are gone, so the scores could not be made again.
            damage = f"{run.eval_scores_file.name} lacks scores, so the run cannot be resumed"
        elif saved.step == job.config.budget.steps and not _log_ends(run, saved.step):
            damage = f"{run.log_file.name} is incomplete, so the run has no result"
        else:
            return _State(saved.step, file)
    return _State(0, None, damage)


def _log_ends(run: Run, step: int) -> bool:
    log = run.read_log()
    return bool(log) and log[-1]["step"] == step


def _copy_run(job: Job, run: Run, to: Run, saved: Path | None) -> list[str]:
    """Copy the files of a run, its checkpoint last; return the names of those that are damaged.

    A process that is killed before the checkpoint is copied leaves a run that resumes from the
    checkpoint that was there.
    """
    damaged = []
    with (
        directory_lock(to.path, WORKER_LOCK, busy=BUSY),
        directory_lock(to.path, busy=BUSY),
    ):
        to.write_config(job.config)
        for file in run.portable_files:
            name = file.relative_to(run.path)
            if file in (run.config_file, run.checkpoint_file):
                continue
            if _is_intact(file, run, job):
                _copy(file, to.path / name)
            else:
                damaged.append(name.as_posix())
        if saved is not None:
            _copy(saved, to.checkpoint_file)
    return damaged


def _copy(file: Path, to: Path) -> None:
    data = file.read_bytes()
    with written_atomically(to) as copy:
        copy.write(data)


def _is_intact(file: Path, run: Run, job: Job) -> bool:
    """Return whether a file can be read and has the content that its name promises."""
    checks: dict[str, Callable[[], object]] = {
        ".json": lambda: _read_json(file, list if file == run.provenance_file else dict),
        ".npz": lambda: read_sample(run),
        ".safetensors": lambda: checkpoint.read_if_valid(file, job.config.identity()),
    }
    try:
        content = checks.get(file.suffix, lambda: file.read_bytes())()
    except OSError:
        return False
    return content is not None


def _read_json(file: Path, kind: type[dict] | type[list]) -> dict | list | None:
    """Return the content of a JSON file, or None if it is missing or damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, kind) else None
