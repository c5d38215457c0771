"""UDR of members that agree up to order, sign and scale, of others, and of bad populations."""

import numpy as np
import pytest
from tests.metrics.helpers import narrow_codes

from unbraid.codes import Codes
from unbraid.errors import ArgumentError
from unbraid.metrics import udr
from unbraid.metrics.udr import PROTOCOLS, Protocol


def score(
    *population: Codes, protocol: Protocol | str = "duan2020", seed: int = 0
) -> dict[str, float]:
    return udr.score(list(population), np.random.default_rng(seed), protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_members_that_agree_score_1(protocol: str, grid: np.ndarray) -> None:
    other = narrow_codes(grid[:, [2, 0, 1]] * [-5.0, 2.0, 0.1] + 3)
    result = score(narrow_codes(grid), other, narrow_codes(grid), protocol=protocol)
    assert result["score"] == pytest.approx(1.0 if protocol == "duan2020" else 0.9, abs=1e-3)
    assert result["member_0"] == pytest.approx(result["member_1"])


def test_a_rotated_member() -> None:
    """Weights 1/√2 everywhere: each dimension's ½ over √2, so 1/(2√2) for the pair."""
    values = np.stack(np.meshgrid(range(5), range(5), indexing="ij"), axis=-1).reshape(-1, 2)
    a, b = np.repeat(values, 20, axis=0).T
    plain = Protocol("plain", items=0, similarity="lasso", min_kl=0.0)
    straight = narrow_codes(np.stack([a, b], axis=1))
    turned = narrow_codes(np.stack([a + b, a - b], axis=1))
    assert score(straight, turned, protocol=plain)["score"] == pytest.approx(1 / (2 * np.sqrt(2)))
    # Two that agree and one that does not: the median of two is their mean.
    result = score(straight, straight, turned, protocol=plain)
    assert result["member_0"] == pytest.approx((1 + 1 / (2 * np.sqrt(2))) / 2)
    assert result["member_2"] == pytest.approx(1 / (2 * np.sqrt(2)))


def test_a_member_has_the_median_and_the_population_the_mean() -> None:
    """Three that agree and one that does not: 1, 1, 1 and q = 1/(2√2)."""
    a, b = (np.repeat(v.reshape(-1), 20) for v in np.meshgrid(range(5), range(5), indexing="ij"))
    straight, turned = narrow_codes(np.stack([a, b], 1)), narrow_codes(np.stack([a + b, a - b], 1))
    plain = Protocol("plain", items=0, similarity="lasso", min_kl=0.0)
    result = score(straight, straight, straight, turned, protocol=plain)
    odd = 1 / (2 * np.sqrt(2))
    assert [result[f"member_{i}"] for i in range(4)] == pytest.approx([1, 1, 1, odd])
    assert result["score"] == pytest.approx((3 + odd) / 4)
    # The std of (1, 1, 1, q) is (1 − q)/2, over √4.
    assert result["standard_error"] == pytest.approx((1 - odd) / 4)
    assert result["items"] == 500


def test_rank_correlation_ignores_monotone_transformations(grid: np.ndarray) -> None:
    transformed = narrow_codes(np.exp(2.0 * grid))
    assert score(narrow_codes(grid), transformed)["score"] == pytest.approx(1)


def test_noise_scores_low_and_a_constant_code_0(grid: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    noise = [narrow_codes(rng.normal(size=grid.shape)) for _ in range(3)]
    assert score(*noise)["score"] < 0.05
    constant = narrow_codes(np.zeros(grid.shape))
    assert score(constant, constant)["score"] == 0.0
    assert score(constant, narrow_codes(grid))["score"] == 0.0


def test_dimensions_without_kl_are_not_informative(grid: np.ndarray) -> None:
    """Collapsed dimensions have a posterior of almost N(0, 1)."""
    rng = np.random.default_rng(0)
    members = []
    for _ in range(2):
        mean = np.concatenate([grid, 0.01 * rng.normal(size=grid.shape)], axis=1)
        std = np.concatenate([np.full(grid.shape, 0.05), np.ones(grid.shape)], axis=1)
        members.append(Codes(mean, std))
    assert score(*members)["score"] == pytest.approx(1.0)
    without = [Codes(codes.mean) for codes in members]
    assert score(*without)["score"] < 0.8


def test_a_copied_dimension_in_one_member_lowers_the_score(grid: np.ndarray) -> None:
    """One of two dimensions twice in one member: R = (1 1 0; 0 0 1): (1 + 1 + 1 + ½ + 1)/5."""
    first, second = narrow_codes(grid[:, [0, 1]]), narrow_codes(grid[:, [0, 0, 1]])
    assert score(first, second)["score"] == pytest.approx(4.5 / 5)


def test_bad_arguments_are_errors(grid: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="population=1 members: must have at least 2 members"):
        score(narrow_codes(grid))
    with pytest.raises(ArgumentError, match=r"population=codes of \[100, 2400\] items"):
        score(narrow_codes(grid), narrow_codes(grid[:100]))
    with pytest.raises(ArgumentError, match="protocol=best: UDR has no such protocol"):
        score(narrow_codes(grid), narrow_codes(grid), protocol="best")
