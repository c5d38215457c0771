"""What a run made ready says of its dimensions, at derived values; its codes and pictures."""

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


def test_a_label_has_what_there_is() -> None:
    assert Dimension("z2", 3.64, "posX", -3, 3).label == "z2 · 3.6 nats · posX"
    assert Dimension("z2", 0.0, None, -3, 3).label == "z2 · 0.0 nats"
    assert Dimension("z2", None, "posX", -3, 3).label == "z2 · posX"
    assert Dimension("z2", None, None, -3, 3).label == "z2"


def test_a_dimension_is_named_by_the_factor_it_holds_most_of() -> None:
    """z1 is a factor in another order: I = H. z2 is independent of both: I = 0, so no name.

    z3 tells halves of the 4 values apart: I = ln 2, half of H.
    """
    factors = np.stack(np.unravel_index(np.arange(4 * 6), (4, 6)), axis=1).astype(np.int64)
    first, second = factors.T
    classes = np.stack([5 - second, np.zeros_like(first), first // 2], axis=1)
    told, entropies = opened_run.mi_matrix(classes, factors)
    np.testing.assert_allclose(entropies, [np.log(4), np.log(6)])
    np.testing.assert_allclose(told, [[0, np.log(6)], [0, 0], [np.log(2), 0]], rtol=0, atol=1e-12)
    names = [opened_run.tracked(row, entropies, ("a", "b")) for row in told]
    assert names == ["b", None, "a"]


def test_no_factor_no_name() -> None:
    told, entropies = opened_run.mi_matrix(np.zeros((5, 2), np.int64), None)
    assert told.shape == (2, 0)
    assert opened_run.tracked(told[0], entropies, ()) is None


@pytest.mark.parametrize("kind", KINDS)
def test_codes_and_pictures_are_those_of_the_engine(
    kind: str, runs: dict[str, OpenedRun], table: ImageTable
) -> None:
    run = runs[kind]
    index = np.array([5, 400_000])
    codes = encode(run.trained, table, index=index)
    for i, image in enumerate(table.images(index).astype(np.float32)):
        point = run.encode(image)
        np.testing.assert_allclose(point.z, codes.mean[i], atol=1e-5)
        assert point.category == (0 if codes.category is None else codes.category[i])
        picture = run.picture(point)
        assert picture.shape == table.shape
        assert 0 <= picture.min() <= picture.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_slider_reaches_what_the_sample_has(kind: str, runs: dict[str, OpenedRun]) -> None:
    run = runs[kind]
    assert len(run.codes.mean) == 300
    for dimension, column in zip(run.dimensions, run.codes.mean.T, strict=True):
        assert dimension.low <= column.min() <= column.max() <= dimension.high
        assert (dimension.kl is None) == (kind == "qlae")
    assert (run.discrete > 0) == (run.categories is not None) == (kind in KINDS[::2])
    if kind == "qlae":
        assert max(abs(d.high) for d in run.dimensions) < 1
        told = run.informations.max(axis=1)
    else:
        told = np.array([d.kl for d in run.dimensions])
    assert (np.diff(told[run.ranked]) <= 0).all()
    assert sorted(run.ranked) == list(range(len(run.dimensions)))


def test_runs_of_two_datasets_and_no_runs_are_refused(tiny_run: Run, tmp_path: Path) -> None:
    other = tiny_run.read_config()
    elsewhere = {**other.as_table(), "data": "dsprites-corner"}
    (tmp_path / "config.toml").write_text(tomli_w.dumps(elsewhere))
    with pytest.raises(UserError, match="data dsprites and dsprites-corner: runs side by side"):
        opened_run.data_of([tiny_run.path, tmp_path])
    with pytest.raises(UserError, match=r"it holds no config\.toml, so it is no run"):
        opened_run.open_runs([tiny_run.path, tmp_path / "nowhere"])


def test_a_name_is_as_much_of_a_path_as_tells_it_apart() -> None:
    assert opened_run._names([Path("runs/a"), Path("runs/b")]) == ["a", "b"]
    assert opened_run._names([Path("x/seed-0"), Path("y/seed-0")]) == ["x/seed-0", "y/seed-0"]
    assert opened_run._names([Path("runs/a"), Path("runs/a")]) == ["a", "a"]


def test_a_run_of_data_without_factors_is_explored(
    runs: dict[str, OpenedRun], table: ImageTable
) -> None:
    bare = labelled(table, (), np.zeros((40, 0), np.int64))
    run = opened_run.explored(runs["cascade-vae"].trained, bare, "bare")
    assert run.factors is None
    assert run.category_tracks is None
    assert [d.factor for d in run.dimensions] == [None] * 3
    assert len(run.ranked) == 3


def test_labels_may_be_any_numbers(runs: dict[str, OpenedRun], table: ImageTable) -> None:
    """Two values far apart, half each: H = ln 2."""
    values = np.array([[-7], [1_000_000_000_000]] * 20)
    run = opened_run.explored(runs["vae"].trained, labelled(table, ("a",), values), "few")
    np.testing.assert_allclose(run.entropies, [np.log(2)])
    assert (run.informations <= np.log(2) + 1e-9).all()
