"""The figures of a run: the arrays behind them, and that the files are valid images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image

from unbraid.data.images import ImageTable
from unbraid.errors import ArgumentError, UserError
from unbraid.methods import METHODS, find
from unbraid.report import cascade_figure, traversal
from unbraid.runs import Run
from unbraid.runs.encode import load_trained


def test_a_traversal_moves_one_dimension_under_one_category(
    tiny_run: Run, table: ImageTable
) -> None:
    trained = load_trained(tiny_run, table)
    moved = traversal.traverse(trained, table, extent=1.5, columns=5)
    assert moved.images.shape == (3, 3, 5, 64, 64)
    assert moved.values.tolist() == [-1.5, -0.75, 0.0, 0.75, 1.5]
    rng = np.random.default_rng(0)
    index = rng.choice(len(table), traversal.KL_IMAGES, replace=False)
    assert (moved.originals == table.images(index[:8])[:, 0]).all()
    with torch.no_grad():
        mean, std = trained.parts["encoder"](torch.from_numpy(table.images(index[:1])).float())
        mean[0, 2] = 0.75
        code = torch.cat([mean, torch.tensor([[0.0, 1.0, 0.0]])], dim=1)
        expected = trained.parts["decoder"](code).sigmoid()[0, 0]
    np.testing.assert_allclose(moved.images[1, 2, 3], expected.numpy(), atol=1e-5)
    assert std.shape == (1, 3)


def test_the_files_are_valid_images(tiny_run: Run, table: ImageTable, tmp_path: Path) -> None:
    traversals = traversal.traverse(load_trained(tiny_run, table), table, columns=4)
    traversal.draw_png(tmp_path / "t.png", traversals, "tiny")
    traversal.draw_gif(tmp_path / "t.gif", traversals)
    cascade_figure.draw(
        tmp_path / "c.png", tiny_run.read_log(), "tiny", tiny_run.read_config().method
    )
    with Image.open(tmp_path / "t.gif") as gif:
        assert getattr(gif, "n_frames", 1) == 6  # 0 1 2 3 2 1
        assert gif.size[0] > 3 * 64
    for name in ("t.png", "c.png"):
        with Image.open(tmp_path / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5


def test_mistakes_are_reported(tiny_run: Run, table: ImageTable, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the log is empty"):
        cascade_figure.draw(tmp_path / "c.png", [], "run", find("vae")())
    trained = load_trained(tiny_run, table)
    with pytest.raises(ArgumentError, match=r"extent=0\.0: must be greater than 0"):
        traversal.traverse(trained, table, extent=0.0)
    with pytest.raises(ArgumentError, match="columns=1: must be at least 2"):
        traversal.traverse(trained, table, columns=1)


@pytest.mark.parametrize(
    ("name", "steps", "marks"),
    [
        ("cascade-vae", 400, ["d opens"]),
        ("cascade-vae", 200, []),
        ("joint-vae", 400, []),
        ("cascade-vae-c", 400, []),
    ],
)
def test_d_is_marked_where_the_method_opens_it(
    name: str, steps: int, marks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The discrete code of JointVAE is open from the start, so nothing is marked."""
    hyperparameters = {"stage_steps": 150, "warmup_stages": 2, "latent_dim": 3}
    fields = METHODS[name].__dataclass_fields__
    method = METHODS[name](**{k: v for k, v in hyperparameters.items() if k in fields})
    log = [
        {"step": s, "kl": [1.0] * 3, "beta": [1.0] * 3, "reconstruction": 9.0, "share": [1.0]}
        for s in range(100, steps + 1, 100)
    ]
    annotations = []
    monkeypatch.setattr(
        Axes, "annotate", lambda self, text, xy, **_: annotations.append((text, xy[0]))
    )
    cascade_figure.draw(tmp_path / "c.png", log, "a run", method)
    assert annotations == [(mark, 300) for mark in marks]


def test_a_dimension_opens_where_its_beta_begins_to_fall() -> None:
    """β of 4 and 2 for ten steps, falling from 2 to 1 over three records, then a single fall."""
    betas = [[4, 2], [4, 2], [4, 1.7], [4, 1.3], [4, 1], [4, 1], [1, 1], [1, 1]]
    log = [{"step": 10 * i, "beta": beta} for i, beta in enumerate(betas)]
    method = find("vae")()
    assert cascade_figure.openings(log, method) == ([20, 60], None)
    assert cascade_figure.openings(log[:1], method) == ([], None)
    assert cascade_figure.openings([], method) == ([], None)


def test_the_chart_of_a_page_marks_the_openings_of_the_figure(tiny_run: Run) -> None:
    log, method = tiny_run.read_log(), tiny_run.read_config().method
    chart = cascade_figure.chart(log, method)
    assert chart.count('class="curve') == 3
    assert chart.count('class="mark"') == len(cascade_figure.openings(log, method).dimensions)
    assert cascade_figure.chart([], method) == ""
