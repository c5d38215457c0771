"""Comparison of runs: dimensions match whatever their order, sign and scale."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.evaluation.scores import as_text, evaluate
from unbraid.report import compare, traversal
from unbraid.runs import Run
from unbraid.runs.encode import Trained, load_trained


def test_matching_undoes_order_sign_and_scale() -> None:
    rng = np.random.default_rng(0)
    left = rng.normal(size=(500, 4))
    order, scale = [2, 0, 3, 1], np.array([-1.0, 10.0, 0.1, -3.0])
    right = left[:, order] * scale + 5
    pairs = compare.match(left, right)
    for pair in pairs:
        assert pair.left is not None
        assert pair.right is not None
        assert order[pair.right] == pair.left
        assert pair.correlation == pytest.approx(np.sign(scale[pair.right]), abs=1e-9)


def test_unmatched_and_constant_dimensions() -> None:
    rng = np.random.default_rng(0)
    left = rng.normal(size=(500, 2))
    right = np.stack([np.full(500, 3.0), left[:, 1], rng.normal(size=500)], axis=1)
    pairs = compare.match(left, right)
    assert pairs[1].right == 1
    assert pairs[1].correlation == pytest.approx(1)
    assert pairs[2] == compare.Pair(None, ({0, 2} - {pairs[0].right}).pop(), 0.0)
    swapped = compare.match(right, left)
    assert [p.left for p in swapped] == [0, 1, 2]
    assert swapped[1].right == 1
    assert sum(p.right is None for p in swapped) == 1
    assert compare.match(left[:, :1], np.full((500, 1), 2.0))[0].correlation == 0


def test_the_matching_maximises_the_sum_of_correlations() -> None:
    """Of the correlations .9 .8 / .8 .1, a greedy choice is .9 + .1; the best is .8 + .8."""
    correlations = np.array([[0.9, 0.8], [0.8, 0.1]])
    gram = np.block([[np.eye(2), correlations], [correlations.T, np.eye(2)]])
    values, vectors = np.linalg.eigh(gram)
    gram = (vectors * np.maximum(values, 0)) @ vectors.T
    points = np.random.default_rng(0).multivariate_normal(np.zeros(4), gram, size=20_000)
    pairs = compare.match(points[:, :2], points[:, 2:])
    assert [(p.left, p.right) for p in pairs] == [(0, 1), (1, 0)]


def test_a_run_matches_itself_with_its_dimensions_swapped(
    tiny_runs: dict[str, Run], table: ImageTable, tmp_path: Path
) -> None:
    """Permute and negate z in a copy of the networks; the right rows must equal the left ones."""
    left = load_trained(tiny_runs["vae"], table)
    right = load_trained(tiny_runs["vae"], table)
    order, sign = [3, 0, 1, 2], torch.tensor([-1.0, 1.0, 1.0, -1.0])
    weights = dict(right.parts.named_parameters())
    with torch.no_grad():
        for name in ("weight", "bias"):
            head = weights[f"encoder.head.{name}"]
            shape = (4, *[1] * (head.ndim - 1))
            head.copy_(torch.cat([head[:4][order] * sign.view(shape), head[4:][order]]))
        entry = weights["decoder.entry.weight"]
        entry.copy_(entry[:, order] * sign)
    compared = compare.compare(left, right, table, columns=3)
    assert [order[p.right] for p in compared.pairs if p.right is not None] == [0, 1, 2, 3]
    for pair in compared.pairs:
        assert pair.right is not None
        assert pair.correlation == pytest.approx(sign[pair.right].item(), abs=1e-3)
    left_rows, _ = compare._rows(compared.left, compared.pairs, 0)
    right_rows, labels = compare._rows(compared.right, compared.pairs, 1)
    np.testing.assert_allclose(left_rows, right_rows, atol=1e-5)
    assert "r -1.00" in labels[0] + labels[1] + labels[2] + labels[3]
    assert (compared.left.originals == compared.right.originals).all()


@pytest.mark.parametrize(("left", "right"), [("vae", "cascade-vae"), ("qlae", "joint-vae")])
def test_the_figure_is_a_valid_image(
    left: str, right: str, tiny_runs: dict[str, Run], table: ImageTable, tmp_path: Path
) -> None:
    runs = [load_trained(tiny_runs[name], table) for name in (left, right)]
    compared = compare.compare(runs[0], runs[1], table, columns=3)
    assert len(compared.pairs) == 4
    compare.draw(tmp_path / "c.png", compared)
    with Image.open(tmp_path / "c.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def test_runs_of_two_datasets_are_an_error(tiny_runs: dict[str, Run], table: ImageTable) -> None:
    left = load_trained(tiny_runs["vae"], table)
    right = Trained(dataclasses.replace(left.config, data="faces"), left.parts, left.step)
    with pytest.raises(
        UserError, match="data dsprites and faces: both runs must have the same dataset"
    ):
        compare.compare(left, right, table)


def test_a_deterministic_code_is_traversed_over_its_codebook(
    tiny_runs: dict[str, Run], table: ImageTable, tmp_path: Path
) -> None:
    trained = load_trained(tiny_runs["qlae"], table)
    traversals = traversal.traverse(trained, table, columns=4)
    assert traversals.kl is None
    assert traversals.values[0] == pytest.approx(-0.5, abs=0.01)
    assert traversals.values[-1] == pytest.approx(0.5, abs=0.01)
    assert traversal.row_labels(traversals) == ["z1", "z2", "z3", "z4"]
    traversal.draw_png(tmp_path / "t.png", traversals, "qlae")
    traversal.draw_gif(tmp_path / "t.gif", traversals)


def test_a_deterministic_code_is_scored_without_a_kl(
    tiny_runs: dict[str, Run], table: ImageTable
) -> None:
    space = dataclasses.replace(table.factors, sizes=(3, 2, 2, 2, 2))
    grid = np.stack(np.unravel_index(np.arange(48), space.sizes), axis=1)
    bits = np.array(table.bits[table.factors.index_of(grid)])
    small = dataclasses.replace(table, bits=bits, factors=space)
    evaluation = evaluate(tiny_runs["qlae"], small)
    assert evaluation.kl is None
    assert "KL per dimension" not in as_text(evaluation)
