"""Aggregate posterior and its estimates from batches, against enumeration and closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from unbraid import information
from unbraid.errors import ArgumentError
from unbraid.information import aggregate


def posteriors(n: int, z: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(n, z, generator=generator).double()
    std = 0.3 + torch.rand(n, z, generator=generator).double()
    return mean, std


def test_the_aggregate_is_the_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    mean, std = posteriors(5, 3)
    z = torch.randn(7, 3, generator=torch.Generator().manual_seed(1)).double()
    pdf = stats.norm.logpdf(z.numpy()[:, None], mean.numpy(), std.numpy())
    single, prefix = information.log_aggregate(z, mean, std)
    np.testing.assert_allclose(single, np.logaddexp.reduce(pdf, axis=1) - math.log(5), rtol=1e-12)
    for i in range(3):
        expected = np.logaddexp.reduce(pdf[..., : i + 1].sum(axis=2), axis=1) - math.log(5)
        np.testing.assert_allclose(prefix[:, i], expected, rtol=1e-12)
    monkeypatch.setattr(aggregate, "CHUNK_ENTRIES", 1)  # one sample at a time
    in_chunks = information.log_aggregate(z, mean, std)
    assert torch.equal(in_chunks[0], single)
    assert torch.equal(in_chunks[1], prefix)


@pytest.mark.parametrize(("n", "batch"), [(5, 2), (5, 3), (6, 4), (4, 4)])
def test_stratified_estimates_are_unbiased_over_every_batch(n: int, batch: int) -> None:
    """The mean estimate of q(z_a) over all batches of distinct images with image a is q(z_a).

    A wrong weight fails this, on the diagonal or off it.
    """
    mean, std = posteriors(n, 2)
    z = mean + std * torch.randn(n, 2, generator=torch.Generator().manual_seed(2)).double()
    _, prefix = information.log_aggregate(z, mean, std)
    single, _ = information.log_aggregate(z, mean, std)
    for a in range(n):
        estimates, single_estimates = [], []
        others = [i for i in range(n) if i != a]
        for chosen in itertools.permutations(others, batch - 1):
            for position in range(batch):
                order = [*chosen[:position], a, *chosen[position:]]
                table = information.pairwise_log_density(z[order], mean[order], std[order])
                log_qi, log_q = information.log_minibatch(table, n, stratified=True)
                estimates.append(log_q[position].exp())
                single_estimates.append(log_qi[position].exp())
        torch.testing.assert_close(torch.stack(estimates).mean(), prefix[a, -1].exp())
        torch.testing.assert_close(torch.stack(single_estimates).mean(dim=0), single[a].exp())


def test_a_batch_that_is_the_dataset_is_exact() -> None:
    """Stratified weights are then 1/N; weighted ones are 1/N², too small by a factor of N."""
    mean, std = posteriors(6, 3)
    z = mean + std
    table = information.pairwise_log_density(z, mean, std)
    single, prefix = information.log_aggregate(z, mean, std)
    log_qi, log_q = information.log_minibatch(table, 6, stratified=True)
    torch.testing.assert_close(log_qi, single)
    torch.testing.assert_close(log_q, prefix[:, -1])
    log_qi, log_q = information.log_minibatch(table, 6, stratified=False)
    torch.testing.assert_close(log_q, prefix[:, -1] - math.log(6))


@pytest.mark.parametrize("stratified", [False, True])
def test_estimates_with_replacement_have_the_documented_bias(stratified: bool) -> None:
    """Weighted (q(z_a|x_a) + (b − 1) q(z_a)) / (N b), stratified q + (q(z_a|x_a) − q) / N."""
    n, batch = 4, 3
    mean, std = posteriors(n, 2)
    z = mean + 0.5 * std
    _, prefix = information.log_aggregate(z, mean, std)
    for a in range(n):
        estimates = []
        for chosen in itertools.product(range(n), repeat=batch - 1):
            order = [a, *chosen]
            table = information.pairwise_log_density(z[order], mean[order], std[order])
            estimates.append(information.log_minibatch(table, n, stratified=stratified)[1][0].exp())
        posterior = stats.norm.pdf(z[a], mean[a], std[a]).prod()
        q = prefix[a, -1].exp().item()
        expected = (
            q + (posterior - q) / n if stratified else (posterior + (batch - 1) * q) / (n * batch)
        )
        assert torch.stack(estimates).mean().item() == pytest.approx(expected, rel=1e-12)


def test_stratified_weights_sum_to_one() -> None:
    weights = information.log_weights(4, 100, stratified=True, like=torch.zeros(1).double()).exp()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(4).double())
    torch.testing.assert_close(weights.diagonal(), torch.full((4,), 0.01).double())
    assert weights[0, 1].item() == pytest.approx(99 / 300)


def test_the_aggregate_of_gaussian_means_agrees_with_the_marginal() -> None:
    """x ~ N(0, 1) and q(z|x) = N(a x, s²) make q(z) = N(0, a² + s²)."""
    a, s, n = 0.8, 0.6, 4_000
    generator = torch.Generator().manual_seed(0)
    mean = a * torch.randn(n, 1, generator=generator).double()
    z = torch.linspace(-2, 2, 9)[:, None].double()
    single, prefix = information.log_aggregate(z, mean, torch.full_like(mean, s))
    expected = stats.norm.pdf(z[:, 0], 0, 1.0)
    # The standard error of a mean of N densities, each at most 1/(s √2π).
    error = 4 * (1 / (s * math.sqrt(2 * math.pi))) / math.sqrt(n)
    assert np.abs(single[:, 0].exp().numpy() - expected).max() < error
    assert torch.equal(single, prefix)


@pytest.mark.parametrize(("batch_size", "dataset_size"), [(1, 10), (11, 10)])
def test_batch_sizes_out_of_range_are_reported(batch_size: int, dataset_size: int) -> None:
    message = f"batch_size={batch_size}: must be between 2 and {dataset_size}"
    with pytest.raises(ArgumentError, match=message):
        information.log_weights(batch_size, dataset_size, stratified=True, like=torch.zeros(1))
