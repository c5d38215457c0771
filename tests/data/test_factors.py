"""FactorSpace: indices by hand, round trips, uniform sampling, errors."""

import numpy as np
import pytest

from unbraid.data.factors import FactorSpace
from unbraid.errors import ArgumentError

SPACE = FactorSpace(("shape", "scale", "posX"), (3, 6, 32))


def test_last_factor_is_fastest() -> None:
    index = SPACE.index_of(np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [2, 5, 31]]))
    # (shape·6 + scale)·32 + posX, worked by hand.
    assert index.tolist() == [1, 32, 192, 575]
    assert len(SPACE) == 576


def test_factors_and_index_are_inverse() -> None:
    index = np.arange(len(SPACE))
    assert (SPACE.index_of(SPACE.factors_of(index)) == index).all()


def test_sampling_is_uniform_and_fixes_one_factor() -> None:
    rng = np.random.default_rng(0)
    free = SPACE.sample(60_000, rng)
    for factor, size in enumerate(SPACE.sizes):
        counts = np.bincount(free[:, factor], minlength=size)
        expected = 60_000 / size
        # χ² with size − 1 degrees of freedom; 5 standard deviations above its mean.
        chi2 = ((counts - expected) ** 2 / expected).sum()
        assert chi2 < size - 1 + 5 * np.sqrt(2 * (size - 1))
    fixed = SPACE.sample_fixed(1_000, "scale", 4, rng)
    assert set(fixed[:, 1]) == {4}
    assert len(set(fixed[:, 2])) == 32
    by_number = SPACE.sample_fixed(10, 1, 4, rng)
    assert set(by_number[:, 1]) == {4}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SPACE.index_of(np.array([[0, 6, 0]])), "scale=6 to 6: must be between 0 and 5"),
        (lambda: SPACE.index_of(np.array([[0, 0]])), "must have 3 columns"),
        (lambda: SPACE.factors_of(np.array([576])), "the dataset has 576 items"),
        (lambda: SPACE.factors_of(np.array([-1])), "index=-1 to -1: must be between 0 and 575"),
        (
            lambda: SPACE.position("colour"),
            "factor=colour: no such factor; pass one of shape, scale, posX",
        ),
        (lambda: SPACE.position(3), "factor=3: no such factor"),
        (
            lambda: SPACE.sample_fixed(2, "scale", 9, np.random.default_rng(0)),
            "scale=9 to 9",
        ),
        (lambda: FactorSpace(("a",), (1, 2)), "must have one size for each of the 1 names"),
        (lambda: FactorSpace(("a",), (0,)), "must all be at least 1"),
    ],
)
def test_wrong_arguments_are_refused(call, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call()
