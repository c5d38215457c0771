"""Terms of the regulariser, against quadrature, closed forms and each other."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from unbraid import information
from unbraid.errors import ArgumentError

MEAN = torch.tensor([[0.0, 0.5], [1.5, -0.5], [-0.7, 1.0]]).double()
STD = torch.tensor([[0.6, 0.9], [0.5, 0.7], [0.8, 0.6]]).double()


def nodes(order: int, z: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss–Hermite quadrature for a standard normal in z dimensions."""
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


def test_terms_of_a_small_mixture_agree_with_numerical_integration() -> None:
    """Every term against a trapezoidal rule on a grid of the plane."""
    result = exact(MEAN, STD)
    axis = np.linspace(-9, 9, 901)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    cell = (axis[1] - axis[0]) ** 2
    q, q1, q2 = mixture(z, [0, 1]), mixture(z, [0]), mixture(z, [1])
    tiny = 1e-300
    entropy = -np.sum(q * np.log(q + tiny)) * cell
    conditional = 0.5 * np.log(2 * math.pi * math.e * STD.numpy() ** 2).sum(axis=1).mean()
    assert result.terms.information == pytest.approx(entropy - conditional, abs=1e-6)
    correlation = np.sum(q * np.log((q + tiny) / (q1 * q2 + tiny))) * cell
    assert result.terms.total_correlation == pytest.approx(correlation, abs=1e-6)
    for i, qi in enumerate((q1, q2)):
        p = stats.norm.pdf(z[..., i])
        kl = np.sum(q * np.log((qi + tiny) / p)) * cell
        assert result.terms.marginal_kl_z[i].item() == pytest.approx(kl, abs=1e-6)
        conditional_i = 0.5 * np.log(2 * math.pi * math.e * STD.numpy()[:, i] ** 2).mean()
        marginal_entropy = -np.sum(q * np.log(qi + tiny)) * cell
        assert result.information_z[i].item() == pytest.approx(
            marginal_entropy - conditional_i, abs=1e-6
        )
    assert result.prefix_information_z[0] == pytest.approx(
        result.information_z[0].item(), abs=1e-12
    )
    assert result.prefix_information_z[1].item() == pytest.approx(
        result.terms.information, abs=1e-12
    )


def test_the_terms_sum_to_the_regulariser() -> None:
    result = exact(MEAN, STD).terms
    assert abs(result.residual) < 1e-12
    closed = information.kl_per_dimension(MEAN, STD).sum().item()
    assert result.regulariser == pytest.approx(closed, abs=1e-14)
    by_quadrature = 0.0
    for m, s in zip(MEAN.flatten().tolist(), STD.flatten().tolist(), strict=True):

        def integrand(v: float, m: float = m, s: float = s) -> float:
            return float(
                stats.norm.pdf(v, m, s) * (stats.norm.logpdf(v, m, s) - stats.norm.logpdf(v))
            )

        by_quadrature += integrate.quad(integrand, -15, 15)[0] / 3
    assert closed == pytest.approx(by_quadrature, abs=1e-9)


def test_limits_of_the_terms() -> None:
    """One image or equal posteriors: I = 0. Distant posteriors: I = ln N. A copied z: TC = I."""
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


def gaussian_posteriors(n: int) -> tuple[Tensor, Tensor, information.Terms]:
    """n posteriors with means from N(0, A Aᵀ), and the terms in closed form."""
    a = torch.tensor([[0.9, 0.0], [0.5, 0.6]]).double()
    variance = torch.tensor([0.3, 0.5]).double()
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(n, 2, generator=generator).double() @ a.T
    std = variance.sqrt().expand(n, -1)
    return mean, std, information.gaussian_terms(a @ a.T, variance)


def test_gaussian_terms_sum_to_the_regulariser() -> None:
    _, _, closed = gaussian_posteriors(1)
    assert abs(closed.residual) < 1e-12
    # One dimension: I = ½ ln(1 + signal/noise), and no total correlation.
    one = information.gaussian_terms(torch.tensor([[3.0]]).double(), torch.ones(1).double())
    assert one.information == pytest.approx(math.log(4) / 2)
    assert one.total_correlation == pytest.approx(0, abs=1e-12)
    assert one.marginal_kl_z.item() == pytest.approx((4 - 1 - math.log(4)) / 2)


def test_estimates_agree_with_the_closed_form_within_standard_errors() -> None:
    n = 3_000
    mean, std, closed = gaussian_posteriors(n)
    noise = torch.randn(1, n, 2, generator=torch.Generator().manual_seed(1)).double()
    result = information.decompose(mean, std, noise)
    values = [
        result.terms.information - closed.information,
        result.terms.total_correlation - closed.total_correlation,
        (result.terms.marginal_kl_z - closed.marginal_kl_z).sum().item(),
        result.terms.residual,
    ]
    for value, error in zip(values, result.errors.tolist(), strict=True):
        assert 0 < error < 0.05
        assert abs(value) < 4 * error


@pytest.mark.parametrize("stratified", [False, True])
def test_batches_give_the_same_sum_and_the_documented_bias(stratified: bool) -> None:
    n, batch_size = 4_096, 256
    mean, std, closed = gaussian_posteriors(n)
    noise = torch.randn(n, 2, generator=torch.Generator().manual_seed(1)).double()
    result = information.decompose_by_batches(
        mean, std, noise, batch_size=batch_size, dataset_size=n, stratified=stratified
    )
    whole = information.decompose(mean, std, noise[None])
    assert result.residual == pytest.approx(whole.terms.residual, abs=1e-12)
    shift = result.information - closed.information
    if stratified:
        assert abs(shift) < 0.05
        assert abs(result.total_correlation - closed.total_correlation) < 0.05
    else:
        # q(z) is too small by N·b/(b − 1 + e^I), about N because I < 1 nat here.
        assert shift == pytest.approx(math.log(n), abs=0.1)
        per_dimension = result.marginal_kl_z - closed.marginal_kl_z
        assert per_dimension.tolist() == pytest.approx([-math.log(n)] * 2, abs=0.1)
        correlation = result.total_correlation - closed.total_correlation
        assert correlation == pytest.approx(math.log(n), abs=0.1)


def test_the_residual_is_the_sum_of_the_terms_minus_the_regulariser() -> None:
    terms = information.Terms(1.0, 0.5, torch.tensor([0.25, 0.125]), 1.5)
    assert terms.residual == 0.375


def test_samples_without_weights_have_equal_weights() -> None:
    noise = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0)).double()
    equal = information.decompose(MEAN, STD, noise)
    weighted = information.decompose(MEAN, STD, noise, torch.full((4,), 0.25).double())
    assert equal.terms.information == weighted.terms.information
    assert equal.terms.residual == weighted.terms.residual


def test_errors_are_those_of_means_over_images() -> None:
    """std/√n of each image's information, TC, sum of marginal KLs, and sampled minus closed KL."""
    noise = torch.randn(1, 3, 2, generator=torch.Generator().manual_seed(0)).double()
    z = (MEAN + STD * noise[0]).numpy()
    m, s = MEAN.numpy(), STD.numpy()
    posterior = stats.norm.logpdf(z, m, s).sum(axis=1)
    density = stats.norm.pdf(z[:, None], m, s)
    q, q_z = np.log(density.prod(axis=2).mean(axis=1)), np.log(density.mean(axis=1)).sum(axis=1)
    prior = stats.norm.logpdf(z).sum(axis=1)
    closed = (0.5 * (m**2 + s**2 - 1) - np.log(s)).sum(axis=1)
    per_image = [posterior - q, q - q_z, q_z - prior, posterior - prior - closed]
    result = information.decompose(MEAN, STD, noise)
    expected = np.std(per_image, axis=1, ddof=1) / math.sqrt(3)
    np.testing.assert_allclose(result.errors, expected, rtol=1e-12)


def test_invalid_arguments_are_reported() -> None:
    one_zero = STD.clone()
    one_zero[1, 1] = 0
    message = "std_nz=0: every standard deviation must be greater"
    with pytest.raises(ArgumentError, match=message):
        information.decompose(MEAN, one_zero, torch.zeros(1, 3, 2).double())
    with pytest.raises(ArgumentError, match=message):
        information.decompose_by_batches(
            MEAN, one_zero, torch.zeros_like(MEAN), batch_size=2, dataset_size=3, stratified=True
        )
    with pytest.raises(ArgumentError, match="batch_size=4: must be at most 3"):
        information.decompose_by_batches(
            MEAN, STD, torch.zeros_like(MEAN), batch_size=4, dataset_size=9, stratified=True
        )
