"""The aggregate posterior q(z) = (1/N) Σ_n q(z|x_n), whole or as a minibatch sees it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unbraid import distributions
from unbraid.errors import UserError

# Numbers of one chunk of the (samples, posteriors, z) table: 32 MB in float64.
CHUNK = 4_000_000


def log_aggregate(
    z_sz: Float[Tensor, "s z"], mean_nz: Float[Tensor, "n z"], std_nz: Float[Tensor, "n z"]
) -> tuple[Float[Tensor, "s z"], Float[Tensor, "s z"]]:
    """Ln q(z_i) and ln q(z_{1:i}) of samples for every i, by all N posteriors, nats.

    ln (1/N) Σ_n Π_{j≤i} q(z_j|x_n), exact up to rounding; the last column of the second is ln q(z).
    Memory stays at a chunk; the time is that of samples · N · z exponentials.
    """
    n, z = mean_nz.shape
    single, prefix = torch.empty_like(z_sz), torch.empty_like(z_sz)
    rows = max(1, CHUNK // (n * z))
    for start in range(0, len(z_sz), rows):
        part = slice(start, start + rows)
        log_q_snz = distributions.log_normal(z_sz[part, None, :].expand(-1, n, -1), mean_nz, std_nz)
        single[part] = log_q_snz.logsumexp(dim=1)
        prefix[part] = log_q_snz.cumsum(dim=2).logsumexp(dim=1)
    return single - math.log(n), prefix - math.log(n)


def pairwise_log_density(
    z_bz: Float[Tensor, "b z"], mean_bz: Float[Tensor, "b z"], std_bz: Float[Tensor, "b z"]
) -> Float[Tensor, "b b z"]:
    """Ln q(z_i of sample a | x of image c) for every pair (a, c) of a batch, nats."""
    wide = z_bz[:, None, :].expand(-1, len(z_bz), -1)
    return distributions.log_normal(wide, mean_bz[None], std_bz[None])


def log_weights(
    batch: int, dataset_size: int, *, stratified: bool, like: Tensor
) -> Float[Tensor, "b b"]:
    """Ln w of image c in the estimate q(z_a) ≈ Σ_c w_ac q(z_a|x_c), where z_a comes from image a.

    Chen et al. 2018, App. C. Weighted: w = 1/(N·b) for all. Its expectation is
    (q(z_a|x_a) + (b − 1) q(z_a)) / (N·b): too low, by about a factor N. Stratified: 1/N for image
    a itself and (N − 1)/(N·(b − 1)) for each other; its expectation is q(z_a) for images drawn
    without replacement, and q(z_a) + (q(z_a|x_a) − q(z_a))/N with it. The logarithm of either is
    lower in expectation than the logarithm of its expectation (Jensen). UserError for a batch of
    1 or larger than the dataset.
    """
    if batch < 2 or batch > dataset_size:
        raise UserError(
            f"batch={batch}: an estimate over the batch needs 2 images, and no more than the"
            f" dataset's {dataset_size}; give --batch-size 2 to {dataset_size}"
        )
    if not stratified:
        return like.new_full((batch, batch), -math.log(batch * dataset_size))
    # N = 1 cannot occur here, so the others' weight is above 0.
    others = math.log(dataset_size - 1) - math.log(dataset_size) - math.log(batch - 1)
    weights = like.new_full((batch, batch), others)
    return weights.fill_diagonal_(-math.log(dataset_size))


def log_minibatch(
    log_q_bbz: Float[Tensor, "b b z"], dataset_size: int, *, stratified: bool
) -> tuple[Float[Tensor, "b z"], Float[Tensor, " b"]]:
    """Estimates of ln q(z_i) and ln q(z) at a batch's samples from that batch alone, nats.

    See `log_weights` for their bias and `pairwise_log_density` for the argument.
    """
    weights = log_weights(len(log_q_bbz), dataset_size, stratified=stratified, like=log_q_bbz)
    single = (log_q_bbz + weights[:, :, None]).logsumexp(dim=1)
    return single, (log_q_bbz.sum(dim=2) + weights).logsumexp(dim=1)
