"""KL by classifier against Gaussians' closed form, and shuffling as a statistic."""

import math

import pytest
import torch
from torch import Tensor

from unbraid import information
from unbraid.errors import UserError


def gaussians(distance: float, n: int, z: int = 1) -> tuple[Tensor, Tensor]:
    """Samples of N(distance, 1) and N(0, 1) a dimension; KL = z · distance²/2."""
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(n, z, generator=generator) + distance
    return p, torch.randn(n, z, generator=generator)


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 2.0])
def test_near_gaussians_are_told_apart_by_their_kl(distance: float) -> None:
    p, q = gaussians(distance, 20_000)
    found = information.kl_by_density_ratio(p, q)
    # The ratio's logarithm has std `distance` under p; the rest is the classifier's own error.
    error = 4 * distance / 10_000**0.5 + 0.05 * (1 + distance)
    assert abs(found - distance**2 / 2) < error


def test_far_gaussians_come_out_too_near() -> None:
    """At distance 6 and 10 no sample of one is where the other's are: KL 18 and 50 are missed."""
    found = [information.kl_by_density_ratio(*gaussians(d, 20_000)) for d in (6.0, 10.0)]
    assert 4 < found[0] < 0.85 * 18
    assert 4 < found[1] < 0.6 * 50


def test_the_classifier_sees_total_correlation() -> None:
    """TC of a Gaussian pair is −½ ln(1 − ρ²); shuffled samples stand for the product."""
    rho, n = 0.8, 20_000
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n, 2, generator=generator)
    z = torch.stack([noise[:, 0], rho * noise[:, 0] + math.sqrt(1 - rho**2) * noise[:, 1]], dim=1)
    shuffled = information.permute_dims(z, torch.randn(n, 2, generator=generator))
    found = information.kl_by_density_ratio(z, shuffled, steps=2_000)
    assert found == pytest.approx(-math.log(1 - rho**2) / 2, abs=0.08)


def test_the_estimate_is_a_function_of_its_seed() -> None:
    p, q = gaussians(1.0, 100)
    one = information.kl_by_density_ratio(p, q, steps=5)
    torch.randn(3)
    assert information.kl_by_density_ratio(p, q, steps=5) == one
    assert information.kl_by_density_ratio(p, q, steps=5, seed=1) != one
    with pytest.raises(UserError, match="3 samples: half of them teach"):
        information.kl_by_density_ratio(p[:3], q)


def test_shuffling_keeps_marginals_and_ends_dependence() -> None:
    n = 20_000
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(n, 1, generator=generator)
    z = torch.cat([first, first, -first], dim=1)
    shuffled = information.permute_dims(z, torch.randn(n, 3, generator=generator))
    assert torch.equal(shuffled.sort(dim=0).values, z.sort(dim=0).values)
    correlation = torch.corrcoef(shuffled.T) - torch.eye(3)
    assert correlation.abs().max() < 4 / n**0.5


def test_rows_never_move_together() -> None:
    """Of each row, two dimensions land in one row again once in b, as chance has it."""
    b, draws = 8, 4_000
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(b).float()[:, None].expand(-1, 2)
    together, places = 0, torch.zeros(b, b)
    for _ in range(draws):
        moved = information.permute_dims(rows, torch.randn(b, 2, generator=generator))
        together += int((moved[:, 0] == moved[:, 1]).sum())
        places[torch.arange(b), moved[:, 0].long()] += 1
    n = b * draws
    assert abs(together / n - 1 / b) < 4 * (1 / b / n) ** 0.5
    # Every place is as likely: χ² with (b − 1)² degrees of freedom.
    expected, freedom = draws / b, (b - 1) ** 2
    assert ((places - expected) ** 2 / expected).sum() < freedom + 5 * (2 * freedom) ** 0.5
