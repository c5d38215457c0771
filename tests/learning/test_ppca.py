"""A linear VAE with a Gaussian likelihood reaches the maximum likelihood of PPCA."""

import math
from dataclasses import dataclass

import pytest
import torch
from tests.learning.linear_vae import LinearGaussian, gaussian_images, networks, train
from torch import Tensor

from unbraid.engine.state import State
from unbraid.methods.vae import VAE

pytestmark = pytest.mark.slow

VARIANCES = torch.tensor([12.0, 6.0, 3.0, 1.2, 1.0, 0.8]).double()
LATENT_DIM, STEPS, LOGGED_STEPS = 3, 1_500, 200


@dataclass(frozen=True)
class LinearVAE(LinearGaussian, VAE):
    pass


def images() -> Tensor:
    """Data with covariance Q diag(VARIANCES) Qᵀ for an orthogonal Q."""
    square = torch.randn(6, 6, generator=torch.Generator().manual_seed(1)).double()
    q = torch.linalg.qr(square).Q.float()
    return gaussian_images(VARIANCES, 1_000) @ q.T + 0.5


def test_a_linear_vae_reaches_the_maximum_likelihood_of_ppca() -> None:
    """The ELBO ends within 0.002 nats of the maximum of ln p(x), and never above it.

    Tipping & Bishop 1999, Eq. 7 and 8: for p(x) = N(c, W Wᵀ + σ² I) with q columns in W, and
    eigenvalues λ_1 ≥ … ≥ λ_D of the sample covariance S, the likelihood is largest at
    σ² = mean(λ_{q+1} … λ_D) and W = U_q (Λ_q − σ² I)^½ R for any rotation R. There C = W Wᵀ + σ² I
    has the eigenvalues λ_1 … λ_q, σ² … σ², so tr(C⁻¹ S) = q + (D − q) = D, and the mean
    log-likelihood is −½ [D ln 2π + Σ_{i≤q} ln λ_i + (D − q) ln σ² + D].

    The posterior is N(M⁻¹ Wᵀ (x − c), σ² M⁻¹) with M = Wᵀ W + σ² I. With R = I it is diagonal, so a
    VAE with a diagonal posterior attains ELBO = ln p(x). With other rotations,
    ELBO < ln p(x) ≤ maximum: the ELBO also determines the axes (Lucas et al. 2019).

    At the optimum std_i² = σ² / λ_i. The aggregate posterior is N(0, I), as averaging the posterior
    over the data gives the prior, so E μ_i² + std_i² = 1 and KL_i = −ln std_i = ½ ln(λ_i / σ²).

    The ELBO of linear networks needs no sample of z:
    E‖x − W z − c‖² = ‖x − W μ(x) − c‖² + Σ_i std_i² ‖w_i‖².
    """
    q, d = LATENT_DIM, len(VARIANCES)
    sigma2 = VARIANCES[q:].mean()
    log_det = VARIANCES[:q].log().sum() + (d - q) * sigma2.log()
    maximum = -0.5 * (d * math.log(2 * math.pi) + log_det + d).item()

    x = images()
    method = LinearVAE(latent_dim=q, learning_rate=0.05, steps=STEPS, learns_variance=True)
    state = train(method, lambda _: x, steps=STEPS, logged_steps=LOGGED_STEPS)
    elbo, log_likelihood, variance = exact_elbo(state, x)

    assert elbo <= log_likelihood + 1e-6
    assert log_likelihood <= maximum + 1e-6
    assert elbo == pytest.approx(maximum, abs=0.002)
    assert variance == pytest.approx(sigma2.item(), rel=0.01)
    reported = state.mean_losses()
    assert reported["elbo"] == pytest.approx(maximum, abs=0.005)
    expected_kl = 0.5 * (VARIANCES[:q] / sigma2).log()
    assert sorted(reported["kl"]) == pytest.approx(expected_kl.flip(0).tolist(), abs=0.01)


def exact_elbo(state: State, x: Tensor) -> tuple[float, float, float]:
    """Return the mean ELBO, the mean ln p(x) and σ² of the linear networks, in closed form."""
    encoder, decoder = networks(state.parts.double())
    x, d = x.double().flatten(1), x[0].numel()
    with torch.no_grad():
        mean, std = encoder(x)
        w, c, variance = decoder.mean.weight, decoder.mean.bias, decoder.log_variance.exp()
        error = (x - mean @ w.T - c).square().sum(1) + (std**2 * w.square().sum(0)).sum(1)
        log_p_given_z = -0.5 * (error / variance + d * (2 * math.pi * variance).log())
        kl = (0.5 * (mean**2 + std**2 - 1) - std.log()).sum(1)
        covariance = w @ w.T + variance * torch.eye(d).double()
        log_p = torch.distributions.MultivariateNormal(c, covariance).log_prob(x)
    return (log_p_given_z - kl).mean().item(), log_p.mean().item(), variance.item()
