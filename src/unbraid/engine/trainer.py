"""`train`: a run from its configuration, or from where it was stopped."""

from __future__ import annotations

import contextlib
import datetime
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import unbraid
from unbraid.data.images import ImageTable
from unbraid.engine import survey
from unbraid.engine.log import Log
from unbraid.engine.state import State
from unbraid.errors import UserError
from unbraid.files import directory_lock, remove_partial_files, written_atomically
from unbraid.runs import checkpoint, noise
from unbraid.runs.device import usable_device
from unbraid.runs.interrupt import Stop, stoppable
from unbraid.runs.run import Config, Run

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
    bar: Callable[..., Any] = tqdm,
) -> Run:
    """Train one run into the directory `out`, or continue the one that is there.

    The same configuration, device and thread count give the same bits, however often the run was
    stopped. Ctrl-C (or SIGTERM) ends it after the current step with a checkpoint, as
    KeyboardInterrupt. UserError if `out` holds a run and `resume` is not given, if the two
    contradict each other, if another process trains there, or if a loss is not finite.
    """
    run, config = Run(out), config.with_fingerprint_of(table)
    with (
        stoppable() as stop,
        training_session(run, config, table.shape, device, resume=resume, bar=bar) as it,
    ):
        _loop(it, table, stop, checkpoint_seconds)
    return run


@dataclass(eq=False)
class TrainingSession:
    """A run while it is trained: its directory, its state and its log."""

    run: Run
    state: State
    log: Log

    def note(self, steps: int) -> None:
        """Some more steps are done: move the bar, and add to the log if its time has come."""
        config, step = self.state.config, self.state.step
        self.log.tick(steps)
        if step % LOG_EVERY == 0 or step == config.budget.steps:
            betas = list(config.method.betas(step - 1))
            self.log.write({"step": step, **self.state.means(), "beta": betas})

    def save(self) -> None:
        """Replace the checkpoint; DivergedError, and it is kept, if a weight is not finite."""
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
    bar: Callable[..., Any] = tqdm,
    members: int = 1,
) -> Iterator[TrainingSession]:
    """Begin a run or continue it where its checkpoint stands; nobody else can meanwhile.

    It is one of so many `members` that share the device's time.
    """
    where = usable_device(device)
    with directory_lock(run.path):
        continued = check_resumable(run, config, resume=resume)
        state = State(config, shape, where)
        if continued and checkpoint.exists(run.checkpoint_file):
            _restore(run, state)
        for file in run.written_by_training:
            remove_partial_files(file)
        run.write_config(config)
        with _recorded(run, state, members):
            log = Log(run, state.step, config.budget.steps, bar)
            try:
                yield TrainingSession(run, state, log)
            except OSError as error:
                raise UserError(
                    f"{run.path}: cannot be written ({error.strerror or error}); the last"
                    " checkpoint is kept; free space and give --resume"
                ) from error
            finally:
                log.close()


def check_resumable(run: Run, config: Config, *, resume: bool) -> bool:
    """Whether the run is there already; UserError if it may not be continued with `config`."""
    if not run.config_file.exists():
        return False
    if not resume:
        raise UserError(
            f"{run.path}: it holds a run already; give --resume to continue it or another --out"
        )
    saved = run.read_config()
    if saved.identity() != config.identity():
        old, new = _flat(saved), _flat(config)
        key = next(k for k in sorted(old | new) if old.get(k) != new.get(k) and k != "steps")
        raise UserError(
            f"{run.path}: it was trained with {key}={old.get(key)}, not {new.get(key)};"
            f" continue with --{key.replace('_', '-')} {old.get(key)}, or give another --out"
        )
    return True


def _restore(run: Run, state: State) -> None:
    config = state.config
    state.restore(checkpoint.read(run.checkpoint_file, config.identity()))
    if state.step > config.budget.steps:
        raise UserError(
            f"{run.path}: it has done {state.step} steps, more than steps={config.budget.steps};"
            f" give --steps {state.step} or more"
        )


def _flat(config: Config) -> dict[str, object]:
    table = config.as_table()
    budget, hyperparameters = table.pop("budget"), table.pop("hyperparameters")
    return {**table, **budget, **hyperparameters}


def _loop(it: TrainingSession, table: ImageTable, stop: Stop, checkpoint_seconds: float) -> None:
    state, config = it.state, it.state.config
    saved_at = time.monotonic()
    images = config.budget.batch_size * config.method.batches_per_step
    while state.step < config.budget.steps:
        if config.method.needs_survey(state.step):
            it.save()
            with stop.at_once():
                survey.take(it.run, state, table)
        index = noise.batch_indices(config.seed, state.step, len(table), images)
        drawn = noise.generator(config.seed, "choose", state.step)
        index, told = config.method.sample_batch(state.parts, index, drawn)
        x = torch.from_numpy(table.images(index.numpy())).to(state.device).float()
        state.advance(x, told)
        state.save_stage(it.run)
        it.note(1)
        if stop:
            it.save()
            raise KeyboardInterrupt
        if time.monotonic() - saved_at > checkpoint_seconds:
            it.save()
            saved_at = time.monotonic()
    it.save()


@contextlib.contextmanager
def _recorded(run: Run, state: State, members: int) -> Iterator[None]:
    """Add this session to provenance.json: what ran, where, when, from which step to which."""
    session = {
        "from_step": state.step,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "unbraid": unbraid.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "device": str(state.device),
        "threads": torch.get_num_threads(),
        **({"members": members} if members > 1 else {}),
    }
    began = time.monotonic()
    try:
        yield
    finally:
        session |= {"to_step": state.step, "seconds": round(time.monotonic() - began, 1)}
        sessions = []
        if run.provenance_file.exists():
            sessions = json.loads(run.provenance_file.read_text())
        with written_atomically(run.provenance_file) as file:
            file.write(json.dumps([*sessions, session], indent=2).encode())
