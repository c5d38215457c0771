"""A run in training: its lock, its state, its log and its checkpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from tqdm import tqdm

from unbraid.engine.log import Log, ProgressBar
from unbraid.engine.provenance import recorded_session
from unbraid.engine.state import State
from unbraid.errors import UserError
from unbraid.files import directory_lock, remove_partial_files
from unbraid.runs import checkpoint
from unbraid.runs.config import Config
from unbraid.runs.device import usable_device
from unbraid.runs.precision import flushed_denormals
from unbraid.runs.records import LogRecord
from unbraid.runs.run import Run

# Steps between two records of the log.
LOG_EVERY = 100


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
        PyTorch device.
    resume : bool
        Whether to resume a run that exists.
    progress_bar : callable, optional
        Function that makes the progress bar from the keyword arguments of `tqdm`, by default
        `tqdm` itself.
    members : int, optional
        Number of runs trained together, which share the recorded training time, default 1.

    Yields
    ------
    TrainingSession
        The run at its last checkpoint, or before its first step.

    Raises
    ------
    UserError
        If the run exists and cannot be resumed with `config`, if its checkpoint is not valid, if
        another process trains in its directory, or if the device is not available.
    UserError or StorageError
        If a file cannot be written.
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
        on_cpu = torch_device.type == "cpu"
        with (
            flushed_denormals() if on_cpu else contextlib.nullcontext(),
            recorded_session(run, state, members),
        ):
            log = Log(run, state.step, config.budget.steps, progress_bar)
            try:
                yield TrainingSession(run, state, log)
            finally:
                log.close()


def check_resumable(run: Run, config: Config, *, resume: bool) -> bool:
    """Return whether the run exists; raise an error if it may not be resumed.

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
        If the run exists and `resume` is False, or if it has another configuration or none.
    """
    if not run.config_file.exists():
        if checkpoint.exists(run.checkpoint_file):
            raise UserError(
                f"{run.path}: contains a checkpoint without a {run.config_file.name}; restore the"
                " file, or set `out` to another folder"
            )
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
