"""The regulariser's three terms, against quadrature, closed forms and each other."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from unbraid import information
from unbraid.errors import UserError

MEAN = torch.tensor([[0.0, 0.5], [1.5, -0.5], [-0.7, 1.0]]).double()
STD = torch.tensor([[0.6, 0.9], [0.5, 0.7], [0.8, 0.6]]).double()


def nodes(order: int, z: int) -> tuple[Tensor, Tensor]:
    """Gauss and Hermite's nodes and weights for a standard normal in z dimensions."""
    points, weights = np.polynomial.hermite_e.hermegauss(order)
    weights = weights / math.sqrt(2 * math.pi)
    grid = np.stack(np.meshgrid(*[points] * z, indexing="ij"), axis=-1).reshape(-1, z)
    product = np.stack(np.meshgrid(*[weights] * z, indexing="ij"), axis=-1).reshape(-1, z)
    return torch.from_numpy(grid), torch.from_numpy(product.prod(axis=1))


def exact(mean: Tensor, std: Tensor, order: int = 60) -> information.Decomposition:
    points, weights = nodes(order, mean.shape[1])
    noise = points[:, None, :].expand(-1, len(mean), -1)
    return information.decompose(mean, std, noise, weights)


def mixture(z: np.ndarray, dimensions: list[int]) -> np.ndarray:
    m, s = MEAN.numpy()[:, dimensions], STD.numpy()[:, dimensions]
    return stats.norm.pdf(z[..., None, dimensions], m, s).prod(axis=-1).mean(axis=-1)


def test_a_mixture_over_a_small_x_is_integrated_exactly() -> None:
    """Every term against a trapezium rule over the plane, which never saw a posterior's nodes."""
    found = exact(MEAN, STD)
    axis = np.linspace(-9, 9, 901)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    cell = (axis[1] - axis[0]) ** 2
    q, q1, q2 = mixture(z, [0, 1]), mixture(z, [0]), mixture(z, [1])
    tiny = 1e-300
    entropy = -np.sum(q * np.log(q + tiny)) * cell
    conditional = 0.5 * np.log(2 * math.pi * math.e * STD.numpy() ** 2).sum(axis=1).mean()
    assert found.terms.information == pytest.approx(entropy - conditional, abs=1e-6)
    correlation = np.sum(q * np.log((q + tiny) / (q1 * q2 + tiny))) * cell
    assert found.terms.total_correlation == pytest.approx(correlation, abs=1e-6)
    for i, qi in enumerate((q1, q2)):
        p = stats.norm.pdf(z[..., i])
        kl = np.sum(q * np.log((qi + tiny) / p)) * cell
        assert found.terms.marginal_kl_z[i].item() == pytest.approx(kl, abs=1e-6)
        own = 0.5 * np.log(2 * math.pi * math.e * STD.numpy()[:, i] ** 2).mean()
        marginal_entropy = -np.sum(q * np.log(qi + tiny)) * cell
        assert found.information_z[i].item() == pytest.approx(marginal_entropy - own, abs=1e-6)
    assert found.prefix_information_z[0] == pytest.approx(found.information_z[0].item(), abs=1e-12)
    assert found.prefix_information_z[1].item() == pytest.approx(found.terms.information, abs=1e-12)


def test_the_three_sum_to_the_regulariser() -> None:
    found = exact(MEAN, STD).terms
    assert abs(found.residual) < 1e-12
    closed = information.kl_per_dimension(MEAN, STD).sum().item()
    assert found.regulariser == pytest.approx(closed, abs=1e-14)
    by_quadrature = 0.0
    for m, s in zip(MEAN.flatten().tolist(), STD.flatten().tolist(), strict=True):

        def integrand(v: float, m: float = m, s: float = s) -> float:
            return float(
                stats.norm.pdf(v, m, s) * (stats.norm.logpdf(v, m, s) - stats.norm.logpdf(v))
            )

        by_quadrature += integrate.quad(integrand, -15, 15)[0] / 3
    assert closed == pytest.approx(by_quadrature, abs=1e-9)


def test_limits() -> None:
    """One image: no information. Equal posteriors: none. Far ones: ln N. A copy: TC is I."""
    alone = exact(MEAN[:1], STD[:1]).terms
    assert alone.information == pytest.approx(0, abs=1e-12)
    assert alone.total_correlation == pytest.approx(0, abs=1e-12)
    same = exact(MEAN[:1].expand(4, -1), STD[:1].expand(4, -1)).terms
    assert same.information == pytest.approx(0, abs=1e-12)
    far = torch.tensor([[-50.0], [0.0], [50.0]]).double()
    apart = exact(far, torch.ones(3, 1).double(), 20)
    assert apart.terms.information == pytest.approx(math.log(3), abs=1e-12)
    copied = exact(far.expand(-1, 2), torch.ones(3, 2).double(), 20)
    assert copied.terms.total_correlation == pytest.approx(math.log(3), abs=1e-9)
    assert copied.prefix_information_z.tolist() == pytest.approx([math.log(3)] * 2, abs=1e-9)


def gaussian_world(n: int) -> tuple[Tensor, Tensor, information.Terms]:
    """Means from N(0, A Aᵀ): the closed form, and n posteriors of it."""
    a = torch.tensor([[0.9, 0.0], [0.5, 0.6]]).double()
    variance = torch.tensor([0.3, 0.5]).double()
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(n, 2, generator=generator).double() @ a.T
    std = variance.sqrt().expand(n, -1)
    return mean, std, information.gaussian_terms(a @ a.T, variance)


def test_gaussian_terms_sum_to_the_regulariser() -> None:
    _, _, closed = gaussian_world(1)
    assert abs(closed.residual) < 1e-12
    # One dimension: I = ½ ln(1 + signal/noise), and no total correlation.
    one = information.gaussian_terms(torch.tensor([[3.0]]).double(), torch.ones(1).double())
    assert one.information == pytest.approx(math.log(4) / 2)
    assert one.total_correlation == pytest.approx(0, abs=1e-12)
    assert one.marginal_kl_z.item() == pytest.approx((4 - 1 - math.log(4)) / 2)


def test_samples_of_a_gaussian_world_come_within_the_stated_error() -> None:
    n = 3_000
    mean, std, closed = gaussian_world(n)
    noise = torch.randn(1, n, 2, generator=torch.Generator().manual_seed(1)).double()
    found = information.decompose(mean, std, noise)
    values = [
        found.terms.information - closed.information,
        found.terms.total_correlation - closed.total_correlation,
        (found.terms.marginal_kl_z - closed.marginal_kl_z).sum().item(),
        found.terms.residual,
    ]
    for value, error in zip(values, found.errors.tolist(), strict=True):
        assert 0 < error < 0.05
        assert abs(value) < 4 * error


@pytest.mark.parametrize("stratified", [False, True])
def test_batches_give_the_same_sum_and_the_bias_they_state(stratified: bool) -> None:
    n, batch = 4_096, 256
    mean, std, closed = gaussian_world(n)
    noise = torch.randn(n, 2, generator=torch.Generator().manual_seed(1)).double()
    found = information.decompose_by_batches(
        mean, std, noise, batch=batch, dataset_size=n, stratified=stratified
    )
    whole = information.decompose(mean, std, noise[None])
    assert found.residual == pytest.approx(whole.terms.residual, abs=1e-12)
    shift = found.information - closed.information
    if stratified:
        assert abs(shift) < 0.05
        assert abs(found.total_correlation - closed.total_correlation) < 0.05
    else:
        # q(z) too low by N·b/(b − 1 + e^I), I < 1 nat here: hardly less than N.
        assert shift == pytest.approx(math.log(n), abs=0.1)
        per_dimension = found.marginal_kl_z - closed.marginal_kl_z
        assert per_dimension.tolist() == pytest.approx([-math.log(n)] * 2, abs=0.1)
        correlation = found.total_correlation - closed.total_correlation
        assert correlation == pytest.approx(math.log(n), abs=0.1)


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="std 0: a density needs a width"):
        information.decompose(MEAN, torch.zeros_like(STD), torch.zeros(1, 3, 2).double())
    with pytest.raises(UserError, match="batch=4: there are 3 images, not one whole batch"):
        information.decompose_by_batches(
            MEAN, STD, torch.zeros_like(MEAN), batch=4, dataset_size=9, stratified=True
        )
