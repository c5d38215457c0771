"""Training of one run, from its configuration or from its checkpoint."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from tqdm import tqdm

from unbraid.data.images import ImageTable
from unbraid.engine import survey
from unbraid.engine.log import Log, ProgressBar
from unbraid.engine.provenance import recorded_session
from unbraid.engine.state import State
from unbraid.errors import UserError
from unbraid.files import directory_lock, remove_partial_files
from unbraid.runs import checkpoint, noise
from unbraid.runs.config import Config
from unbraid.runs.device import usable_device
from unbraid.runs.interrupt import DeferredSignals, deferred_signals
from unbraid.runs.records import LogRecord
from unbraid.runs.run import Run

# Steps between two records of the log.
LOG_EVERY = 100
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


@dataclass(eq=False)
class TrainingSession:
    """A run that is being trained.

    Parameters
    ----------
    run : Run
        Run directory.
    state : State
        Weights, optimisers and losses after the last step.
    log : Log
        Log of this session.
    """

    run: Run
    state: State
    log: Log

    def record_progress(self, steps: int) -> None:
        """Update the progress bar; log every `LOG_EVERY` steps.

        Parameters
        ----------
        steps : int
            Number of steps since the last call.
        """
        config, step = self.state.config, self.state.step
        self.log.advance(steps)
        if step % LOG_EVERY == 0 or step == config.budget.steps:
            betas = list(config.method.betas(step - 1))
            record = {"step": step, **self.state.mean_losses(), "beta": betas}
            self.log.write(cast(LogRecord, record))

    def save(self) -> None:
        """Write a checkpoint.

        Raises
        ------
        DivergedError
            If a weight is not finite. The last checkpoint is kept.
        UserError or StorageError
            If the checkpoint cannot be written. The last one is kept.
        """
        self.log.flush()
        self.state.require_finite_weights()
        checkpoint.save(
            self.run.checkpoint_file, self.state.checkpoint(), self.state.config.identity()
        )


@contextlib.contextmanager
def training_session(
    run: Run,
    config: Config,
    shape: tuple[int, int, int],
    device: str,
    *,
    resume: bool,
    progress_bar: Callable[..., ProgressBar] = tqdm,
    members: int = 1,
) -> Iterator[TrainingSession]:
    """Lock a run directory, and start the run or resume it from its checkpoint.

    Parameters
    ----------
    run : Run
        Run directory.
    config : Config
        Configuration of the run.
    shape : tuple of int
        Channels, height and width of an image.
    device : str
        Device of torch.
    resume : bool
        Whether to resume a run that exists.
    progress_bar : callable, optional
        Makes the progress bar from the keyword arguments of `tqdm`, which is the default.
    members : int, optional
        Number of runs that are trained together and share the time, default 1.

    Yields
    ------
    TrainingSession
        The run at its last checkpoint, or before its first step.

    Raises
    ------
    UserError
        If the run may not be resumed with `config`, or if another process trains in its directory.
    StorageError
        If the disk is full.
    """
    torch_device = usable_device(device)
    with directory_lock(run.path):
        exists = check_resumable(run, config, resume=resume)
        state = State(config, shape, torch_device)
        if exists and checkpoint.exists(run.checkpoint_file):
            _restore(run, state)
        for file in run.written_by_training:
            remove_partial_files(file)
        run.write_config(config)
        with recorded_session(run, state, members):
            log = Log(run, state.step, config.budget.steps, progress_bar)
            try:
                yield TrainingSession(run, state, log)
            finally:
                log.close()


def check_resumable(run: Run, config: Config, *, resume: bool) -> bool:
    """Return whether the run exists, and raise if it may not be resumed.

    Parameters
    ----------
    run : Run
        Run directory.
    config : Config
        Configuration to train with.
    resume : bool
        Whether the user asked to resume the run.

    Returns
    -------
    bool
        Whether the directory contains a run.

    Raises
    ------
    UserError
        If the run exists and `resume` is False, or if it has another configuration.
    """
    if not run.config_file.exists():
        return False
    if not resume:
        raise UserError(
            f"{run.path}: contains a run; add `resume` to continue it, or set `out` to another"
            " folder"
        )
    saved = run.read_config()
    if saved.identity() != config.identity():
        old, new = _flat(saved), _flat(config)
        key = next(k for k in sorted(old | new) if old.get(k) != new.get(k) and k != "steps")
        raise UserError(
            f"{run.path}: trained with {key}={old.get(key)}, not {new.get(key)};"
            f" set `{key}` to {old.get(key)} to resume it, or set `out` to another folder"
        )
    return True


def _restore(run: Run, state: State) -> None:
    config = state.config
    state.restore(checkpoint.read(run.checkpoint_file, config.identity()))
    if state.step > config.budget.steps:
        raise UserError(
            f"{run.path}: trained for {state.step} steps already, more than"
            f" steps={config.budget.steps}; set `steps` to {state.step} or more"
        )


def _flat(config: Config) -> dict[str, object]:
    table = config.as_table()
    budget, hyperparameters = table.pop("budget"), table.pop("hyperparameters")
    return {**table, **budget, **hyperparameters}


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
