"""Surveys: the same bits however a run is interrupted, before the survey or during it."""

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
from tests.methods.small_inputs import bars

from unbraid.codes import Codes
from unbraid.data.factors import FactorSpace
from unbraid.data.images import ImageTable, pack
from unbraid.engine import member, survey, train, train_population
from unbraid.engine.state import State
from unbraid.methods.chart_vae import ChartVAE
from unbraid.runs import Budget, Config, Run
from unbraid.runs.checkpoint import read
from unbraid.runs.encode import Trained

# The first dimension is active; the others are reinitialised.
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


def place_codes(trained: Trained, table: ImageTable, **kwargs: Any) -> Codes:
    """Return codes whose first dimension is the place of a bar; the others are noise."""
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
    """Bars that a survey encodes with `place_codes`."""
    monkeypatch.setattr(survey, "encode", place_codes)
    return bars_as_a_dataset()


@pytest.fixture
def uninterrupted(table: ImageTable, tmp_path: Path) -> Run:
    return train(CONFIG, table, tmp_path / "uninterrupted")


def test_report_of_the_survey_is_written(uninterrupted: Run) -> None:
    report = json.loads(uninterrupted.survey_file.read_text())
    assert report["step"] == 4
    assert report["inactive_dims"] == [1, 2, 3]
    saved = read(uninterrupted.checkpoint_file, CONFIG.identity()).tensors
    assert report["num_pseudo_labels"] == len(saved["parts.pseudo_labels.item"]) > 0
    assert saved["adam.vae.step.encoder.head.bias"] == 5  # Adam is reset by the survey
    assert [f.name for f in sorted(uninterrupted.stages_folder.iterdir())] == [
        "step-00000004.safetensors"
    ]


def test_survey_without_labels_does_not_stop_the_run(table: ImageTable, tmp_path: Path) -> None:
    """No chart is clear if an edge must be a thousand times longer than the next."""
    method = dataclasses.replace(METHOD, gap=1000.0)
    run = train(dataclasses.replace(CONFIG, method=method), table, tmp_path / "run")
    assert json.loads(run.survey_file.read_text())["num_pseudo_labels"] == 0
    assert run.read_log()[-1]["step"] == CONFIG.budget.steps


@pytest.mark.parametrize("interrupted_step", range(1, 9))
def test_interrupted_at_any_step_gives_the_same_bits(
    interrupted_step: int,
    uninterrupted: Run,
    table: ImageTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        interrupt_at(interrupted_step, patched)
        with pytest.raises(KeyboardInterrupt):
            train(CONFIG, table, tmp_path / "run")
    assert_same_bits(uninterrupted, train(CONFIG, table, tmp_path / "run", resume=True))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_survey_is_interrupted_at_once_and_repeated(
    number: signal.Signals,
    uninterrupted: Run,
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
    assert_same_bits(uninterrupted, train(CONFIG, table, run.path, resume=True))


def test_batch_is_sampled_by_the_method(
    table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the survey, 4 of 6 images have a pseudo-label, and it is the right one."""
    batches: list[tuple[torch.Tensor, Any]] = []
    advance = State.advance

    def recorded(state: State, x: torch.Tensor, *extra: Any) -> None:
        batches.append((x, extra[0]))
        advance(state, x, *extra)

    monkeypatch.setattr(State, "advance", recorded)
    run = train(CONFIG, table, tmp_path / "run")
    saved = read(run.checkpoint_file, CONFIG.identity()).tensors
    item, category = saved["parts.pseudo_labels.item"], saved["parts.pseudo_labels.category"]
    pictures = torch.from_numpy(table.images(item.numpy())).float()
    assert [extra for _, extra in batches[:4]] == [{}] * 4
    for x, extra in batches[4:]:
        assert len(extra["pseudo_label"]) == 4
        for image, label in zip(x, extra["pseudo_label"], strict=False):
            same = (pictures == image).flatten(1).all(dim=1)
            assert category[same].tolist() == [int(label)]


def test_member_equals_the_separate_run(tmp_path: Path) -> None:
    """In a worker process, with the real encoder: no dimension is active, so all are reset."""
    factors = FactorSpace(("length", "place"), (3, 40))
    table = ImageTable("bars", pack(bars(), 1), 16, 32, factors)
    alone = train(CONFIG, table, tmp_path / "alone")
    assert json.loads(alone.survey_file.read_text())["inactive_dims"] == [0, 1, 2, 3]
    train_population(CONFIG, table, tmp_path / "both", [0, 1], max_workers=2)
    assert_same_bits(alone, member(tmp_path / "both", 0))
