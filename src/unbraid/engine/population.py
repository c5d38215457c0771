"""A population: one run a seed, all of one configuration, trained together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from unbraid.data.images import ImageTable
from unbraid.engine import gpu_population, workers
from unbraid.engine.trainer import CHECKPOINT_SECONDS, check_resumable
from unbraid.errors import UserError
from unbraid.runs import checkpoint
from unbraid.runs.device import usable_device
from unbraid.runs.run import Config, Run


def member(out: Path, seed: int) -> Run:
    """The run directory of one member of the population in `out`."""
    return Run(out / f"seed-{seed}")


def train_population(
    config: Config,
    table: ImageTable,
    out: Path,
    seeds: Sequence[int],
    *,
    resume: bool = False,
    device: str = "cpu",
    max_workers: int | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> list[Run]:
    """Train one run a seed, member i in `out`/seed-i, or continue those that are not finished.

    On a CPU each is the run that `train` gives for `config` with this seed and one thread, bit for
    bit: a process of one thread trains each, `max_workers` of them at a time, by default one a core.
    The processes are spawned, so a script calls this under `if __name__ == "__main__":`. On a GPU
    one step moves all members, with the numbers of the run alone but for rounding; those of a
    method that must be `alone` follow one another. Ctrl-C (or
    SIGTERM) ends every member after a step with a checkpoint, as KeyboardInterrupt. A member that
    fails stops no other; UserError names those that did at the end, and at once what `train` would
    refuse of any.
    """
    config = config.with_fingerprint_of(table)
    members = {member(out, s): dataclasses.replace(config, seed=s) for s in seeds}
    for run, its_config in members.items():
        check_resumable(run, its_config, resume=resume)
    for run, its_config in members.items():
        if not run.config_file.exists():
            run.write_config(its_config)
    unfinished = {run: c for run, c in members.items() if not _finished(run, c)}
    how = {"device": device, "checkpoint_seconds": checkpoint_seconds}
    on_gpu = usable_device(device).type == "cuda"
    if gpu_population.in_one_step(config.method, device):
        failed = gpu_population.train_together(unfinished, table, **how)
    else:
        failed = workers.train_each(unfinished, table, 1 if on_gpu else max_workers, **how)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(members)} members failed, the others are done; give --resume"
            f" to continue them: {'; '.join(f'{n} ({why})' for n, why in failed.items())}"
        )
    return list(members)


def seeds_of(text: str) -> list[int]:
    """The seeds that 0-9 or 0,3,5-7 stand for; UserError for anything else."""
    seeds: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UserError(f"seeds {text!r}: not a list of seeds; give --seeds 0-9 or 0,3,5")
        seeds += range(int(first), int(last or first) + 1)
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(
            f"seeds {text!r}: each member has a seed of its own; give --seeds 0-9 or 0,3,5"
        )
    return seeds


def _finished(run: Run, config: Config) -> bool:
    found = checkpoint.read_if_valid(run.checkpoint_file, config.identity())
    return found is not None and found.step == config.budget.steps
