"""Opened runs: labels of dimensions at derived values, codes and decoded images."""

from pathlib import Path

import numpy as np
import pytest
import tomli_w
from tests.explore.conftest import labelled

from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.explore import opened_run
from unbraid.explore.opened_run import Dimension, OpenedRun
from unbraid.runs import Run
from unbraid.runs.encode import encode

KINDS = ("cascade-vae", "vae", "joint-vae", "qlae")


def test_a_label_omits_what_is_unknown() -> None:
    assert Dimension("z2", 3.64, "posX", -3, 3).label == "z2 · 3.6 nats · posX"
    assert Dimension("z2", 0.0, None, -3, 3).label == "z2 · 0.0 nats"
    assert Dimension("z2", None, "posX", -3, 3).label == "z2 · posX"
    assert Dimension("z2", None, None, -3, 3).label == "z2"


def test_a_dimension_is_labelled_with_the_factor_it_has_most_information_about() -> None:
    """z1 is a factor in reverse order: I = H. z2 is constant: I = 0, so it has no label.

    z3 distinguishes two halves of the 4 values: I = ln 2, half of H.
    """
    factors = np.stack(np.unravel_index(np.arange(4 * 6), (4, 6)), axis=1).astype(np.int64)
    first, second = factors.T
    classes = np.stack([5 - second, np.zeros_like(first), first // 2], axis=1)
    information, entropies = opened_run.mi_matrix(classes, factors)
    np.testing.assert_allclose(entropies, [np.log(4), np.log(6)])
    np.testing.assert_allclose(
        information, [[0, np.log(6)], [0, 0], [np.log(2), 0]], rtol=0, atol=1e-12
    )
    fractions = information / entropies
    names = [opened_run.main_factor(row, ("a", "b")) for row in fractions]
    assert names == ["b", None, "a"]


def test_without_factors_there_are_no_labels() -> None:
    information, _ = opened_run.mi_matrix(np.zeros((5, 2), np.int64), None)
    assert information.shape == (2, 0)
    assert opened_run.main_factor(information[0], ()) is None


@pytest.mark.parametrize("kind", KINDS)
def test_codes_and_images_are_those_of_the_run(
    kind: str, runs: dict[str, OpenedRun], table: ImageTable
) -> None:
    run = runs[kind]
    index = np.array([5, 400_000])
    codes = encode(run.trained, table, index=index)
    for i, image in enumerate(table.images(index).astype(np.float32)):
        point = run.encode(image)
        np.testing.assert_allclose(point.z, codes.mean[i], atol=1e-5)
        assert point.category == (0 if codes.category is None else codes.category[i])
        decoded = run.decode_point(point)
        assert decoded.shape == table.shape
        assert 0 <= decoded.min() <= decoded.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_slider_covers_the_sample(kind: str, runs: dict[str, OpenedRun]) -> None:
    run = runs[kind]
    assert len(run.codes.mean) == 300
    for dimension, column in zip(run.dimensions, run.codes.mean.T, strict=True):
        assert dimension.low <= column.min() <= column.max() <= dimension.high
        assert (dimension.kl is None) == (kind == "qlae")
    assert (run.categories > 0) == (run.category is not None) == (kind in KINDS[::2])
    if kind == "qlae":
        assert max(abs(d.high) for d in run.dimensions) < 1
        values = run.mutual_information.max(axis=1)
    else:
        values = np.array([d.kl for d in run.dimensions])
    assert (np.diff(values[run.ranked_dimensions]) <= 0).all()
    assert sorted(run.ranked_dimensions) == list(range(len(run.dimensions)))


def test_runs_of_two_datasets_and_missing_runs_are_errors(tiny_run: Run, tmp_path: Path) -> None:
    config = {**tiny_run.read_config().as_table(), "data": "dsprites-corner"}
    (tmp_path / "config.toml").write_text(tomli_w.dumps(config))
    with pytest.raises(UserError, match="data dsprites and dsprites-corner: runs side by side"):
        opened_run.common_dataset([tiny_run.path, tmp_path])
    with pytest.raises(UserError, match=r"not a run directory"):
        opened_run.open_runs([tiny_run.path, tmp_path / "nowhere"])


def test_names_are_the_shortest_ends_of_paths_that_differ() -> None:
    assert opened_run._short_names([Path("runs/a"), Path("runs/b")]) == ["a", "b"]
    assert opened_run._short_names([Path("x/seed-0"), Path("y/seed-0")]) == ["x/seed-0", "y/seed-0"]
    assert opened_run._short_names([Path("runs/a"), Path("runs/a")]) == ["a", "a"]


def test_a_run_on_data_without_factors_opens(runs: dict[str, OpenedRun], table: ImageTable) -> None:
    bare = labelled(table, (), np.zeros((40, 0), np.int64))
    run = opened_run.open_run(runs["cascade-vae"].trained, bare, "bare")
    assert run.factors is None
    assert run.category_factor is None
    assert [d.factor for d in run.dimensions] == [None] * 3
    assert len(run.ranked_dimensions) == 3


def test_factor_values_may_be_any_integers(runs: dict[str, OpenedRun], table: ImageTable) -> None:
    """Two distant values, half of the images each: H = ln 2."""
    values = np.array([[-7], [1_000_000_000_000]] * 20)
    run = opened_run.open_run(runs["vae"].trained, labelled(table, ("a",), values), "few")
    np.testing.assert_allclose(run.factor_entropy, [np.log(2)])
    assert (run.mutual_information <= np.log(2) + 1e-9).all()
