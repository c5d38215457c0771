"""Information by stage: the arithmetic, the records and the figure."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unbraid.data.images import ImageTable
from unbraid.errors import ArgumentError, UserError
from unbraid.evaluation import information
from unbraid.evaluation.information import open_dimensions
from unbraid.methods.cascade_vae import CascadeVAE
from unbraid.report import stage_figure
from unbraid.runs import Run


def test_the_summands_of_total_correlation() -> None:
    """I(x; z_1) = 2, I(x; z_2) = 3, together 4, so they share 1. A third adds its own ½: 0."""
    summands = stage_figure.summands(np.array([[2.0, 4.0, 4.5]]), np.array([[2.0, 3.0, 0.5]]))
    assert summands.tolist() == [[1.0, 0.0]]


def test_names_of_the_open_dimensions() -> None:
    method = CascadeVAE(latent_dim=3, stage_steps=10, warmup_stages=2)
    names = [open_dimensions(method, step) for step in (1, 10, 11, 20, 21, 30, 31, 99)]
    two, three = "z1 … z2", "z1 … z3"
    assert names == ["z1", "z1", two, two, f"{two}, d", f"{two}, d", f"{three}, d", f"{three}, d"]


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path) -> Run:
    shutil.copytree(tiny_run.path, tmp_path / "run")
    return Run(tmp_path / "run")


def test_every_stage_is_measured_on_the_same_images(run: Run, table: ImageTable) -> None:
    terms = information.measure(run, table, images=256, seed=1, stages=True)
    assert json.loads(run.information_file.read_text()) == terms.to_json()
    rows = terms.stages
    assert rows is not None
    assert [row.step for row in rows] == [3, 6, 9, 12]
    assert rows[-1].information_of_prefix == terms.information_of_prefix
    assert rows[-1].information_by_dimension == terms.information_by_dimension
    assert len({tuple(row.information_of_prefix) for row in rows}) == 4
    prefix, single = (
        np.array([getattr(row, key) for row in rows])
        for key in ("information_of_prefix", "information_by_dimension")
    )
    # The telescoping sum, exactly: each sample's logarithms cancel.
    total = stage_figure.summands(prefix, single).sum(axis=1)
    assert total == pytest.approx([row.total_correlation for row in rows], abs=1e-9)
    # Without stages, the other terms are the same.
    plain = information.measure(run, table, images=256, seed=1)
    assert plain == dataclasses.replace(terms, stages=None)
    with pytest.raises(ArgumentError, match="report=no stages: must have stages"):
        stage_figure.draw(run.stage_figure, plain, "tiny")
    stage_figure.draw(run.stage_figure, terms, "tiny")
    with Image.open(run.stage_figure) as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def test_a_run_without_stages_is_an_error(tiny_runs: dict[str, Run], table: ImageTable) -> None:
    with pytest.raises(UserError, match="the run has no stage checkpoints"):
        information.measure(tiny_runs["vae"], table, images=64, stages=True)
