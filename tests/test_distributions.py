"""Divergences and likelihoods against numerical integration and scipy."""

import numpy as np
import torch
from scipy import integrate, stats

from unbraid import distributions


def test_kl_agrees_with_numerical_integration() -> None:
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


def test_samples_have_the_requested_mean_and_std() -> None:
    noise = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    z = distributions.sample_normal(torch.full_like(noise, 2.0), torch.full_like(noise, 0.5), noise)
    # Four standard errors, 0.5/√n and 0.5/√(2n).
    assert abs(z.mean().item() - 2.0) < 4 * 0.5 / 200_000**0.5
    assert abs(z.std().item() - 0.5) < 4 * 0.5 / 400_000**0.5


def test_bernoulli_nll_agrees_with_scipy_summed_over_pixels() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 1, 3, 4))
    x = (rng.random((2, 1, 3, 4)) < 0.5).astype(float)
    expected = -stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(axis=(1, 2, 3))
    result = distributions.bernoulli_nll(torch.from_numpy(logits), torch.from_numpy(x))
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12)


def test_bernoulli_nll_at_probability_one_half_is_ln_2_per_pixel() -> None:
    x = torch.ones(1, 1, 64, 64)
    assert abs(distributions.bernoulli_nll(torch.zeros_like(x), x).item() / 4096 - np.log(2)) < 1e-6


def test_bernoulli_nll_is_finite_at_extreme_logits() -> None:
    x = torch.zeros(1, 1, 1, 1)
    assert distributions.bernoulli_nll(torch.full_like(x, 1e4), x).item() == 1e4
    assert distributions.bernoulli_nll(torch.full_like(x, -1e4), x).item() == 0.0


def test_log_normal_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    z, mean, std = rng.normal(size=(3, 5, 2))
    std = np.exp(std)
    result = distributions.log_normal(*(torch.from_numpy(a) for a in (z, mean, std)))
    np.testing.assert_allclose(result.numpy(), stats.norm.logpdf(z, mean, std), rtol=1e-12)


def test_gumbel_noise_has_a_gumbel_distribution() -> None:
    noise = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    assert stats.kstest(distributions.gumbel(noise).numpy(), stats.gumbel_r.cdf).pvalue > 0.01
    # The median of a normal is mapped to the median of a Gumbel, −ln ln 2.
    median = distributions.gumbel(torch.zeros(1, dtype=torch.float64)).item()
    assert abs(median + np.log(np.log(2))) < 1e-12
    # In float32, Φ itself rounds to 1 from 5.5 on, which occurs once in 50 million samples.
    assert distributions.gumbel(torch.tensor([-12.0, 6.0, 12.0])).isfinite().all()


def test_relaxed_categories_are_nearly_one_hot_with_the_requested_frequencies() -> None:
    """Gumbel-max: the largest entry is k with probability softmax(logits)_k."""
    p = torch.tensor([0.5, 0.3, 0.2])
    noise = torch.randn(100_000, 3, generator=torch.Generator().manual_seed(0))
    logits = p.log().expand(100_000, 3)
    for temperature in (0.67, 0.01):
        d = distributions.sample_relaxed_categorical(logits, temperature, noise)
        np.testing.assert_allclose(d.sum(dim=1).numpy(), 1, rtol=1e-5)
        frequency = torch.bincount(d.argmax(dim=1), minlength=3) / 100_000
        assert (frequency - p).abs().max() < 4 * 0.5 / 100_000**0.5
    assert (d.max(dim=1).values > 0.9).float().mean() > 0.95


def test_kl_from_uniform_is_ln_k_minus_the_entropy() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(7, 4))
    q = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    result = distributions.kl_from_uniform(torch.from_numpy(logits))
    np.testing.assert_allclose(result.numpy(), np.log(4) - stats.entropy(q, axis=1), rtol=1e-12)
    limits = distributions.kl_from_uniform(torch.tensor([[0.0, 0.0, 0.0], [200.0, 0.0, 0.0]]))
    np.testing.assert_allclose(limits.numpy(), [0, np.log(3)], atol=1e-6)


def test_the_exported_likelihood_is_finite_at_extreme_logits() -> None:
    class NLL(torch.nn.Module):
        def forward(self, logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return distributions.bernoulli_nll(logits, x)

    logits = torch.tensor([-300.0, -20.0, 0.5, 30.0, 300.0]).reshape(5, 1, 1, 1)
    x = torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0]).reshape(5, 1, 1, 1)
    exported = torch.export.export(NLL(), (logits, x))
    names = {str(node.target) for node in exported.graph.nodes}
    assert not any("cross_entropy" in name or "sigmoid" in name for name in names)
    expected = distributions.bernoulli_nll(logits, x)
    assert torch.allclose(exported.module()(logits, x), expected, rtol=1e-6)
