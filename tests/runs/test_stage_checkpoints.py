"""Stages: their ends are kept as the run was then, resumed or not."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unbraid.data.images import ImageTable
from unbraid.engine import train
from unbraid.errors import DivergedError
from unbraid.engine.state import State
from unbraid.errors import UserError
from unbraid.runs import Config, Run
from unbraid.runs.encode import load_trained
from unbraid.runs.stage_checkpoints import load_stages

Make = Callable[..., Config]


def weights(run: Run, table: ImageTable) -> list[tuple[int, dict[str, torch.Tensor]]]:
    return [(end.step, end.parts.state_dict()) for end in load_stages(run, table)]


def test_a_stage_holds_the_weights_that_a_run_of_its_length_ends_with(
    tiny_run: Run, tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    """Stages of 3: dimensions open at 0 and 3, d at 6, the last dimension at 9; 12 is the end."""
    ends = weights(tiny_run, table)
    assert [step for step, _ in ends] == [3, 6, 9, 12]
    for step, parts in ends[:-1]:
        short = train(tiny_config(steps=step), table, tmp_path / str(step))
        other = load_trained(short, table).parts.state_dict()
        assert parts.keys() == other.keys()
        assert all(torch.equal(parts[name], other[name]) for name in parts)
        # The end of a shorter budget is no stage of its own.
        assert load_stages(short, table)[-1].step == step
        assert len(load_stages(short, table)) == step // 3


def test_a_stopped_run_keeps_the_same_stages(
    tiny_run: Run,
    tiny_config: Make,
    table: ImageTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    advance = State.advance

    def interrupted(state: State, x: torch.Tensor, *told: Any) -> None:
        advance(state, x, *told)
        if state.step == 6:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(State, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(), table, tmp_path / "run")
    monkeypatch.undo()
    run = train(tiny_config(), table, tmp_path / "run", resume=True)
    for (step, parts), (same, others) in zip(
        weights(run, table), weights(tiny_run, table), strict=True
    ):
        assert step == same
        assert all(torch.equal(parts[name], others[name]) for name in parts)


def test_a_method_without_stages_keeps_none(tiny_runs: dict[str, Run], table: ImageTable) -> None:
    for name in ("vae", "joint-vae"):
        assert [end.step for end in load_stages(tiny_runs[name], table)] == [3]
        assert not (tiny_runs[name].path / "stages").exists()


def test_a_damaged_stage_is_named(tiny_run: Run, table: ImageTable, tmp_path: Path) -> None:
    shutil.copytree(tiny_run.path, tmp_path / "run")
    (tmp_path / "run" / "stages" / "step-00000006.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"step-00000006.safetensors: not a whole"):
        load_stages(Run(tmp_path / "run"), table)


def test_weights_that_are_not_finite_are_no_stage(
    tiny_config: Make, table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = State.advance

    def poisoned(state: State, x: torch.Tensor, *told: Any) -> None:
        advance(state, x, *told)
        with torch.no_grad():
            next(state.parts["decoder"].parameters()).fill_(torch.inf)

    monkeypatch.setattr(State, "advance", poisoned)
    with pytest.raises(DivergedError):
        train(tiny_config(stage_steps=1), table, tmp_path / "run")
    assert not (tmp_path / "run" / "stages").exists()
