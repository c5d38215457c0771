"""What of a study is small enough to be committed, and all that its tables and page are made of."""

from __future__ import annotations

import torch
from torch import Tensor
from tqdm import tqdm

from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.runs import Run, checkpoint
from unbraid.runs.checkpoint import Checkpoint
from unbraid.runs.weights import is_weights_only
from unbraid.studies.store import Store
from unbraid.studies.study import Job, Study
from unbraid.studies.table import RowResult, measure

# Whole numbers, the narrowest first.
WHOLE = (torch.int8, torch.int16, torch.int32)


def archive(study: Study, store: Store, to: Store, *, weights: bool = True) -> list[Job]:
    """Copy what is run of a study to another study directory; the jobs that are there then.

    Of each run: its line of results, configuration, log and the codes of the sample, some 100 kB.
    Of each row's best and median member the weights, floats in half precision, in place of a
    checkpoint, unless `weights` is false: enough to encode and to draw, not to train on, and
    without what only training needs, such as FactorVAE's discriminator. Nothing
    that stands there is removed, and a run that was begun there is left alone, for a study to
    finish; one that is trained there gets its line. UserError if a study runs there, or nothing is
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
    with to.exclusively(flag="--to"):
        held = to.results()
        free = [job for job in jobs if not _begun(to.run(job))]
        for job in tqdm(jobs, desc="keeping", unit="run"):
            if job in free:
                _copy(store.run(job), to.run(job))
            elif not _trained(job, to.run(job)):
                continue
            if held.get(job.key) != known[job.key]:
                to.append(known[job.key])
        if weights:
            shown = {job.key for line in measure(study, to) for job in shown_of(line)}
            for job in free:
                if job.key in shown and store.run(job).checkpoint_file.exists():
                    _keep_weights(store.run(job), to.run(job))
        there = to.results()
    return [job for job in study.jobs if job.key in there]


def _begun(run: Run) -> bool:
    """Whether a run was trained there, be it for a moment."""
    newest = run.checkpoint_file
    if run.provenance_file.exists() or checkpoint.previous_path(newest).exists():
        return True
    if not newest.exists():
        return False
    found = checkpoint.read_if_valid(newest, run.read_config().identity())
    return found is None or not is_weights_only(found)


def _trained(job: Job, run: Run) -> bool:
    """Whether a run that was begun there has come to the end of the job's budget."""
    found = checkpoint.read_if_valid(run.checkpoint_file, run.read_config().identity())
    return found is not None and found.step >= job.config.budget.steps


def shown_of(line: RowResult) -> list[Job]:
    """The row's best member and its median one, whose weights are kept."""
    return [member.job for member in (line.winner, line.median) if member is not None]


def _copy(run: Run, to: Run) -> None:
    for file in (run.config_file, run.log_file, run.sample_file):
        if file.exists():
            with written_atomically(to.path / file.name) as copy:
                copy.write(file.read_bytes())


def _keep_weights(run: Run, to: Run) -> None:
    identity = run.read_config().identity()
    saved = checkpoint.read(run.checkpoint_file, identity)
    training_only = run.read_config().method.training_only
    small = {
        name: _narrow(tensor)
        for name, tensor in saved.tensors.items()
        if name.startswith("parts.") and name.split(".")[1] not in training_only
    }
    checkpoint.save(to.checkpoint_file, Checkpoint(saved.step, small), identity)
    # Kept twice, the first stands as the previous one, and is the same.
    checkpoint.previous_path(to.checkpoint_file).unlink(missing_ok=True)


def _narrow(tensor: Tensor) -> Tensor:
    """A tensor in fewer bytes: floats halved, whole numbers in the narrowest type that has them."""
    if tensor.is_floating_point():
        return tensor.half()
    for kind in WHOLE:
        reach = torch.iinfo(kind)
        if not tensor.numel() or (
            reach.min <= int(tensor.min()) and int(tensor.max()) <= reach.max
        ):
            return tensor.to(kind)
    return tensor
