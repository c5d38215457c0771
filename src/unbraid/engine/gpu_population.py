"""Members of a population on one GPU, all trained in the same step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

import torch

from unbraid.data.images import ImageTable
from unbraid.engine.device_dataset import DeviceDataset
from unbraid.engine.session import LOG_EVERY, TrainingSession, training_session
from unbraid.engine.state import divergence_message
from unbraid.engine.vmapped_ensemble import VmappedEnsemble
from unbraid.errors import DivergedError, UnbraidError
from unbraid.methods import Method
from unbraid.runs.config import Config
from unbraid.runs.interrupt import DeferredSignals, deferred_signals
from unbraid.runs.run import Run


def can_train_together(method: Method, device: str) -> bool:
    """Return whether members of this method can be trained in the same step on this device."""
    return torch.device(device).type == "cuda" and method.supports_vmap


def train_together(
    members: Mapping[Run, Config],
    table: ImageTable,
    *,
    device: str,
    checkpoint_seconds: float,
    dataset: DeviceDataset | None = None,
) -> dict[str, str]:
    """Train members in the same steps on one device and return the failures.

    Members that a kill left at different steps are resumed from the smallest step: those that are
    further join when the others have reached their step.

    Parameters
    ----------
    members : mapping
        Configuration of each run directory. The configurations differ only in their seed.
    table : ImageTable
        Dataset of all members.
    device : str
        Device of torch.
    checkpoint_seconds : float
        Seconds between two checkpoints.
    dataset : DeviceDataset, optional
        The images of `table`, if they are on the device already.

    Returns
    -------
    dict
        Reason of each failure, by the name of the member's directory.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, when every member has written its checkpoint.
    """
    failures: dict[str, str] = {}
    with deferred_signals() as stop, contextlib.ExitStack() as stack:
        unfinished: list[TrainingSession] = []
        for run, config in members.items():
            session = training_session(
                run, config, table.shape, device, resume=True, members=len(members)
            )
            try:
                unfinished.append(stack.enter_context(session))
            except UnbraidError as error:
                failures[run.path.name] = str(error)
        if unfinished and dataset is None:
            dataset = DeviceDataset(table, torch.device(device))
        while unfinished:
            assert dataset is not None
            steps = sorted({session.state.step for session in unfinished})
            group = [session for session in unfinished if session.state.step == steps[0]]
            end = steps[1] if len(steps) > 1 else group[0].state.config.budget.steps
            lost = advance(group, dataset, end, stop, checkpoint_seconds)
            failures |= {session.run.path.name: reason for session, reason in lost.items()}
            unfinished = [s for s in unfinished if s not in lost and not _is_finished(s)]
    return failures


def advance(
    group: list[TrainingSession],
    dataset: DeviceDataset,
    end: int,
    stop: DeferredSignals,
    checkpoint_seconds: float,
) -> dict[TrainingSession, str]:
    """Train members of the same step up to step `end`, or until one of them diverges.

    Returns the reason for every member that diverged.
    """
    ensemble = VmappedEnsemble([session.state for session in group], dataset)
    begins_stage = group[0].state.config.method.begins_stage
    saved_at = time.monotonic()
    lost: dict[TrainingSession, str] = {}
    while ensemble.step < end and not lost:
        start = ensemble.step
        next_record = min(end, start - start % LOG_EVERY + LOG_EVERY)
        stages = (step for step in range(start + 1, next_record) if begins_stage(step))
        pause = next(stages, next_record)
        is_finite = ensemble.run(pause)
        for session, finite in zip(group, is_finite, strict=True):
            if finite:
                session.record_progress(pause - start)
            else:
                lost[session] = divergence_message(pause, "a loss since the last record")
        time_is_up = time.monotonic() - saved_at > checkpoint_seconds
        save = bool(stop or lost or pause == end or time_is_up)
        if save or begins_stage(pause):
            ensemble.update_states()
            lost |= _save([s for s in group if s not in lost], checkpoint=save)
        if save:
            saved_at = time.monotonic()
        if stop:
            raise KeyboardInterrupt
    return lost


def _save(sessions: list[TrainingSession], *, checkpoint: bool) -> dict[TrainingSession, str]:
    """Save stages, and checkpoints if asked; return the reason for members that diverged."""
    lost: dict[TrainingSession, str] = {}
    for session in sessions:
        try:
            session.state.save_stage(session.run)
            if checkpoint:
                session.save()
        except DivergedError as error:
            lost[session] = str(error)
    return lost


def _is_finished(session: TrainingSession) -> bool:
    return session.state.step == session.state.config.budget.steps
