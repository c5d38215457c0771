"""`train`: a run from its configuration, or from where it was stopped."""

from __future__ import annotations

import contextlib
import datetime
import json
import platform
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import torch

import unbraid
from unbraid.data.images import ImageTable
from unbraid.engine import checkpoint, noise, stages
from unbraid.engine.configure import usable_device
from unbraid.engine.log import Log
from unbraid.engine.run import Config, Run
from unbraid.engine.state import State
from unbraid.errors import UserError
from unbraid.files import written_atomically

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
) -> Run:
    """Train one run into the directory `out`, or continue the one that is there.

    The same configuration, device and thread count give the same bits, however often the run was
    stopped. Ctrl-C (or SIGTERM) ends it after the current step with a checkpoint, as
    KeyboardInterrupt. UserError if `out` holds a run and `resume` is not given, if the two
    contradict each other, or if a loss is not finite.
    """
    run = Run(out)
    state = State(config, table.shape, usable_device(device))
    if resume and run.config_file.exists():
        _continue(run, config, state)
    elif run.config_file.exists():
        raise UserError(
            f"{out}: it holds a run already; give --resume to continue it or another --out"
        )
    run.write_config(config)
    with _recorded(run, state), _stoppable() as stop:
        _loop(run, config, table, state, stop, checkpoint_seconds)
    return run


def _continue(run: Run, config: Config, state: State) -> None:
    saved = run.read_config()
    if saved.identity() != config.identity():
        old, new = _flat(saved), _flat(config)
        key = next(k for k in sorted(old | new) if old.get(k) != new.get(k) and k != "steps")
        raise UserError(
            f"{run.path}: it was trained with {key}={old.get(key)}, not {new.get(key)};"
            f" continue with --{key.replace('_', '-')} {old.get(key)}, or give another --out"
        )
    if not run.checkpoint_file.exists():
        return
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


def _loop(
    run: Run,
    config: Config,
    table: ImageTable,
    state: State,
    stop: list[int],
    checkpoint_seconds: float,
) -> None:
    def save() -> None:
        log.flush()
        state.require_finite_weights()
        checkpoint.save(run.checkpoint_file, state.checkpoint(), config.identity())

    log = Log(run, state.step, config.budget.steps)
    saved_at = time.monotonic()
    try:
        images = config.budget.batch * config.method.batches
        while state.step < config.budget.steps:
            index = noise.batch_indices(config.seed, state.step, len(table), images)
            x = torch.from_numpy(table.images(index.numpy())).to(state.device).float()
            state.advance(x)
            stages.keep(run, state)
            log.tick()
            if state.step % LOG_EVERY == 0 or state.step == config.budget.steps:
                betas = list(config.method.betas(state.step - 1))
                log.write({"step": state.step, **state.means(), "beta": betas})
            if stop:
                save()
                raise KeyboardInterrupt
            if time.monotonic() - saved_at > checkpoint_seconds:
                save()
                saved_at = time.monotonic()
        save()
    except OSError as error:
        raise UserError(
            f"{run.path}: cannot be written ({error.strerror or error}); the last checkpoint is"
            " kept; free space and give --resume"
        ) from error
    finally:
        log.close()


@contextlib.contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM are noted, not obeyed at once, so that a step always ends whole."""
    received: list[int] = []
    try:
        old = {
            number: signal.signal(number, lambda n, _: received.append(n))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
    except ValueError:  # only the main thread may set handlers
        old = {}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _recorded(run: Run, state: State) -> Iterator[None]:
    """Add this sitting to provenance.json: what ran, where, when, from which step to which."""
    sitting = {
        "from_step": state.step,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "unbraid": unbraid.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "device": str(state.device),
        "threads": torch.get_num_threads(),
    }
    began = time.monotonic()
    try:
        yield
    finally:
        sitting |= {"to_step": state.step, "seconds": round(time.monotonic() - began, 1)}
        sittings = []
        if run.provenance_file.exists():
            sittings = json.loads(run.provenance_file.read_text())
        with written_atomically(run.provenance_file) as file:
            file.write(json.dumps([*sittings, sitting], indent=2).encode())
