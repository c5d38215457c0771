"""UDR: members that agree up to order, sign and scale, members that do not, bad populations."""

import numpy as np
import pytest
from tests.metrics.codes_of_all_kinds import codes_of

from unbraid.codes import Codes
from unbraid.errors import UserError
from unbraid.metrics import udr
from unbraid.metrics.udr import PROTOCOLS, Protocol


def score(
    *population: Codes, protocol: Protocol | str = "duan2020", seed: int = 0
) -> dict[str, float]:
    return udr.score(list(population), np.random.default_rng(seed), protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_members_that_agree_score_1(protocol: str, grid: np.ndarray) -> None:
    other = codes_of(grid[:, [2, 0, 1]] * [-5.0, 2.0, 0.1] + 3)
    found = score(codes_of(grid), other, codes_of(grid), protocol=protocol)
    assert found["score"] == pytest.approx(1.0 if protocol == "duan2020" else 0.9, abs=1e-3)
    assert found["member_0"] == pytest.approx(found["member_1"])


def test_a_rotated_member() -> None:
    """Weights 1/√2 everywhere: each dimension's ½ over √2, so 1/(2√2) for the pair."""
    values = np.stack(np.meshgrid(range(5), range(5), indexing="ij"), axis=-1).reshape(-1, 2)
    a, b = np.repeat(values, 20, axis=0).T
    plain = Protocol("plain", items=0, similarity="lasso", min_kl=0.0)
    straight = codes_of(np.stack([a, b], axis=1))
    turned = codes_of(np.stack([a + b, a - b], axis=1))
    assert score(straight, turned, protocol=plain)["score"] == pytest.approx(1 / (2 * np.sqrt(2)))
    # Two that agree and one that does not: the median of two is their mean.
    found = score(straight, straight, turned, protocol=plain)
    assert found["member_0"] == pytest.approx((1 + 1 / (2 * np.sqrt(2))) / 2)
    assert found["member_2"] == pytest.approx(1 / (2 * np.sqrt(2)))


def test_a_member_is_scored_by_the_median_and_all_by_the_mean() -> None:
    """Three that agree and one that does not: 1, 1, 1 and q = 1/(2√2)."""
    a, b = (np.repeat(v.reshape(-1), 20) for v in np.meshgrid(range(5), range(5), indexing="ij"))
    straight, turned = codes_of(np.stack([a, b], 1)), codes_of(np.stack([a + b, a - b], 1))
    plain = Protocol("plain", items=0, similarity="lasso", min_kl=0.0)
    found = score(straight, straight, straight, turned, protocol=plain)
    odd = 1 / (2 * np.sqrt(2))
    assert [found[f"member_{i}"] for i in range(4)] == pytest.approx([1, 1, 1, odd])
    assert found["score"] == pytest.approx((3 + odd) / 4)
    # The std of (1, 1, 1, q) is (1 − q)/2, over √4.
    assert found["standard_error"] == pytest.approx((1 - odd) / 4)
    assert found["items"] == 500


def test_ranks_do_not_mind_a_bent_dimension(grid: np.ndarray) -> None:
    bent = codes_of(np.exp(2.0 * grid))
    assert score(codes_of(grid), bent)["score"] == pytest.approx(1)


def test_noise_agrees_little_and_nothing_is_0(grid: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    noise = [codes_of(rng.normal(size=grid.shape)) for _ in range(3)]
    assert score(*noise)["score"] < 0.05
    constant = codes_of(np.zeros(grid.shape))
    assert score(constant, constant)["score"] == 0.0
    assert score(constant, codes_of(grid))["score"] == 0.0


def test_dimensions_of_no_kl_do_not_count(grid: np.ndarray) -> None:
    """Idle dimensions keep a posterior of N(0, 1) but for a trace of noise."""
    rng = np.random.default_rng(0)
    members = []
    for _ in range(2):
        mean = np.concatenate([grid, 0.01 * rng.normal(size=grid.shape)], axis=1)
        std = np.concatenate([np.full(grid.shape, 0.05), np.ones(grid.shape)], axis=1)
        members.append(Codes(mean, std))
    assert score(*members)["score"] == pytest.approx(1.0)
    without = [Codes(codes.mean) for codes in members]
    assert score(*without)["score"] < 0.8


def test_a_copy_in_one_member_costs(grid: np.ndarray) -> None:
    """One of two dimensions twice in one member: R = (1 1 0; 0 0 1): (1 + 1 + 1 + ½ + 1)/5."""
    first, second = codes_of(grid[:, [0, 1]]), codes_of(grid[:, [0, 0, 1]])
    assert score(first, second)["score"] == pytest.approx(4.5 / 5)


def test_mistakes_are_named(grid: np.ndarray) -> None:
    with pytest.raises(UserError, match="1 members: UDR compares"):
        score(codes_of(grid))
    with pytest.raises(UserError, match=r"members of \[100, 2400\] items"):
        score(codes_of(grid), codes_of(grid[:100]))
    with pytest.raises(UserError, match="protocol 'best': unknown for UDR"):
        score(codes_of(grid), codes_of(grid), protocol="best")
