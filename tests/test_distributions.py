"""Divergences and likelihoods against numerical integration and scipy."""

import numpy as np
import torch
from scipy import integrate, stats

from unbraid import distributions


def test_kl_is_the_integral_it_claims_to_be() -> None:
    mean = torch.tensor([[0.0, 1.5, -0.3]], dtype=torch.float64)
    std = torch.tensor([[1.0, 0.2, 2.0]], dtype=torch.float64)
    kl = distributions.kl_from_standard_normal(mean, std)[0]
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
    z = distributions.sample_normal(torch.full_like(noise, 2.0), torch.full_like(noise, 0.5), noise)
    # Standard errors: 0.5/√n and 0.5/√(2n); four of each.
    assert abs(z.mean().item() - 2.0) < 4 * 0.5 / 200_000**0.5
    assert abs(z.std().item() - 0.5) < 4 * 0.5 / 400_000**0.5


def test_bernoulli_nats_sum_over_pixels_only() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 1, 3, 4))
    x = (rng.random((2, 1, 3, 4)) < 0.5).astype(float)
    expected = -stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(axis=(1, 2, 3))
    found = distributions.bernoulli_nll(torch.from_numpy(logits), torch.from_numpy(x))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_bernoulli_nats_of_a_fair_coin_are_ln_2_a_pixel() -> None:
    x = torch.ones(1, 1, 64, 64)
    assert abs(distributions.bernoulli_nll(torch.zeros_like(x), x).item() / 4096 - np.log(2)) < 1e-6


def test_bernoulli_nats_stay_finite_at_extreme_logits() -> None:
    x = torch.zeros(1, 1, 1, 1)
    assert distributions.bernoulli_nll(torch.full_like(x, 1e4), x).item() == 1e4
    assert distributions.bernoulli_nll(torch.full_like(x, -1e4), x).item() == 0.0


def test_log_normal_is_scipys() -> None:
    rng = np.random.default_rng(0)
    z, mean, std = rng.normal(size=(3, 5, 2))
    std = np.exp(std)
    found = distributions.log_normal(*(torch.from_numpy(a) for a in (z, mean, std)))
    np.testing.assert_allclose(found.numpy(), stats.norm.logpdf(z, mean, std), rtol=1e-12)


def test_gumbel_noise_is_gumbel() -> None:
    noise = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    assert stats.kstest(distributions.gumbel(noise).numpy(), stats.gumbel_r.cdf).pvalue > 0.01
    # The median of a normal is the median of a Gumbel, −ln ln 2.
    middle = distributions.gumbel(torch.zeros(1, dtype=torch.float64)).item()
    assert abs(middle + np.log(np.log(2))) < 1e-12
    # float32 normals reach 5.5 once in 50 million: there Φ itself rounds to 1.
    assert distributions.gumbel(torch.tensor([-12.0, 6.0, 12.0])).isfinite().all()


def test_relaxed_categories_are_near_one_hot_and_as_frequent_as_they_should() -> None:
    """Gumbel-max: the largest entry is k with probability softmax(logits)_k."""
    p = torch.tensor([0.5, 0.3, 0.2])
    noise = torch.randn(100_000, 3, generator=torch.Generator().manual_seed(0))
    logits = p.log().expand(100_000, 3)
    for temperature in (0.67, 0.01):
        d = distributions.sample_relaxed_categorical(logits, temperature, noise)
        np.testing.assert_allclose(d.sum(dim=1).numpy(), 1, rtol=1e-5)
        share = torch.bincount(d.argmax(dim=1), minlength=3) / 100_000
        assert (share - p).abs().max() < 4 * 0.5 / 100_000**0.5
    assert (d.max(dim=1).values > 0.9).float().mean() > 0.95


def test_categorical_kl_is_ln_k_less_the_entropy() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(7, 4))
    q = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = distributions.kl_from_uniform(torch.from_numpy(logits))
    np.testing.assert_allclose(found.numpy(), np.log(4) - stats.entropy(q, axis=1), rtol=1e-12)
    ends = distributions.kl_from_uniform(torch.tensor([[0.0, 0.0, 0.0], [200.0, 0.0, 0.0]]))
    np.testing.assert_allclose(ends.numpy(), [0, np.log(3)], atol=1e-6)


def test_an_exported_likelihood_is_finite_at_extreme_logits() -> None:
    class Nats(torch.nn.Module):
        def forward(self, logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return distributions.bernoulli_nll(logits, x)

    logits = torch.tensor([-300.0, -20.0, 0.5, 30.0, 300.0]).reshape(5, 1, 1, 1)
    x = torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0]).reshape(5, 1, 1, 1)
    exported = torch.export.export(Nats(), (logits, x))
    names = {str(node.target) for node in exported.graph.nodes}
    assert not any("cross_entropy" in name or "sigmoid" in name for name in names)
    expected = distributions.bernoulli_nll(logits, x)
    assert torch.allclose(exported.module()(logits, x), expected, rtol=1e-6)
