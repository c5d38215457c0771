"""FactorSpace: indices by hand, round trips, uniform sampling, clear errors."""

import numpy as np
import pytest

from unbraid.data.factors import FactorSpace
from unbraid.errors import UserError

SPACE = FactorSpace(("shape", "scale", "posX"), (3, 6, 32))


def test_last_factor_is_fastest() -> None:
    index = SPACE.index_of(np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [2, 5, 31]]))
    # (shape·6 + scale)·32 + posX, worked by hand.
    assert index.tolist() == [1, 32, 192, 575]
    assert len(SPACE) == 576


def test_factors_and_index_are_inverse() -> None:
    index = np.arange(len(SPACE))
    assert (SPACE.index_of(SPACE.factors_of(index)) == index).all()


def test_sampling_is_uniform_and_keeps_the_fixed_factor() -> None:
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
        (lambda: SPACE.index_of(np.array([[0, 6, 0]])), "scale 6 to 6: it takes 6 values"),
        (lambda: SPACE.index_of(np.array([[0, 0]])), "2 factor values an item"),
        (lambda: SPACE.factors_of(np.array([576])), "the dataset has 576 items"),
        (lambda: SPACE.factors_of(np.array([-1])), "index -1"),
        (lambda: SPACE.position("colour"), "not one of shape, scale, posX"),
        (lambda: SPACE.position(3), "there are 3"),
        (
            lambda: SPACE.sample_fixed(2, "scale", 9, np.random.default_rng(0)),
            "scale 9 to 9",
        ),
        (lambda: FactorSpace(("a",), (1, 2)), "1 names for 2 sizes"),
        (lambda: FactorSpace(("a",), (0,)), "at least one value"),
    ],
)
def test_mistakes_are_named(call, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()
