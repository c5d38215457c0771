"""SAP at values derived by hand, exactly: every item is used, so nothing is sampled."""

import numpy as np
import pytest
from tests.metrics.helpers import scores

from unbraid.codes import Codes
from unbraid.metrics import sap, threshold

R2, SVM = sap.PROTOCOLS["kumar2018"], sap.PROTOCOLS["locatello2019"]


@pytest.fixture
def merged() -> tuple[Codes, np.ndarray]:
    """A factor of 3 values beside one of 2; the code is its square, and whether it is 2."""
    f, g = (v.reshape(-1) for v in np.meshgrid(range(3), range(2), indexing="ij"))
    factors = np.tile(np.stack([f, g], axis=1), (50, 1))
    square = factors[:, :1].astype(np.float64) ** 2
    return Codes(square, category=(factors[:, 0] == 2).astype(np.int64), categories=2), factors


def test_explained_variance_of_a_dimension_and_of_a_category(
    merged: tuple[Codes, np.ndarray],
) -> None:
    """f of 0, 1, 2 has variance ⅔; f² has 26/9 and covariance 4/3: R² = (4/3)²/(⅔·26/9) = 12/13.

    Means ½ of two thirds and 2 of one third lie ½ apart in variance: R² = ½/⅔ = ¾ of the category.
    """
    codes, factors = merged
    everything = np.arange(len(factors))
    result = sap.table(codes, factors, everything, everything[:0], R2)
    assert result == pytest.approx(np.array([[12 / 13, 0], [3 / 4, 0]]), abs=1e-12)
    # The scale and place of a continuous factor do not matter.
    result = sap.table(codes, 7 - 0.1 * factors, everything, everything[:0], R2)
    assert result == pytest.approx(np.array([[12 / 13, 0], [3 / 4, 0]]), abs=1e-12)
    # Nor do items that it is not fitted on.
    assert codes.category is not None
    more = Codes(
        np.vstack([codes.mean, np.full((30, 1), 90.0)]),
        None,
        np.append(codes.category, [0] * 30),
        2,
    )
    result = sap.table(more, np.vstack([factors, factors[:30]]), everything, everything[:0], R2)
    assert result == pytest.approx(np.array([[12 / 13, 0], [3 / 4, 0]]), abs=1e-12)
    score = scores("sap", "kumar2018", codes, factors)
    assert score["score"] == pytest.approx((12 / 13 - 3 / 4) / 2, abs=1e-12)
    assert score["items"] == 300


def test_a_category_predicts_the_most_frequent_value_of_its_training_items() -> None:
    """Fitted: value 1 in ¾ of category 0, value 0 in ⅔ of category 1. Others: 2 of 5 as fitted."""
    category = np.array([0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1])
    values = np.array([1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 1, 0])
    codes = Codes(np.zeros((12, 1)), category=category, categories=2)
    train, test = np.arange(7), np.arange(7, 12)
    result = sap.table(codes, values[:, None], train, test, SVM)
    # A constant dimension has w = 0: the intercepts predict one value for all.
    assert result[0, 0] in (2 / 5, 3 / 5)
    assert result[1, 0] == 2 / 5


def test_accuracy_is_that_of_test_items() -> None:
    """−1 and 1 separate the values; of 10 test items 7 have the sign of their value."""
    x, labels = np.repeat([-1.0, 1.0], 20), np.repeat([0, 1], 20)
    x_test, y_test = np.repeat([-1.0, 1.0], 5), np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 0])
    # Whatever the values are called.
    both, held = np.stack([labels, 9 - labels], axis=1), np.stack([y_test, 9 - y_test], axis=1)
    assert threshold.accuracy(x, both, x_test, held, 0.01).tolist() == [7 / 10, 7 / 10]


def test_the_support_vector_machine_of_two_points() -> None:
    """x = ±1, n of each: all inside the margin, weights 1, b = 0 by symmetry.

    ½w² + 2nC (1 − w)² has its minimum at w = 4nC/(1 + 4nC).
    """
    n, C = 25, 0.01
    labels = np.stack([np.repeat([3, 8], n), np.full(2 * n, 4)], axis=1)
    (classes, weights), single = threshold.fit(np.repeat([-1.0, 1.0], n), labels, C)
    assert classes.tolist() == [3, 8]
    w = 4 * C * n / (1 + 4 * C * n)
    np.testing.assert_allclose(weights, [[-w, 0], [w, 0]], atol=1e-12)
    # A factor with one value has no machine.
    assert (single[0].tolist(), single[1].tolist()) == ([4], [[0.0, 0.0]])


def test_the_gap_is_between_the_two_best_dimensions_of_each_factor() -> None:
    """Rows .9 .2, .4 .6, .1 .5 as R²: gaps of .5 and .1."""
    rng = np.random.default_rng(0)
    expected = np.array([[0.9, 0.2], [0.4, 0.6], [0.1, 0.5]])
    # Orthonormal columns of mean 0: every correlation can be set.
    q, _ = np.linalg.qr(np.concatenate([np.ones((400, 1)), rng.normal(size=(400, 5))], axis=1))
    factors, noise = q[:, 1:3], q[:, 3:]
    # R² of z = Σ_f r_f f + rest is r_f², whatever the others are.
    mean = np.sqrt(expected / 2) @ factors.T
    rest = np.sqrt(1 - expected.sum(axis=1) / 2)
    z = mean.T + noise * rest
    result = sap.table(Codes(z), factors, np.arange(400), np.arange(0), R2)
    assert result == pytest.approx(expected / 2, abs=1e-9)
    score = scores("sap", "kumar2018", Codes(z), factors)["score"]
    assert score == pytest.approx((0.5 + 0.1) / 2 / 2, abs=1e-9)
