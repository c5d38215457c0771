"""Checkpoints of stages: the weights at the end of each stage, also of resumed runs."""

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
from unbraid.engine.state import State
from unbraid.errors import DivergedError, UserError
from unbraid.runs import Config, Run
from unbraid.runs.encode import load_trained
from unbraid.runs.stage_checkpoints import load_stages

Make = Callable[..., Config]


def weights(run: Run, table: ImageTable) -> list[tuple[int, dict[str, torch.Tensor]]]:
    return [(end.step, end.parts.state_dict()) for end in load_stages(run, table)]


def test_stage_has_the_weights_of_a_run_of_that_length(
    tiny_run: Run, tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    """Stages of 3 steps: dimensions open at 0, 3 and 9, d at 6; training ends at 12."""
    ends = weights(tiny_run, table)
    assert [step for step, _ in ends] == [3, 6, 9, 12]
    for step, parts in ends[:-1]:
        short = train(tiny_config(steps=step), table, tmp_path / str(step))
        other = load_trained(short, table).parts.state_dict()
        assert parts.keys() == other.keys()
        assert all(torch.equal(parts[name], other[name]) for name in parts)
        # The end of training is not a stage of its own.
        assert load_stages(short, table)[-1].step == step
        assert len(load_stages(short, table)) == step // 3


def test_resumed_run_has_the_same_stages(
    tiny_run: Run,
    tiny_config: Make,
    table: ImageTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    advance = State.advance

    def interrupted(state: State, x: torch.Tensor, *extra: Any) -> None:
        advance(state, x, *extra)
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


def test_method_without_stages_has_none(tiny_runs: dict[str, Run], table: ImageTable) -> None:
    for name in ("vae", "joint-vae"):
        assert [end.step for end in load_stages(tiny_runs[name], table)] == [3]
        assert not tiny_runs[name].stages_folder.exists()


def test_damaged_stage_is_reported(tiny_run: Run, table: ImageTable, tmp_path: Path) -> None:
    shutil.copytree(tiny_run.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    (run.stages_folder / "step-00000006.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"step-00000006.safetensors: not a complete"):
        load_stages(run, table)


def test_infinite_weights_are_not_saved(
    tiny_config: Make, table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = State.advance

    def poisoned(state: State, x: torch.Tensor, *extra: Any) -> None:
        advance(state, x, *extra)
        with torch.no_grad():
            next(state.parts["decoder"].parameters()).fill_(torch.inf)

    monkeypatch.setattr(State, "advance", poisoned)
    with pytest.raises(DivergedError):
        train(tiny_config(stage_steps=1), table, tmp_path / "run")
    assert not Run(tmp_path / "run").stages_folder.exists()
