"""Categories without labels, on images whose parts are known."""

import numpy as np
import pytest
from tests.methods import worlds

from unbraid.data.factors import FactorSpace
from unbraid.data.images import ImageTable, pack
from unbraid.methods import pseudo_labels


def distances(places: list[float]) -> np.ndarray:
    return np.abs(np.subtract.outer(places, places))


def test_the_longest_edges_are_cut_if_they_are_clearly_longer() -> None:
    """Steps of 1 within, of 3 between: the shortest cut edge is 3 times the longest kept."""
    places = [0.0, 1, 2, 5, 6, 7, 10, 11, 12]
    part = pseudo_labels.parts_of(distances(places), 3, 2.9)
    assert part is not None
    groups = part.reshape(3, 3)
    assert (groups == groups[:, :1]).all()
    assert sorted(groups[:, 0]) == [0, 1, 2]
    assert pseudo_labels.parts_of(distances(places), 3, 3.1) is None


@pytest.fixture(scope="module")
def bars() -> ImageTable:
    """Bars of 2, 4 and 6 rows, 24 pixels apart, at 40 places, 4, 8 and 12 pixels apart."""
    factors = FactorSpace(("length", "place"), (3, 40))
    return ImageTable("bars", pack(worlds.bars(), 1), 8, 64, factors)


def test_charts_name_each_category_alike_everywhere(bars: ImageTable) -> None:
    """The code tells the place alone; a chart sees all lengths at some places, and no label."""
    place = np.tile(np.arange(40.0), 3)[:, None]
    named = pseudo_labels.categories(
        bars.images, place, 3, np.random.default_rng(0), charts=60, size=30, gap=1.1
    )
    length = named.item // 40
    names = [set(named.category[length == kind]) for kind in range(3)]
    assert [len(name) for name in names] == [1, 1, 1]
    assert len(set.union(*names)) == 3
    assert named.agreement == 1
    assert len(named.item) >= 60
    assert pseudo_labels.NEIGHBOURS < named.clear <= 60


def test_too_few_clear_charts_name_nothing(bars: ImageTable) -> None:
    place = np.tile(np.arange(40.0), 3)[:, None]
    named = pseudo_labels.categories(
        bars.images, place, 3, np.random.default_rng(0), charts=4, size=30, gap=1.1
    )
    assert len(named.item) == len(named.category) == 0
    assert named.clear <= 4


def test_distances_are_counts_of_pixels_that_differ_and_squared_of_greys() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (5, 1, 8, 8), np.uint8)
    differ = (bits[:, None] != bits[None]).sum(axis=(2, 3, 4))
    assert (pseudo_labels.distance(bits, bits) == differ).all()
    greys = rng.random((5, 1, 8, 8), np.float32)
    squared = ((greys[:, None] - greys[None]) ** 2).sum(axis=(2, 3, 4))
    np.testing.assert_allclose(pseudo_labels.distance(greys, greys), squared, atol=1e-5)


def test_pixels_that_differ_only_between_two_sets_count() -> None:
    """Sets of equal images each, that differ everywhere; and images that differ nowhere."""
    black, white = np.zeros((3, 1, 8, 8), np.uint8), np.ones((2, 1, 8, 8), np.uint8)
    assert (pseudo_labels.distance(black, white) == np.full((3, 2), 64)).all()
    assert (pseudo_labels.distance(white, white) == np.zeros((2, 2))).all()
    rng = np.random.default_rng(1)
    one, other = (rng.integers(0, 2, (n, 1, 8, 8), np.uint8) for n in (4, 6))
    differ = (one[:, None] != other[None]).sum(axis=(2, 3, 4))
    assert (pseudo_labels.distance(one, other) == differ).all()


def test_names_follow_the_parts_however_each_chart_numbers_them(bars: ImageTable) -> None:
    """Charts in a row, a third turning the numbers once round: an order is not its own inverse."""
    found = []
    for start in range(32):
        items = np.concatenate([kind * 40 + np.arange(start, start + 8) for kind in range(3)])
        found.append(pseudo_labels.Chart(start, items, (items // 40 + start) % 3))
    place = np.arange(40.0)[:, None]
    names, agreement = pseudo_labels._named(found, bars.images, place, 3, np.random.default_rng(0))
    numbered = zip(found, names, strict=True)
    called = [name[(np.arange(3) + chart.centre) % 3] for chart, name in numbered]
    assert all((one == called[0]).all() for one in called)
    assert agreement == 1
