"""How items are drawn and held out, and the input of predictors."""

import numpy as np
import pytest
from tests.metrics.helpers import scores

from unbraid.codes import Codes
from unbraid.entropy import entropy
from unbraid.metrics import arrays, mutual_information


def test_items_are_drawn_without_replacement_from_everywhere() -> None:
    drawn = arrays.draw(1_000, 300, np.random.default_rng(0))
    assert len(set(drawn.tolist())) == 300
    # A uniform draw reaches the last tenth: none of 300 there has probability 0.9³⁰⁰.
    assert drawn.max() >= 900
    assert drawn.min() < 100
    for size in (0, 1_000, 5_000):
        assert arrays.draw(1_000, size, np.random.default_rng(0)).tolist() == list(range(1_000))


@pytest.mark.parametrize(
    ("n", "sizes"), [(30_000, (10_000, 5_000)), (300, (200, 100)), (10, (6, 3))]
)
def test_training_and_test_items_are_disjoint_and_in_proportion(
    n: int, sizes: tuple[int, int]
) -> None:
    train, test = arrays.split(n, 10_000, 5_000, np.random.default_rng(0))
    assert (len(train), len(test)) == sizes
    assert len({*train.tolist(), *test.tolist()}) == sum(sizes)
    assert train.tolist() != sorted(train.tolist())


def test_a_value_is_drawn_uniformly_and_then_an_item_with_it() -> None:
    """Value 1 has one item of ten, and still gets half of the votes."""
    values = np.array([0] * 9 + [1])
    drawn = arrays.draw_with_one_value(values, 400, 6, np.random.default_rng(0))
    votes = values[drawn]
    assert (votes == votes[:, :1]).all()
    # Four standard deviations of a share of 400.
    assert votes[:, 0].mean() == pytest.approx(1 / 2, abs=4 * 0.5 / 20)
    assert set(drawn[votes == 0].tolist()) == set(range(9))


def test_pairs_share_their_value_and_nothing_else() -> None:
    """The first is uniform over items; the second over the items of its value."""
    values = np.array([0] * 9 + [1] * 3)
    first, second = arrays.draw_pairs(values, 300, 8, np.random.default_rng(0))
    assert (values[first] == values[second]).all()
    assert values[first].mean() == pytest.approx(1 / 4, abs=4 * np.sqrt(3 / 16 / 2400))
    equal = (first == second)[values[first] == 0]
    assert equal.mean() == pytest.approx(1 / 9, abs=0.03)


def test_columns_have_unit_variance_and_an_owner() -> None:
    mean = np.array([[1.0, 7.0], [3.0, 7.0], [5.0, 7.0], [3.0, 7.0]])
    x, owner = arrays.features(Codes(mean, category=np.array([2, 0, 0, 1]), categories=3))
    assert owner.tolist() == [0, 1, 2, 2, 2]
    assert x[:, 0].tolist() == pytest.approx([-np.sqrt(2), 0, np.sqrt(2), 0])
    assert x[:, 1].tolist() == [0] * 4
    assert x[:, 2:].tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0]]


def test_bins_have_equal_width_between_minimum_and_maximum() -> None:
    bins = mutual_information.discretise(np.array([0.0, 0.9, 1.0, 2.5, 3.1, 4.0]), 4)
    assert bins.tolist() == [0, 0, 1, 2, 3, 3]


def test_entropy_of_counts_and_of_probabilities() -> None:
    """Uniform over k is ln k, whatever the scale; a single outcome and no mass have 0 exactly."""
    for masses in (np.full(4, 3), np.full(4, 0.25), np.array([[1, 0, 1], [1, 0, 1]])):
        assert entropy(masses) == pytest.approx(np.log(4), abs=1e-15)
    assert entropy(np.array([0, 7])) == entropy(np.zeros(3)) == 0


@pytest.mark.parametrize(
    ("name", "protocol", "key", "chance"),
    [
        ("sap", "locatello2019", "score", 0.0),
        ("probes", "locatello2019-logistic", "score", 0.5),
        ("modularity", "locatello2019", "explicitness", 0.5),
        ("dci", "eastwood2018", "informativeness", 0.0),
    ],
)
def test_a_category_per_item_scores_chance_on_held_out_items(
    name: str, protocol: str, key: str, chance: float
) -> None:
    """Every training item is identified by its category, and no test item is."""
    labels = np.random.default_rng(0).permutation(np.arange(300) % 2)[:, None]
    codes = Codes(np.zeros((300, 1)), category=np.arange(300), categories=300)
    # Chance on 100 test items is ½, give or take four standard deviations.
    assert scores(name, protocol, codes, labels)[key] == pytest.approx(chance, abs=0.2)
