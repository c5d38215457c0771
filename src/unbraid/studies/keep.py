"""What of a study is small enough to be committed, and all that its tables and page are made of."""

from __future__ import annotations

import shutil

import torch
from torch import Tensor
from tqdm import tqdm

from unbraid.engine import Run, checkpoint
from unbraid.engine.checkpoint import Checkpoint
from unbraid.errors import UserError
from unbraid.studies.store import Store
from unbraid.studies.study import Job, Study
from unbraid.studies.table import Line, measure
from unbraid.studies.worker import SAMPLE

# Whole numbers, the narrowest first.
WHOLE = (torch.int8, torch.int16, torch.int32)


def keep(study: Study, store: Store, to: Store, *, weights: bool = True) -> int:
    """Copy what is run of a study to another study directory; how many results that one has then.

    Of each run: its line of results, configuration, log and the codes of the sample, some 100 kB.
    Of each row's best and median member the weights, floats in half precision, in place of a
    checkpoint, unless `weights` is false: enough to encode and to draw, not to train on. What
    stands there of other studies or seeds stays. UserError if a study runs there, or nothing is
    run.
    """
    if store.path.resolve() == to.path.resolve():
        raise UserError(f"{to.path}: that is where the runs are; give another --to")
    known = store.results()
    jobs = [job for job in study.jobs if job.key in known]
    if not jobs:
        raise UserError(
            f"{store.path}: no run of the study is there to keep; give unbraid study run first, or"
            " the --out that it had"
        )
    with to.exclusively():
        # Runs that were made there are whole as they are.
        copied = [job for job in study.jobs if not to.run(job).provenance_file.exists()]
        for job in tqdm(jobs, desc="keeping", unit="run"):
            to.append(known[job.key])
            if job in copied:
                _copy(store.run(job), to.run(job))
        lines = measure(study, to)
        shown = {job.key for line in lines for job in _shown(line)} if weights else set()
        for job in copied:
            _keep_weights(store.run(job), to.run(job), job, shown=job.key in shown)
    return len(to.results())


def _shown(line: Line) -> list[Job]:
    """The row's best member and its median one."""
    best = max(line.done, key=lambda m: (m.score or 0.0, -m.seed), default=None)
    return [member.job for member in (best, line.median) if member is not None]


def _copy(run: Run, to: Run) -> None:
    for file in (run.config_file, run.log_file, run.path / SAMPLE):
        if file.exists():
            to.path.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, to.path / file.name)


def _keep_weights(run: Run, to: Run, job: Job, *, shown: bool) -> None:
    if not shown:
        to.checkpoint_file.unlink(missing_ok=True)
    elif run.checkpoint_file.exists():
        identity = job.config.identity()
        saved = checkpoint.read(run.checkpoint_file, identity)
        small = {n: _narrow(t) for n, t in saved.tensors.items() if n.startswith("parts.")}
        checkpoint.save(to.checkpoint_file, Checkpoint(saved.step, small), identity)
        checkpoint.previous(to.checkpoint_file).unlink(missing_ok=True)


def _narrow(tensor: Tensor) -> Tensor:
    """A tensor in fewer bytes: floats halved, whole numbers in the narrowest type that has them."""
    if tensor.is_floating_point():
        return tensor.half()
    for kind in WHOLE:
        reach = torch.iinfo(kind)
        if not len(tensor.flatten()) or (
            reach.min <= int(tensor.min()) and int(tensor.max()) <= reach.max
        ):
            return tensor.to(kind)
    return tensor
