"""Propositions of the lecture on random discrete joints, to machine precision, and Gaussians."""

import math

import pytest
import torch
from torch import Tensor

from unbraid import information

SEEDS = range(5)


def random_joint(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(shape, generator=generator).double() ** 3
    weights[(0,) * len(shape)] = 0  # an impossible event
    return weights / weights.sum()


def factorised_posterior(seed: int, x: int, *sizes: int) -> Tensor:
    """p(x) Π_i q(z_i|x): an encoder whose dimensions are independent given x."""
    generator = torch.Generator().manual_seed(seed)
    joint = torch.rand(x, generator=generator).double()
    joint /= joint.sum()
    for size in sizes:
        q = torch.rand(x, size, generator=generator).double() ** 3
        q /= q.sum(dim=1, keepdim=True)
        joint = joint[..., None] * q.view(x, *[1] * (joint.ndim - 1), size)
    return joint


@pytest.mark.parametrize("seed", SEEDS)
def test_proposition_1_and_its_telescoping_sum(seed: int) -> None:
    """I(z_{1:i−1}; z_i) = TC(z_{1:i}) − TC(z_{1:i−1}); TC(z) = Σ_{i≥2} I(z_{1:i−1}; z_i)."""
    joint = random_joint(seed, 3, 4, 2, 3)
    total = 0.0
    for i in range(1, 4):
        gained = information.mutual_information(joint, range(i), [i])
        before = information.total_correlation(joint, range(i))
        assert gained == pytest.approx(
            information.total_correlation(joint, range(i + 1)) - before, abs=1e-14
        )
        assert gained > 0
        total += gained
    assert total == pytest.approx(information.total_correlation(joint, range(4)), abs=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
def test_total_correlation_is_the_divergence_from_the_product(seed: int) -> None:
    joint = random_joint(seed, 3, 4, 2)
    product = torch.einsum("a,b,c->abc", *[information.marginal(joint, [a]) for a in range(3)])
    kl = torch.special.xlogy(joint, joint / product).sum().item()
    assert information.total_correlation(joint, range(3)) == pytest.approx(kl, abs=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
def test_proposition_2(seed: int) -> None:
    """I(x; [z_1, z_2]) = I(x; z_1) + I(x; z_2) − I(z_1; z_2) where q(z|x) is factorised."""
    joint = factorised_posterior(seed, 5, 3, 4, 2)
    for i in (2, 3):
        before = range(1, i)
        both = information.mutual_information(joint, [0], [*before, i])
        apart = information.mutual_information(joint, [0], before)
        apart += information.mutual_information(joint, [0], [i])
        shared = information.mutual_information(joint, before, [i])
        assert both == pytest.approx(apart - shared, abs=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
def test_proposition_2_requires_a_factorised_posterior(seed: int) -> None:
    """In general I(z_1; z_2 | x) remains."""
    joint = random_joint(seed, 5, 3, 4)
    left = information.mutual_information(joint, [0], [1, 2])
    left -= information.mutual_information(joint, [0], [1])
    left -= information.mutual_information(joint, [0], [2])
    left += information.mutual_information(joint, [1], [2])
    entropy, marginal = information.entropy, information.marginal
    conditional = (
        entropy(marginal(joint, [0, 1]))
        + entropy(marginal(joint, [0, 2]))
        - entropy(joint)
        - entropy(marginal(joint, [0]))
    )
    assert left == pytest.approx(conditional, abs=1e-14)
    assert conditional > 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_the_terms_of_a_discrete_joint_sum_to_the_regulariser(seed: int) -> None:
    joint = factorised_posterior(seed, 4, 3, 5)
    prior = [torch.full((n,), 1 / n, dtype=torch.float64) for n in (3, 5)]
    result = information.table_terms(joint, prior)
    assert abs(result.residual) < 1e-14
    p_x = joint.sum(dim=(1, 2))
    kl = 0.0
    for x in range(4):
        q = joint[x] / p_x[x]
        kl += (p_x[x] * torch.special.xlogy(q, q * 15).sum()).item()
    assert result.regulariser == pytest.approx(kl, abs=1e-14)


def test_known_values() -> None:
    coin = torch.eye(2).double() / 2  # two variables, always equal
    assert information.entropy(coin) == pytest.approx(math.log(2))
    assert information.mutual_information(coin, [0], [1]) == pytest.approx(math.log(2))
    assert information.total_correlation(coin, [0]) == 0
    fair = torch.full((2, 3), 1 / 6, dtype=torch.float64)
    assert information.total_correlation(fair, [0, 1]) == pytest.approx(0, abs=1e-15)
    parity = torch.zeros(2, 2, 2).double()  # pairwise independent, but not jointly
    for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
        parity[a, b, a ^ b] = 0.25
    assert information.mutual_information(parity, [0], [1]) == pytest.approx(0, abs=1e-15)
    assert information.total_correlation(parity, range(3)) == pytest.approx(math.log(2))


@pytest.mark.parametrize("seed", SEEDS)
def test_propositions_on_gaussians(seed: int) -> None:
    """x of 3 dimensions, z = A x + independent noise: q(z|x) is factorised."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(4, 3, generator=generator).double()
    noise = (0.5 + torch.rand(4, generator=generator).double()).diag()
    covariance = torch.cat(
        [
            torch.cat([torch.eye(3).double(), a.T], dim=1),
            torch.cat([a, a @ a.T + noise], dim=1),
        ]
    )
    x, shared = [0, 1, 2], information.gaussian_mutual_information
    total = 0.0
    for i in range(1, 4):
        before, this = [3 + j for j in range(i)], [3 + i]
        gained = shared(covariance, before, this)
        total += gained
        both = shared(covariance, x, [*before, *this])
        apart = shared(covariance, x, before) + shared(covariance, x, this)
        assert both == pytest.approx(apart - gained, abs=1e-12)
        up_to = covariance[3 : 4 + i, 3 : 4 + i]
        assert information.gaussian_total_correlation(up_to) == pytest.approx(total, abs=1e-12)


def test_information_of_a_gaussian_pair() -> None:
    """I = −½ ln(1 − ρ²), independent of the variances."""
    for rho in (0.0, 0.5, 0.99):
        covariance = torch.tensor([[4.0, 2 * rho], [2 * rho, 1.0]], dtype=torch.float64)
        expected = -math.log(1 - rho**2) / 2
        result = information.gaussian_mutual_information(covariance, [0], [1])
        assert result == pytest.approx(expected, abs=1e-12)
        assert information.gaussian_total_correlation(covariance) == pytest.approx(
            expected, abs=1e-12
        )
