"""Divergences and likelihoods against numerical integration and scipy."""

import numpy as np
import torch
from scipy import integrate, stats

from unbraid import latents


def test_kl_is_the_integral_it_claims_to_be() -> None:
    mean = torch.tensor([[0.0, 1.5, -0.3]], dtype=torch.float64)
    std = torch.tensor([[1.0, 0.2, 2.0]], dtype=torch.float64)
    kl = latents.kl_from_standard_normal(mean, std)[0]
    for z in range(3):
        m, s = mean[0, z].item(), std[0, z].item()

        def integrand(v: float, m: float = m, s: float = s) -> float:
            difference = stats.norm.logpdf(v, m, s) - stats.norm.logpdf(v)
            return float(stats.norm.pdf(v, m, s) * difference)

        integral, _ = integrate.quad(integrand, -20, 20, limit=400)
        assert abs(kl[z].item() - integral) < 1e-8
    assert kl[0].item() == 0.0


def test_a_sample_has_the_mean_and_std_it_was_given() -> None:
    noise = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    z = latents.sample_normal(torch.full_like(noise, 2.0), torch.full_like(noise, 0.5), noise)
    # Standard errors: 0.5/√n and 0.5/√(2n); four of each.
    assert abs(z.mean().item() - 2.0) < 4 * 0.5 / 200_000**0.5
    assert abs(z.std().item() - 0.5) < 4 * 0.5 / 400_000**0.5


def test_bernoulli_nats_sum_over_pixels_only() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 1, 3, 4))
    x = (rng.random((2, 1, 3, 4)) < 0.5).astype(float)
    expected = -stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(axis=(1, 2, 3))
    found = latents.bernoulli_nats(torch.from_numpy(logits), torch.from_numpy(x))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_bernoulli_nats_of_a_fair_coin_are_ln_2_a_pixel() -> None:
    x = torch.ones(1, 1, 64, 64)
    assert abs(latents.bernoulli_nats(torch.zeros_like(x), x).item() / 4096 - np.log(2)) < 1e-6


def test_bernoulli_nats_stay_finite_at_extreme_logits() -> None:
    x = torch.zeros(1, 1, 1, 1)
    assert latents.bernoulli_nats(torch.full_like(x, 1e4), x).item() == 1e4
    assert latents.bernoulli_nats(torch.full_like(x, -1e4), x).item() == 0.0
