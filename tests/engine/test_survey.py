"""A survey between two steps: the same bits however a run is stopped, before it and in it."""

import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.test_trainer import assert_same_bits, interrupt_at
from tests.methods.worlds import bars

from unbraid.codes import Codes
from unbraid.data.factors import FactorSpace
from unbraid.data.images import ImageTable, pack
from unbraid.engine import member, survey, train, train_population
from unbraid.engine.state import State
from unbraid.methods.chart_vae import ChartVAE
from unbraid.runs import Budget, Config, Run
from unbraid.runs.checkpoint import read
from unbraid.runs.encode import Trained

# The first dimension is used; the others start anew.
METHOD = ChartVAE(
    latent_dim=4,
    beta_anneal_steps=2,
    survey_step=4,
    charts=40,
    chart_images=30,
    lr_decay_start=6,
    lr_decay_end=8,
)
CONFIG = Config(METHOD, "bars", Budget(9, 6), 0, "fp32")


def placed(trained: Trained, table: ImageTable, **how: Any) -> Codes:
    """Codes whose first dimension tells the place of a bar; the others tell nothing."""
    mean_nz = np.zeros((len(table), trained.config.method.latent_dim), np.float32)
    mean_nz[:, 0] = np.tile(np.linspace(-2, 2, 40), 3)
    std_nz = np.ones_like(mean_nz)
    std_nz[:, 0] = 0.1
    return Codes(mean_nz, std_nz)


def bars_as_a_dataset() -> ImageTable:
    factors = FactorSpace(("length", "place"), (3, 40))
    return ImageTable("bars", pack(bars(), 1), 16, 32, factors)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ImageTable:
    """Bars that a survey sees as `placed`."""
    monkeypatch.setattr(survey, "encode", placed)
    return bars_as_a_dataset()


@pytest.fixture
def whole(table: ImageTable, tmp_path: Path) -> Run:
    return train(CONFIG, table, tmp_path / "whole")


def test_what_a_survey_saw_is_kept_beside_the_run(whole: Run) -> None:
    told = json.loads(whole.survey_file.read_text())
    assert told["step"] == 4
    assert told["idle"] == [1, 2, 3]
    saved = read(whole.checkpoint_file, CONFIG.identity()).tensors
    assert told["named"] == len(saved["parts.names.item"]) > 0
    assert saved["adam.vae.step.encoder.head.bias"] == 5  # Adam starts afresh at the survey
    assert [f.name for f in sorted((whole.path / "stages").iterdir())] == [
        "step-00000004.safetensors"
    ]


def test_a_survey_that_names_nothing_ends_no_run(table: ImageTable, tmp_path: Path) -> None:
    """No chart is clear where an edge would have to be a thousand times longer than the next."""
    method = dataclasses.replace(METHOD, gap=1000.0)
    run = train(dataclasses.replace(CONFIG, method=method), table, tmp_path / "run")
    assert json.loads(run.survey_file.read_text())["named"] == 0
    assert run.read_log()[-1]["step"] == CONFIG.budget.steps


@pytest.mark.parametrize("stop", range(1, 9))
def test_stopped_at_any_step_gives_the_assert_same_bits(
    stop: int, whole: Run, table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupt_at(stop, patched)
        with pytest.raises(KeyboardInterrupt):
            train(CONFIG, table, tmp_path / "run")
    assert_same_bits(whole, train(CONFIG, table, tmp_path / "run", resume=True))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_survey_is_stopped_at_once_and_made_again(
    number: signal.Signals,
    whole: Run,
    table: ImageTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached = []

    def interrupted(method: ChartVAE, parts: Any, dataset: Any) -> dict[str, Any]:
        os.kill(os.getpid(), number)
        reached.append(method)
        return {}

    with monkeypatch.context() as patched:
        patched.setattr(ChartVAE, "survey", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(CONFIG, table, tmp_path / "run")
    assert not reached
    run = Run(tmp_path / "run")
    assert read(run.checkpoint_file, CONFIG.identity()).step == 4
    assert not run.survey_file.exists()
    assert_same_bits(whole, train(CONFIG, table, run.path, resume=True))


def test_a_batch_is_what_the_method_chose_of_it(
    table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the survey 4 of 6 images are of the named ones, with the category that they have."""
    seen: list[tuple[torch.Tensor, Any]] = []
    advance = State.advance

    def watched(state: State, x: torch.Tensor, *told: Any) -> None:
        seen.append((x, told[0]))
        advance(state, x, *told)

    monkeypatch.setattr(State, "advance", watched)
    run = train(CONFIG, table, tmp_path / "run")
    saved = read(run.checkpoint_file, CONFIG.identity()).tensors
    item, category = saved["parts.names.item"], saved["parts.names.category"]
    pictures = torch.from_numpy(table.images(item.numpy())).float()
    assert [told for _, told in seen[:4]] == [{}] * 4
    for x, told in seen[4:]:
        assert len(told["named"]) == 4
        for image, name in zip(x, told["named"], strict=False):
            same = (pictures == image).flatten(1).all(dim=1)
            assert category[same].tolist() == [int(name)]


def test_a_member_is_the_run_alone(tmp_path: Path) -> None:
    """In a process of its own, with the real encoder: here nothing is used, so all start anew."""
    factors = FactorSpace(("length", "place"), (3, 40))
    table = ImageTable("bars", pack(bars(), 1), 16, 32, factors)
    alone = train(CONFIG, table, tmp_path / "alone")
    assert json.loads(alone.survey_file.read_text())["idle"] == [0, 1, 2, 3]
    train_population(CONFIG, table, tmp_path / "both", [0, 1], max_workers=2)
    assert_same_bits(alone, member(tmp_path / "both", 0))
