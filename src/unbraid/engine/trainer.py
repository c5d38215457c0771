"""Training of one run, from its configuration or from its checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from unbraid.data.images import ImageTable
from unbraid.engine import survey
from unbraid.engine.log import ProgressBar
from unbraid.engine.session import TrainingSession, training_session
from unbraid.runs import noise
from unbraid.runs.config import Config
from unbraid.runs.interrupt import DeferredSignals, deferred_signals
from unbraid.runs.run import Run

# Seconds between two checkpoints.
CHECKPOINT_SECONDS = 120.0


def train(
    config: Config,
    table: ImageTable,
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress_bar: Callable[..., ProgressBar] = tqdm,
) -> Run:
    """Train one run, or resume it.

    The same configuration, device and number of threads give the same weights bit for bit, however
    often the run was interrupted.

    Parameters
    ----------
    config : Config
        Configuration of the run.
    table : ImageTable
        Dataset that `config.data` names.
    out : Path
        Run directory.
    resume : bool, optional
        Whether to resume a run that exists in `out`, default False.
    device : str, optional
        Device of torch, default "cpu".
    checkpoint_seconds : float, optional
        Seconds between two checkpoints, default 120.
    progress_bar : callable, optional
        Makes the progress bar from the keyword arguments of `tqdm`, which is the default.

    Returns
    -------
    Run
        The trained run.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, when the current step has ended and a checkpoint is written.
    UserError
        If `out` contains a run and `resume` is False, if that run has another configuration, or if
        another process trains in `out`.
    DivergedError
        If a loss or a weight is not finite. The last good checkpoint is kept.
    StorageError
        If the disk is full. The last checkpoint is kept.

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
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = train(config, table, Path(folder))
    ...     print([record["step"] for record in run.read_log()])
    [2]
    """
    run, config = Run(out), config.with_fingerprint_of(table)
    with (
        deferred_signals() as stop,
        training_session(
            run, config, table.shape, device, resume=resume, progress_bar=progress_bar
        ) as session,
    ):
        _train_steps(session, table, stop, checkpoint_seconds)
    return run


def _train_steps(
    session: TrainingSession, table: ImageTable, stop: DeferredSignals, checkpoint_seconds: float
) -> None:
    state, config = session.state, session.state.config
    saved_at = time.monotonic()
    images = config.budget.batch_size * config.method.batches_per_step
    while state.step < config.budget.steps:
        if config.method.needs_survey(state.step):
            session.save()
            with stop.interruptible():
                survey.run_survey(session.run, state, table)
        index = noise.batch_indices(config.seed, state.step, len(table), images)
        generator = noise.generator(config.seed, "choose", state.step)
        index, extra = config.method.sample_batch(state.parts, index, generator)
        x = torch.from_numpy(table.images(index.numpy())).to(state.device).float()
        state.advance(x, extra)
        state.save_stage(session.run)
        session.record_progress(1)
        if stop:
            session.save()
            raise KeyboardInterrupt
        if time.monotonic() - saved_at > checkpoint_seconds:
            session.save()
            saved_at = time.monotonic()
    session.save()
