"""Aggregate posterior q(z) = (1/N) Σ_n q(z|x_n), exact or estimated from a batch."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unbraid import distributions
from unbraid.errors import ArgumentError

# Entries per chunk of the table (samples, posteriors, z): 32 MB in float64.
CHUNK_ENTRIES = 4_000_000


def log_aggregate(
    z_sz: Float[Tensor, "s z"], mean_nz: Float[Tensor, "n z"], std_nz: Float[Tensor, "n z"]
) -> tuple[Float[Tensor, "s z"], Float[Tensor, "s z"]]:
    """Compute ln q(z_i) and ln q(z_{1:i}) of samples for every i, from all N posteriors.

    ln (1/N) Σ_n Π_{j≤i} q(z_j|x_n), exact up to rounding. Time is proportional to
    samples · N · z; memory is limited by computing in chunks.

    Parameters
    ----------
    z_sz : tensor, shape (s, z)
        Samples.
    mean_nz : tensor, shape (n, z)
        Posterior means.
    std_nz : tensor, shape (n, z)
        Posterior standard deviations, greater than 0.

    Returns
    -------
    log_qi_sz : tensor, shape (s, z)
        ln q(z_i), nats.
    log_prefix_sz : tensor, shape (s, z)
        ln q(z_{1:i}), nats; the last column is ln q(z).

    Examples
    --------
    >>> zero, one = torch.zeros(1, 2), torch.ones(1, 2)
    >>> log_aggregate(zero, zero, one)[1]  # −½ ln 2π per dimension
    tensor([[-0.9189, -1.8379]])
    """
    n, z = mean_nz.shape
    single, prefix = torch.empty_like(z_sz), torch.empty_like(z_sz)
    rows = max(1, CHUNK_ENTRIES // (n * z))
    for start in range(0, len(z_sz), rows):
        part = slice(start, start + rows)
        log_q_snz = distributions.log_normal(z_sz[part, None, :].expand(-1, n, -1), mean_nz, std_nz)
        single[part] = log_q_snz.logsumexp(dim=1)
        prefix[part] = log_q_snz.cumsum(dim=2).logsumexp(dim=1)
    return single - math.log(n), prefix - math.log(n)


def pairwise_log_density(
    z_bz: Float[Tensor, "b z"], mean_bz: Float[Tensor, "b z"], std_bz: Float[Tensor, "b z"]
) -> Float[Tensor, "b b z"]:
    """Compute ln q(z_i of sample a | image c) for every pair (a, c) of a batch.

    Parameters
    ----------
    z_bz : tensor, shape (b, z)
        Samples.
    mean_bz : tensor, shape (b, z)
        Posterior means.
    std_bz : tensor, shape (b, z)
        Posterior standard deviations, greater than 0.

    Returns
    -------
    tensor, shape (b, b, z)
        Log-densities, nats; first axis a, second axis c.

    Examples
    --------
    >>> zero = torch.zeros(3, 2)
    >>> pairwise_log_density(zero, zero, torch.ones(3, 2)).shape
    torch.Size([3, 3, 2])
    """
    expanded_bbz = z_bz[:, None, :].expand(-1, len(z_bz), -1)
    return distributions.log_normal(expanded_bbz, mean_bz[None], std_bz[None])


def log_weights(
    batch_size: int, dataset_size: int, *, stratified: bool, like: Tensor
) -> Float[Tensor, "b b"]:
    """Compute the log-weights of q(z_a) ≈ Σ_c w_ac q(z_a|x_c), where z_a is sampled for image a.

    Weighted sampling: w = 1/(N·b). The expectation of the estimate is
    (q(z_a|x_a) + (b − 1) q(z_a)) / (N·b), too small by a factor of about N. Stratified sampling:
    1/N for image a and (N − 1)/(N·(b − 1)) for the others. The expectation is q(z_a) for images
    sampled without replacement, and q(z_a) + (q(z_a|x_a) − q(z_a))/N with replacement. In both
    cases the expectation of the logarithm is less than the logarithm of the expectation (Jensen).

    Parameters
    ----------
    batch_size : int
        Number b of images in the batch, at least 2.
    dataset_size : int
        Number N of images in the dataset, at least b.
    stratified : bool
        Whether to use stratified sampling.
    like : tensor
        Tensor whose dtype and device the result has.

    Returns
    -------
    tensor, shape (b, b)
        ln w_ac.

    Raises
    ------
    ArgumentError
        If the batch size is less than 2 or more than the size of the dataset.

    References
    ----------
    Chen et al., "Isolating Sources of Disentanglement in Variational Autoencoders", 2018, App. C.

    Examples
    --------
    >>> log_weights(2, 10, stratified=True, like=torch.zeros(1)).exp()
    tensor([[0.1000, 0.9000],
            [0.9000, 0.1000]])
    """
    if batch_size < 2 or batch_size > dataset_size:
        raise ArgumentError(
            "batch_size",
            batch_size,
            f"must be between 2 and {dataset_size}, the number of images in the dataset",
            "set `batch_size` to a value in this range",
        )
    if not stratified:
        return like.new_full((batch_size, batch_size), -math.log(batch_size * dataset_size))
    # Here N ≥ b ≥ 2, so the weight of the others is greater than 0.
    others = math.log(dataset_size - 1) - math.log(dataset_size) - math.log(batch_size - 1)
    weights = like.new_full((batch_size, batch_size), others)
    return weights.fill_diagonal_(-math.log(dataset_size))


def log_minibatch(
    log_q_bbz: Float[Tensor, "b b z"], dataset_size: int, *, stratified: bool
) -> tuple[Float[Tensor, "b z"], Float[Tensor, " b"]]:
    """Estimate ln q(z_i) and ln q(z) at the samples of a batch, from this batch alone.

    `log_weights` gives the bias.

    Parameters
    ----------
    log_q_bbz : tensor, shape (b, b, z)
        Log-densities of all pairs, from `pairwise_log_density`.
    dataset_size : int
        Number N of images in the dataset.
    stratified : bool
        Whether to use stratified instead of weighted sampling.

    Returns
    -------
    log_qi_bz : tensor, shape (b, z)
        Estimates of ln q(z_i), nats.
    log_q_b : tensor, shape (b,)
        Estimates of ln q(z), nats.

    Raises
    ------
    ArgumentError
        If the batch size is less than 2 or more than the size of the dataset.
    """
    weights = log_weights(len(log_q_bbz), dataset_size, stratified=stratified, like=log_q_bbz)
    single = (log_q_bbz + weights[:, :, None]).logsumexp(dim=1)
    return single, (log_q_bbz.sum(dim=2) + weights).logsumexp(dim=1)
