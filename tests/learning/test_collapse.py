"""β-VAE on independent Gaussians uses exactly the directions that theory predicts."""

from dataclasses import dataclass

import pytest
import torch
from tests.learning.linear_vae import LinearGaussian, gaussian_images, networks, train

from unbraid.methods.beta_vae import BetaVAE

pytestmark = pytest.mark.slow

VARIANCES = torch.tensor([20.0, 8.0, 3.0, 0.5]).double()
SIGMA2 = 1.0
STEPS, LOGGED_STEPS = 2_000, 200


@dataclass(frozen=True)
class LinearBetaVAE(LinearGaussian, BetaVAE):
    pass


@pytest.mark.parametrize(("beta", "num_active"), [(1.5, 3), (4.5, 2), (12.0, 1), (40.0, 0)])
def test_a_linear_beta_vae_collapses_directions_below_beta_sigma2(
    beta: float, num_active: int
) -> None:
    """A direction of variance λ is used iff λ > β σ², with a KL of ½ ln(λ / (β σ²)) nats.

    With a fixed σ², the loss E‖x − W z − c‖² / 2σ² + β KL is β times that of a VAE with noise
    β σ², up to a constant. The directions of independent Gaussians separate: for one direction,
    z = v x + s ε and the reconstruction w z, the loss divided by β is, with τ = β σ²,

        [(1 − w v)² λ + w² s²] / 2τ + ½ (v² λ + s² − 1) − ln s.

    Minimised over v and s (the exact posterior), v = w / (w² + τ) and s² = τ / (w² + τ); what
    remains is −ln N(x; 0, w² + τ) in expectation, ½ [λ / (w² + τ) + ln(w² + τ)] + constant. It
    falls with w² while w² + τ < λ. So w² = λ − τ if λ > τ, else w = 0 and the posterior is the
    prior (Tipping & Bishop 1999; Lucas et al. 2019, §4; Rolínek et al. 2019 for β). Then
    s² = τ / λ, v² λ + s² = 1 and KL = −ln s = ½ ln(λ / τ).

    There are more dimensions than directions: the others collapse too. The variances differ, so
    each used dimension is one coordinate of x up to its sign, since with a mixture of two the true
    posterior is not diagonal.
    """
    x = gaussian_images(VARIANCES, 1_000)
    method = LinearBetaVAE(
        latent_dim=5, beta=beta, learning_rate=0.05, steps=STEPS, variance=SIGMA2
    )
    state = train(method, lambda _: x, steps=STEPS, logged_steps=LOGGED_STEPS)
    kl_z = torch.tensor(state.mean_losses()["kl"])
    expected = 0.5 * (VARIANCES / (beta * SIGMA2)).log().clamp(min=0)
    expected = torch.cat([expected, torch.zeros(1)])
    by_kl = kl_z.argsort(descending=True)
    assert kl_z[by_kl].tolist() == pytest.approx(expected.tolist(), abs=0.02)
    assert int((kl_z > 0.05).sum()) == num_active
    # A used dimension encodes one coordinate: the largest share of its variance is nearly all.
    weight = networks(state.parts)[0].mean.weight.detach()[by_kl[:num_active]]
    variance = weight**2 * VARIANCES
    assert variance.argmax(dim=1).tolist() == list(range(num_active))
    assert bool((variance.amax(dim=1) > 0.95 * variance.sum(dim=1)).all())
