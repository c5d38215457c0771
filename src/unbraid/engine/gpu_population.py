"""Members on one device, from their directories to their last checkpoints: the loop over steps."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

import torch

from unbraid.data.images import ImageTable
from unbraid.engine.device_dataset import DeviceDataset
from unbraid.engine.state import diverged
from unbraid.engine.trainer import LOG_EVERY, TrainingSession, training_session
from unbraid.engine.vmapped_ensemble import VmappedEnsemble
from unbraid.errors import DivergedError, UnbraidError
from unbraid.methods import Method
from unbraid.runs.interrupt import stoppable
from unbraid.runs.run import Config, Run


def in_one_step(method: Method, device: str) -> bool:
    """Whether members of this method are trained all in one step there."""
    return torch.device(device).type == "cuda" and method.supports_vmap


def train_together(
    members: Mapping[Run, Config],
    table: ImageTable,
    *,
    device: str,
    checkpoint_seconds: float,
    pictures: DeviceDataset | None = None,
) -> dict[str, str]:
    """Train these members on one device, all in one step; why those failed that did, by name.

    Members at different steps, as a kill may leave them, go on from the hindmost until all are
    level. `pictures` are the table's, if they are on the device already. KeyboardInterrupt after
    Ctrl-C or SIGTERM, with every member saved.
    """
    failed: dict[str, str] = {}
    with stoppable() as stop, contextlib.ExitStack() as opened:
        going: list[TrainingSession] = []
        for run, config in members.items():
            how = {"resume": True, "members": len(members)}
            try:
                going.append(
                    opened.enter_context(training_session(run, config, table.shape, device, **how))
                )
            except UnbraidError as error:
                failed[run.path.name] = str(error)
        if going and pictures is None:
            pictures = DeviceDataset(table, torch.device(device))
        while going:
            assert pictures is not None
            steps = sorted({it.state.step for it in going})
            group = [it for it in going if it.state.step == steps[0]]
            level = steps[1] if len(steps) > 1 else group[0].state.config.budget.steps
            lost = advance(group, pictures, level, stop, checkpoint_seconds)
            failed |= {it.run.path.name: why for it, why in lost.items()}
            done = [it for it in group if it.state.step == it.state.config.budget.steps]
            going = [it for it in going if it not in lost and it not in done]
    return failed


def advance(
    group: list[TrainingSession],
    pictures: DeviceDataset,
    level: int,
    stop: list[int],
    seconds: float,
) -> dict[TrainingSession, str]:
    """Bring members that are level up to a step, or to where one is lost: which, and why."""
    stack = VmappedEnsemble([it.state for it in group], pictures)
    saved_at = time.monotonic()
    lost: dict[TrainingSession, str] = {}
    while stack.step < level and not lost:
        begins = group[0].state.config.method.begins_stage
        end = min(level, stack.step - stack.step % LOG_EVERY + LOG_EVERY)
        end = next((step for step in range(stack.step + 1, end) if begins(step)), end)
        steps = end - stack.step
        finite = stack.run(end)
        for it, good in zip(group, finite, strict=True):
            if good:
                it.note(steps)
            else:
                lost[it] = diverged(end, "a loss since the last record")
        due = stop or lost or end == level or time.monotonic() - saved_at > seconds
        if due or begins(end):
            stack.unstack()
            for it in group:
                if it not in lost:
                    try:
                        it.state.save_stage(it.run)
                        if due:
                            it.save()
                    except DivergedError as error:
                        lost[it] = str(error)
        if due:
            saved_at = time.monotonic()
        if stop:
            raise KeyboardInterrupt
    return lost
