"""KL by a classifier against the closed form for Gaussians, and statistics of permutations."""

import math

import pytest
import torch
from torch import Tensor, nn

from unbraid import information
from unbraid.errors import ArgumentError


def gaussians(distance: float, n: int, z: int = 1) -> tuple[Tensor, Tensor]:
    """Samples of N(distance, 1) and N(0, 1) in each dimension; KL = z · distance²/2."""
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(n, z, generator=generator) + distance
    return p, torch.randn(n, z, generator=generator)


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 2.0])
def test_the_estimate_agrees_with_the_kl_of_near_gaussians(distance: float) -> None:
    p, q = gaussians(distance, 20_000)
    estimate = information.kl_by_density_ratio(p, q)
    # The log-ratio has std `distance` under p; the second term is the error of the classifier.
    error = 4 * distance / 10_000**0.5 + 0.05 * (1 + distance)
    assert abs(estimate - distance**2 / 2) < error


def test_the_kl_of_far_gaussians_is_underestimated() -> None:
    """At distances 6 and 10 the samples do not overlap; the KLs are 18 and 50."""
    estimate = [information.kl_by_density_ratio(*gaussians(d, 20_000)) for d in (6.0, 10.0)]
    assert 4 < estimate[0] < 0.85 * 18
    assert 4 < estimate[1] < 0.6 * 50


def test_the_classifier_estimates_total_correlation() -> None:
    """TC of a Gaussian pair is −½ ln(1 − ρ²); permuted samples are those of the product."""
    rho, n = 0.8, 20_000
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n, 2, generator=generator)
    z = torch.stack([noise[:, 0], rho * noise[:, 0] + math.sqrt(1 - rho**2) * noise[:, 1]], dim=1)
    shuffled = information.permute_dims(z, torch.randn(n, 2, generator=generator))
    estimate = information.kl_by_density_ratio(z, shuffled, steps=2_000)
    assert estimate == pytest.approx(-math.log(1 - rho**2) / 2, abs=0.08)


def test_the_estimate_is_a_function_of_its_seed() -> None:
    p, q = gaussians(1.0, 100)
    first = information.kl_by_density_ratio(p, q, steps=5)
    torch.randn(3)
    assert information.kl_by_density_ratio(p, q, steps=5) == first
    assert information.kl_by_density_ratio(p, q, steps=5, seed=1) != first


def test_an_untrained_classifier_has_two_hidden_layers_and_one_output() -> None:
    p, q = gaussians(1.0, 100, z=3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        layers = [nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)]
    with torch.no_grad():
        expected = nn.Sequential(*layers)(p[50:]).mean().item()
    assert information.kl_by_density_ratio(p, q, steps=0, seed=7) == pytest.approx(expected)


def test_half_of_the_samples_train_the_classifier() -> None:
    """The first half of each sample; of the second halves, only that of p is averaged."""
    p, q = gaussians(1.0, 6)

    def estimate(changed_p: int | None, changed_q: int | None) -> float:
        other_p, other_q = p.clone(), q.clone()
        if changed_p is not None:
            other_p[changed_p] += 5
        if changed_q is not None:
            other_q[changed_q] += 5
        return information.kl_by_density_ratio(other_p, other_q, steps=3)

    original = estimate(None, None)
    assert [estimate(i, None) == original for i in range(6)] == [False] * 6
    assert [estimate(None, i) == original for i in range(6)] == [False] * 3 + [True] * 3


def test_too_few_samples_are_reported() -> None:
    p, q = gaussians(1.0, 100)
    assert math.isfinite(information.kl_by_density_ratio(p[:4], q[:4], steps=1))
    with pytest.raises(ArgumentError, match=r"len\(p_nz\)=3: must be at least 4"):
        information.kl_by_density_ratio(p[:3], q)
    with pytest.raises(ArgumentError, match=r"len\(q_nz\)=3: must be at least 4"):
        information.kl_by_density_ratio(p, q[:3])


def test_permutation_preserves_marginals_and_removes_dependence() -> None:
    n = 20_000
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(n, 1, generator=generator)
    z = torch.cat([first, first, -first], dim=1)
    shuffled = information.permute_dims(z, torch.randn(n, 3, generator=generator))
    assert torch.equal(shuffled.sort(dim=0).values, z.sort(dim=0).values)
    correlation = torch.corrcoef(shuffled.T) - torch.eye(3)
    assert correlation.abs().max() < 4 / n**0.5


def test_permutations_of_dimensions_are_independent_and_uniform() -> None:
    """Two dimensions of a row get the same new row with probability 1/b."""
    b, draws = 8, 4_000
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(b).float()[:, None].expand(-1, 2)
    same_row, places = 0, torch.zeros(b, b)
    for _ in range(draws):
        moved = information.permute_dims(rows, torch.randn(b, 2, generator=generator))
        same_row += int((moved[:, 0] == moved[:, 1]).sum())
        places[torch.arange(b), moved[:, 0].long()] += 1
    n = b * draws
    assert abs(same_row / n - 1 / b) < 4 * (1 / b / n) ** 0.5
    # Every place is equally likely: χ² with (b − 1)² degrees of freedom.
    expected, freedom = draws / b, (b - 1) ** 2
    assert ((places - expected) ** 2 / expected).sum() < freedom + 5 * (2 * freedom) ** 0.5
