"""Pseudo-labels and the matching of charts, on images with known categories."""

import numpy as np
import pytest
from tests.methods import small_inputs

from unbraid.data.factors import FactorSpace
from unbraid.data.images import ImageTable, pack
from unbraid.methods.chart_matching import NUM_NEIGHBOURS, Chart, match_charts, pixel_distances
from unbraid.methods.pseudo_labels import PseudoLabels, find_pseudo_labels, split_chart


def distances(positions: list[float]) -> np.ndarray:
    return np.abs(np.subtract.outer(positions, positions))


def test_a_chart_is_split_at_edges_that_are_clearly_longer() -> None:
    """Distances of 1 within and 3 between parts: the shortest removed edge is 3 times as long."""
    positions = [0.0, 1, 2, 5, 6, 7, 10, 11, 12]
    part = split_chart(distances(positions), 3, 2.9)
    assert part is not None
    groups = part.reshape(3, 3)
    assert (groups == groups[:, :1]).all()
    assert sorted(groups[:, 0]) == [0, 1, 2]
    assert split_chart(distances(positions), 3, 3.1) is None


@pytest.fixture(scope="module")
def bars() -> ImageTable:
    """Bars of 2, 4 and 6 rows, 24 pixels apart, at 40 positions, 4, 8 and 12 pixels apart."""
    factors = FactorSpace(("length", "place"), (3, 40))
    return ImageTable("bars", pack(small_inputs.bars(), 1), 8, 64, factors)


def labels_of_bars(bars: ImageTable, num_charts: int) -> PseudoLabels:
    code = np.tile(np.arange(40.0), 3)[:, None]
    return find_pseudo_labels(
        bars.images,
        code,
        3,
        np.random.default_rng(0),
        num_charts=num_charts,
        chart_size=30,
        min_gap=1.1,
    )


def test_each_category_has_the_same_pseudo_label_everywhere(bars: ImageTable) -> None:
    """The code is the position; a chart has all lengths at some positions, and no labels."""
    labels = labels_of_bars(bars, 60)
    length = labels.item // 40
    categories = [set(labels.category[length == kind]) for kind in range(3)]
    assert [len(category) for category in categories] == [1, 1, 1]
    assert len(set.union(*categories)) == 3
    assert labels.agreement == 1
    assert len(labels.item) >= 60
    assert NUM_NEIGHBOURS < labels.num_split_charts <= 60


def test_too_few_split_charts_give_no_pseudo_labels(bars: ImageTable) -> None:
    labels = labels_of_bars(bars, 4)
    assert len(labels.item) == len(labels.category) == 0
    assert labels.num_split_charts <= 4


def test_distances_of_binary_images_count_pixels_and_others_are_squared() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (5, 1, 8, 8), np.uint8)
    num_different = (bits[:, None] != bits[None]).sum(axis=(2, 3, 4))
    assert (pixel_distances(bits, bits) == num_different).all()
    greys = rng.random((5, 1, 8, 8), np.float32)
    squared = ((greys[:, None] - greys[None]) ** 2).sum(axis=(2, 3, 4))
    np.testing.assert_allclose(pixel_distances(greys, greys), squared, atol=1e-5)


def test_pixels_that_differ_only_between_two_sets_count() -> None:
    """Sets of identical images that differ in all pixels; and images that differ in none."""
    black, white = np.zeros((3, 1, 8, 8), np.uint8), np.ones((2, 1, 8, 8), np.uint8)
    assert (pixel_distances(black, white) == np.full((3, 2), 64)).all()
    assert (pixel_distances(white, white) == np.zeros((2, 2))).all()
    rng = np.random.default_rng(1)
    x, y = (rng.integers(0, 2, (n, 1, 8, 8), np.uint8) for n in (4, 6))
    num_different = (x[:, None] != y[None]).sum(axis=(2, 3, 4))
    assert (pixel_distances(x, y) == num_different).all()


def test_matching_is_independent_of_the_numbering_of_parts(bars: ImageTable) -> None:
    """A third of the charts rotate the numbers: such a permutation is not its own inverse."""
    charts = []
    for start in range(32):
        items = np.concatenate([kind * 40 + np.arange(start, start + 8) for kind in range(3)])
        charts.append(Chart(start, items, (items // 40 + start) % 3))
    code = np.arange(40.0)[:, None]
    categories, agreement = match_charts(charts, bars.images, code, 3, np.random.default_rng(0))
    pairs = zip(charts, categories, strict=True)
    by_length = [category[(np.arange(3) + chart.centre) % 3] for chart, category in pairs]
    assert all((category == by_length[0]).all() for category in by_length)
    assert agreement == 1
