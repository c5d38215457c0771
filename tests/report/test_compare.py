"""Side by side: dimensions are matched by what they say, whatever their order and sign."""

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


def test_dimensions_left_over_and_constant_ones() -> None:
    rng = np.random.default_rng(0)
    left = rng.normal(size=(500, 2))
    right = np.stack([np.full(500, 3.0), left[:, 1], rng.normal(size=500)], axis=1)
    pairs = compare.match(left, right)
    assert pairs[1].right == 1
    assert pairs[1].correlation == pytest.approx(1)
    assert pairs[2] == compare.Pair(None, ({0, 2} - {pairs[0].right}).pop(), 0.0)
    back = compare.match(right, left)
    assert [p.left for p in back] == [0, 1, 2]
    assert back[1].right == 1
    assert sum(p.right is None for p in back) == 1
    # One by one is not best in all: the sum of |r| is.
    assert compare.match(left[:, :1], np.full((500, 1), 2.0))[0].correlation == 0


def test_the_greatest_sum_wins_over_the_greatest_entry() -> None:
    """Correlations .9 .8 / .8 .1: greedy takes .9 + .1, the best is .8 + .8."""
    wanted = np.array([[0.9, 0.8], [0.8, 0.1]])
    gram = np.block([[np.eye(2), wanted], [wanted.T, np.eye(2)]])
    values, vectors = np.linalg.eigh(gram)
    gram = (vectors * np.maximum(values, 0)) @ vectors.T
    points = np.random.default_rng(0).multivariate_normal(np.zeros(4), gram, size=20_000)
    pairs = compare.match(points[:, :2], points[:, 2:])
    assert [(p.left, p.right) for p in pairs] == [(0, 1), (1, 0)]


def test_a_run_matches_itself_with_its_dimensions_swapped(
    tiny_runs: dict[str, Run], table: ImageTable, tmp_path: Path
) -> None:
    """Swap and mirror z in a copy of the networks: the right rows become the left ones."""
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
    one, _ = compare._rows(compared.left, compared.pairs, 0)
    other, labels = compare._rows(compared.right, compared.pairs, 1)
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert "r -1.00" in labels[0] + labels[1] + labels[2] + labels[3]
    assert (compared.left.originals == compared.right.originals).all()


@pytest.mark.parametrize(("left", "right"), [("vae", "cascade-vae"), ("qlae", "joint-vae")])
def test_the_figure_is_a_picture(
    left: str, right: str, tiny_runs: dict[str, Run], table: ImageTable, tmp_path: Path
) -> None:
    runs = [load_trained(tiny_runs[name], table) for name in (left, right)]
    compared = compare.compare(runs[0], runs[1], table, columns=3)
    assert len(compared.pairs) == 4
    compare.draw(tmp_path / "c.png", compared)
    with Image.open(tmp_path / "c.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def test_runs_of_two_datasets_are_refused(tiny_runs: dict[str, Run], table: ImageTable) -> None:
    one = load_trained(tiny_runs["vae"], table)
    other = Trained(dataclasses.replace(one.config, data="faces"), one.parts, one.step)
    with pytest.raises(UserError, match="data dsprites and faces: the same inputs are compared"):
        compare.compare(one, other, table)


def test_a_code_that_is_not_random_is_traversed_over_its_codebook(
    tiny_runs: dict[str, Run], table: ImageTable, tmp_path: Path
) -> None:
    trained = load_trained(tiny_runs["qlae"], table)
    drawn = traversal.traverse(trained, table, columns=4)
    assert drawn.kl is None
    assert drawn.values[0] == pytest.approx(-0.5, abs=0.01)
    assert drawn.values[-1] == pytest.approx(0.5, abs=0.01)
    assert traversal.row_labels(drawn) == ["z1", "z2", "z3", "z4"]
    traversal.draw_png(tmp_path / "t.png", drawn, "qlae")
    traversal.draw_gif(tmp_path / "t.gif", drawn)


def test_a_code_that_is_not_random_is_scored_without_a_kl(
    tiny_runs: dict[str, Run], table: ImageTable
) -> None:
    space = dataclasses.replace(table.factors, sizes=(3, 2, 2, 2, 2))
    grid = np.stack(np.unravel_index(np.arange(48), space.sizes), axis=1)
    bits = np.array(table.bits[table.factors.index_of(grid)])
    small = dataclasses.replace(table, bits=bits, factors=space)
    outcome = evaluate(tiny_runs["qlae"], small)
    assert outcome["kl"] is None
    assert "KL per dimension" not in as_text(outcome)
