"""Categories without labels, on images whose parts are known."""

import numpy as np
import pytest
from benchmarks import charts

from unbraid.data.factors import FactorSpace
from unbraid.data.images import ImageTable, packed
from unbraid.errors import UserError


def distances(places: list[float]) -> np.ndarray:
    return np.abs(np.subtract.outer(places, places))


def test_the_longest_edges_are_cut_if_they_are_clearly_longer() -> None:
    """Steps of 1 within, of 3 between: the shortest cut edge is 3 times the longest kept."""
    places = [0.0, 1, 2, 5, 6, 7, 10, 11, 12]
    part = charts.parts_of(distances(places), 3, 2.9)
    assert part is not None
    groups = part.reshape(3, 3)
    assert (groups == groups[:, :1]).all()
    assert sorted(groups[:, 0]) == [0, 1, 2]
    assert charts.parts_of(distances(places), 3, 3.1) is None


@pytest.fixture(scope="module")
def bars() -> ImageTable:
    """Bars of 2, 4 and 6 rows, 24 pixels apart, at 40 places, 4, 8 and 12 pixels apart."""
    images = np.zeros((3, 40, 1, 8, 64), np.uint8)
    for kind in range(3):
        for place in range(40):
            images[kind, place, 0, : 2 * kind + 2, place : place + 12] = 1
    factors = FactorSpace(("length", "place"), (3, 40))
    return ImageTable("bars", packed(images.reshape(-1, 1, 8, 64), 1), 8, 64, factors)


def test_charts_name_each_category_alike_everywhere(bars: ImageTable) -> None:
    """The code tells the place alone; a chart sees all lengths at some places, and no label."""
    place = np.tile(np.arange(40.0), 3)[:, None]
    index, category, told = charts.categories(
        bars, place, 3, np.random.default_rng(0), charts=60, images=30, neighbours=6
    )
    length = index // 40
    names = [set(category[length == kind]) for kind in range(3)]
    assert [len(name) for name in names] == [1, 1, 1]
    assert len(set.union(*names)) == 3
    assert told["agreement"] == 1
    assert told["images"] == len(index) >= 60


def test_too_few_clear_charts_are_told(bars: ImageTable) -> None:
    place = np.tile(np.arange(40.0), 3)[:, None]
    with pytest.raises(UserError, match=r"charts=4: .*give more charts"):
        charts.categories(bars, place, 3, np.random.default_rng(0), charts=4, images=30)
