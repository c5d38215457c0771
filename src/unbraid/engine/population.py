"""Populations: one run per seed, otherwise of the same configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from unbraid.data.images import ImageTable
from unbraid.engine import cpu_population, gpu_population
from unbraid.engine.session import check_resumable
from unbraid.engine.trainer import CHECKPOINT_SECONDS
from unbraid.errors import ArgumentError, UnbraidError
from unbraid.runs import checkpoint
from unbraid.runs.config import Config
from unbraid.runs.device import usable_device
from unbraid.runs.run import Run

# Limits of a list of seeds; the largest seed, 2³² − 1, has ten digits.
MAX_SEEDS, MAX_DIGITS = 10_000, 10
MAX_SEED = 2**32 - 1


def member(out: Path, seed: int) -> Run:
    """Return the run of one member of a population.

    Parameters
    ----------
    out : Path
        Directory of the population.
    seed : int
        Seed of the member.

    Returns
    -------
    Run
        The member's run directory.

    Examples
    --------
    >>> member(Path("runs/ten"), 3).path.as_posix()
    'runs/ten/seed-3'
    """
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
    """Train one run per seed, or resume those that are not finished.

    On a CPU every member is trained in a process of its own with one thread, and equals the run
    that `train` gives for this seed and one thread, bit for bit. The processes import the calling
    script, which must therefore call this function under `if __name__ == "__main__":`. On a GPU one
    step trains all members (`torch.vmap`), and the numbers equal those of separate runs up to
    rounding; members of a method without `supports_vmap` are trained one after another.

    Parameters
    ----------
    config : Config
        Configuration of all members; its seed is replaced.
    table : ImageTable
        Dataset that `config.data` names.
    out : Path
        Directory of the population. The member of seed i is in `out`/seed-i.
    seeds : sequence of int
        Seeds of the members.
    resume : bool, optional
        Whether to resume runs that exist, default False.
    device : str, optional
        PyTorch device, default "cpu".
    max_workers : int, optional
        Number of members that a CPU trains at the same time, by default one per core.
    checkpoint_seconds : float, optional
        Seconds between two checkpoints of a member, default 120.

    Returns
    -------
    list of Run
        The members in the order of `seeds`.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, when every member has written a checkpoint.
    UserError
        Before training, if `train` would refuse any of the members.
    UnbraidError
        After training, if some members failed. All others are trained to the end.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from unbraid.data.factors import FactorTable
    >>> from unbraid.data.images import ImageTable
    >>> from unbraid.methods import find
    >>> from unbraid.runs import Budget
    >>> pixels = np.random.default_rng(0).integers(0, 256, (10, 16 * 16), np.uint8)
    >>> table = ImageTable("noise", pixels, 16, 16, FactorTable.none(10), depth=8)
    >>> config = Config(find("vae")(latent_dim=2), "noise", Budget(2, 4), 0, "fp32")
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     runs = train_population(config, table, Path(folder), seeds_of("0-9"))
    """
    on_gpu = usable_device(device).type == "cuda"
    if max_workers is not None and max_workers < 1:
        rule, remedy = "must be at least 1", "set `max_workers` to 1 or more"
        raise ArgumentError("max_workers", max_workers, rule, remedy)
    config = config.with_fingerprint_of(table)
    members = {member(out, s): dataclasses.replace(config, seed=s) for s in seeds}
    for run, member_config in members.items():
        check_resumable(run, member_config, resume=resume)
    for run, member_config in members.items():
        if not run.config_file.exists():
            run.write_config(member_config)
    unfinished = {run: c for run, c in members.items() if not _is_finished(run, c)}
    if gpu_population.can_train_together(config.method, device):
        failures = gpu_population.train_together(
            unfinished, table, device=device, checkpoint_seconds=checkpoint_seconds
        )
    else:
        failures = cpu_population.train_each(
            unfinished,
            table,
            1 if on_gpu else max_workers,
            device=device,
            checkpoint_seconds=checkpoint_seconds,
        )
    if failures:
        reasons = "; ".join(f"{name} ({reason})" for name, reason in failures.items())
        raise UnbraidError(
            f"{len(failures)} of {len(members)} members failed, all others are finished; add"
            f" `resume` to continue them: {reasons}"
        )
    return list(members)


def seeds_of(text: str) -> list[int]:
    """Parse a list of seeds.

    Parameters
    ----------
    text : str
        Seeds and ranges of seeds, separated by commas, such as "0-9" or "0,3,5-7".

    Returns
    -------
    list of int
        All seeds, in the order of `text`.

    Raises
    ------
    ArgumentError
        If `text` has another form, if a seed is repeated, or if there are more than 10,000 seeds.

    Examples
    --------
    >>> seeds_of("0,3,5-7")
    [0, 3, 5, 6, 7]
    """
    remedy = "set `seeds` to a list as 0-9 or 0,3,5"
    seeds: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ArgumentError("seeds", text, "must be seeds and ranges of seeds", remedy)
        if max(len(first), len(last)) > MAX_DIGITS:
            rule = f"must be seeds of at most {MAX_DIGITS} digits"
            raise ArgumentError("seeds", f"{text[:20]}…", rule, remedy)
        if max(int(first), int(last or first)) > MAX_SEED:
            raise ArgumentError("seeds", text, f"must be seeds from 0 to {MAX_SEED}", remedy)
        piece_seeds = range(int(first), int(last or first) + 1)
        if len(seeds) + len(piece_seeds) > MAX_SEEDS:
            raise ArgumentError("seeds", text, f"must be at most {MAX_SEEDS:,} seeds", remedy)
        seeds += piece_seeds
    if not seeds or len(set(seeds)) < len(seeds):
        raise ArgumentError("seeds", text, "must not be empty or repeat a seed", remedy)
    return seeds


def _is_finished(run: Run, config: Config) -> bool:
    saved = checkpoint.read_if_valid(run.checkpoint_file, config.identity())
    return saved is not None and saved.step == config.budget.steps
