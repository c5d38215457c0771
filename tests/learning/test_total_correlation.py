"""Estimates of TC(z) for correlated Gaussians, against the closed form."""

import math
from dataclasses import dataclass

import pytest
import torch
from tests.learning.linear_vae import LinearGaussian, networks, train
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal
from torch.nn import functional

from unbraid import information
from unbraid.methods import ParamGroup
from unbraid.methods.factor_vae import FactorVAE

pytestmark = pytest.mark.slow

POSTERIOR_STD = 0.5
# Means A u of the posteriors with u ~ N(0, I), and the variances of the posteriors.
A = torch.tensor([[0.6, 0.0], [0.4, 0.5]]).double()
VARIANCE_Z = torch.tensor([0.8, 0.8]).double()
DATASET_SIZE = 1_000_000


@dataclass(frozen=True)
class FixedFactorVAE(LinearGaussian, FactorVAE):
    """FactorVAE whose encoder is the identity and is not trained."""

    def build(self, shape: tuple[int, int, int]) -> nn.ModuleDict:
        parts = super().build(shape)
        encoder = networks(parts)[0]
        nn.init.eye_(encoder.mean.weight)
        nn.init.zeros_(encoder.mean.bias)
        nn.init.constant_(encoder.log_std, math.log(POSTERIOR_STD))
        return parts

    def groups(self) -> dict[str, ParamGroup]:
        return {**super().groups(), "vae": ParamGroup(("encoder", "decoder"), 0.0)}


@pytest.mark.parametrize("correlation", [0.0, 0.4])
def test_the_discriminator_of_factor_vae_reaches_the_total_correlation(correlation: float) -> None:
    """ln D − ln(1 − D) averages −½ ln det R within 0.05 nats, and D's loss is Bayes' risk.

    z ~ N(0, R), with R = (1 − ρ) I + ρ 1 1ᵀ in m dimensions: its marginals are standard normal, so
    TC = E ln q(z) / Π q(z_i) = −½ ln det R, and det R = (1 − ρ)^(m−1) (1 + (m − 1) ρ). The encoder
    is the identity with posterior std s, so x ~ N(0, R − s² I). Every step has new images: the
    reported values are those of unseen data.

    The best discriminator is D = q / (q + Π q_i) (Kim & Mnih 2018, Eq. 3). Its loss is
    ½ E_q softplus(−r) + ½ E_Πq softplus(r) with r = ln q − ln Π q_i. No other has a lower one.
    """
    m, steps, batch = 4, 800, 256
    r = torch.full((m, m), correlation).fill_diagonal_(1.0)
    expected = -0.5 * ((m - 1) * math.log(1 - correlation) + math.log(1 + (m - 1) * correlation))
    half = torch.linalg.cholesky(r - POSTERIOR_STD**2 * torch.eye(m))
    generator = torch.Generator().manual_seed(0)

    def images(_: int) -> Tensor:
        return (torch.randn(2 * batch, m, generator=generator) @ half.T)[:, None, None, :]

    method = FixedFactorVAE(
        latent_dim=m, discriminator_hidden_dim=64, discriminator_learning_rate=1e-3, steps=steps
    )
    reported = train(method, images, steps=steps, logged_steps=200).mean_losses()

    joint, marginals = MultivariateNormal(torch.zeros(m), r), Normal(torch.zeros(m), 1.0)
    z = torch.randn(100_000, m, generator=generator) @ torch.linalg.cholesky(r).T
    product = torch.randn(100_000, m, generator=generator)
    ratio, other = (joint.log_prob(v) - marginals.log_prob(v).sum(1) for v in (z, product))
    risk = (functional.softplus(-ratio).mean() + functional.softplus(other).mean()).item() / 2
    assert reported["tc"] == pytest.approx(expected, abs=0.05)
    assert risk - 0.005 < reported["discriminator"] < risk + 0.01


def estimates(batch_size: int, *, stratified: bool) -> tuple[Tensor, Tensor]:
    """Return biases of the estimates of ln q(z) and ln q(z_i), over batches of new images.

    The exact densities at the same samples are subtracted, which removes most of the noise.
    """
    n = 2**17
    generator = torch.Generator().manual_seed(batch_size)
    mean = torch.randn(n, 2, generator=generator).double() @ A.T
    std = VARIANCE_Z.sqrt().expand(n, -1)
    noise = torch.randn(n, 2, generator=generator).double()
    terms = information.decompose_by_batches(
        mean, std, noise, batch_size=batch_size, dataset_size=DATASET_SIZE, stratified=stratified
    )
    z, covariance = mean + std * noise, A @ A.T + VARIANCE_Z.diag()
    log_q = MultivariateNormal(torch.zeros(2).double(), covariance).log_prob(z).mean()
    log_qi = Normal(torch.zeros(2).double(), covariance.diagonal().sqrt()).log_prob(z).mean(0)
    log_q_given_x = Normal(mean, std).log_prob(z).sum(1).mean()
    log_p = Normal(0.0, 1.0).log_prob(z).mean(0)
    estimate_i = terms.marginal_kl_z + log_p
    assert terms.total_correlation == pytest.approx(
        (log_q_given_x - terms.information - estimate_i.sum()).item(), abs=1e-9
    )
    return log_q_given_x - terms.information - log_q, estimate_i - log_qi


@pytest.mark.parametrize("batch_size", [64, 256])
@pytest.mark.parametrize("stratified", [False, True])
def test_estimates_from_a_batch_have_the_bias_of_first_order_in_1_over_b(
    batch_size: int, stratified: bool
) -> None:
    """Weighted: −ln N + (e^{2I} − 1)/2b. Stratified: −(e^{2I} − 1)/2(b − 1).

    These are the biases of ln q(z) with I = I(x;z), and of ln q(z_i) with I = I(x;z_i).

    For z_a from image x_a and w_c = q(z_a|x_c) / q(z_a), the weighted estimate (Chen et al. 2018,
    App. C.1) of ln q(z_a) is ln q(z_a) − ln N + ln (1/b) Σ_c w_c. Other images have E w_c = 1 and
    E w_c² = v(z_a); image a itself has E[w_a | z_a] = E_x[w²] = v(z_a), as p(x|z) = p(x) w. With
    M = E_z v(z), ln(1 + ε) ≈ ε − ε²/2 gives (M − 1)/b − (M − 1)/2b = (M − 1)/2b: image a is
    counted among the others, and ln N + estimate is too large, which makes I(x;z) − ln N too small,
    a lower bound (Poole et al. 2019). In the stratified estimate (App. C.2) image a has weight
    1/N ≈ 0, and only Jensen's −(M − 1)/2(b − 1) remains: ln q is too small, I(x;z) too large.

    M = ∫∫ q(z|x)² p(x) / q(z). For jointly Gaussian x and z it is Π_k 1/(1 − ρ_k²) over the
    canonical correlations (Mehler's formula: M = Π_k Σ_j ρ_k^{2j}), and I = −½ Σ_k ln(1 − ρ_k²),
    so M = e^{2I}. For TC, ln q(z) counts once and every ln q(z_i) is subtracted: weighted
    TC + (m − 1) ln N + [(M − 1) − Σ_i (M_i − 1)]/2b. The remainder is of higher order in 1/b.
    """
    covariance = A @ A.T + VARIANCE_Z.diag()
    m = torch.exp(covariance.logdet() - VARIANCE_Z.log().sum())
    m_z = covariance.diagonal() / VARIANCE_Z
    closed = information.gaussian_terms(A @ A.T, VARIANCE_Z)
    assert 0.5 * m.log().item() == pytest.approx(closed.information)

    shift = 0.0 if stratified else -math.log(DATASET_SIZE)
    factor = -1 / (2 * (batch_size - 1)) if stratified else 1 / (2 * batch_size)
    bias, bias_z = estimates(batch_size, stratified=stratified)
    bias, bias_z = bias - shift, bias_z - shift
    assert bias.item() == pytest.approx(factor * (m - 1).item(), rel=0.15)
    assert bias_z.tolist() == pytest.approx((factor * (m_z - 1)).tolist(), rel=0.15)
    bias_of_tc = factor * ((m - 1) - (m_z - 1).sum()).item()
    assert (bias - bias_z.sum()).item() == pytest.approx(bias_of_tc, abs=6e-4)
