"""Decomposition of the VAE's regulariser into three terms, for an encoder and a dataset."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unbraid import distributions
from unbraid.errors import ArgumentError
from unbraid.information.aggregate import log_aggregate, log_minibatch, pairwise_log_density


class Terms(NamedTuple):
    """KL(q(z|x) ‖ p(z)) over a dataset, and the three terms that sum to it.

    I(x;z) + TC(z) + Σ_i KL(q(z_i) ‖ p(z_i)) = E_x KL(q(z|x) ‖ p(z)).

    Attributes
    ----------
    information : float
        I(x;z), nats.
    total_correlation : float
        TC(z), nats.
    marginal_kl_z : tensor, shape (z,)
        KL(q(z_i) ‖ p(z_i)) of each dimension, nats.
    regulariser : float
        E_x KL(q(z|x) ‖ p(z)), nats.
    """

    information: float
    total_correlation: float
    marginal_kl_z: Float[Tensor, " z"]
    regulariser: float

    @property
    def residual(self) -> float:
        """Sum of the terms minus the regulariser, nats; nonzero only because z is sampled."""
        total = self.information + self.total_correlation + self.marginal_kl_z.sum().item()
        return total - self.regulariser


class Decomposition(NamedTuple):
    """Terms of the regulariser, information of dimensions and prefixes, and standard errors.

    Attributes
    ----------
    terms : Terms
        Terms of the regulariser.
    information_z : tensor, shape (z,)
        I(x; z_i), nats.
    prefix_information_z : tensor, shape (z,)
        I(x; z_{1:i}), nats; the last entry is I(x;z).
    errors : tensor, shape (4,)
        Standard errors of information, total correlation, sum of the marginal KLs, and residual,
        nats, from the variation over images.
    """

    terms: Terms
    information_z: Float[Tensor, " z"]
    prefix_information_z: Float[Tensor, " z"]
    errors: Float[Tensor, "4"]


def kl_per_dimension(
    mean_nz: Float[Tensor, "n z"], std_nz: Float[Tensor, "n z"]
) -> Float[Tensor, " z"]:
    """Compute E_x KL(q(z_i|x) ‖ N(0, 1)) of every dimension.

    Parameters
    ----------
    mean_nz : tensor, shape (n, z)
        Posterior means.
    std_nz : tensor, shape (n, z)
        Posterior standard deviations, greater than 0.

    Returns
    -------
    tensor, shape (z,)
        Mean KL over images, nats.

    Examples
    --------
    >>> kl_per_dimension(torch.tensor([[0.0, 2.0]]), torch.ones(1, 2)).tolist()
    [0.0, 2.0]
    """
    return distributions.kl_from_standard_normal(mean_nz, std_nz).mean(dim=0)


def decompose(
    mean_nz: Float[Tensor, "n z"],
    std_nz: Float[Tensor, "n z"],
    noise_snz: Float[Tensor, "s n z"],
    weight_s: Float[Tensor, " s"] | None = None,
) -> Decomposition:
    """Compute the terms for N posteriors, with the exact aggregate posterior.

    Expectations over q(z|x_n) are weighted means over z = mean + std · noise: standard normal noise
    gives Monte Carlo estimates; the nodes and weights of a quadrature give exact values. x is
    uniform over the N images, so I(x;z) is at most ln N.

    Parameters
    ----------
    mean_nz : tensor, shape (n, z)
        Posterior means.
    std_nz : tensor, shape (n, z)
        Posterior standard deviations, greater than 0.
    noise_snz : tensor, shape (s, n, z)
        Noise of s samples per image.
    weight_s : tensor, shape (s,), or None, default None
        Weights of the samples, which sum to 1; None for equal weights.

    Returns
    -------
    Decomposition
        Terms and standard errors, nats.

    Raises
    ------
    ArgumentError
        If a standard deviation is 0 or less.

    References
    ----------
    Hoffman and Johnson, "ELBO surgery", 2016; Chen et al., "Isolating Sources of Disentanglement in
    Variational Autoencoders", 2018, Eq. 2.

    Examples
    --------
    >>> mean, std = torch.tensor([[-50.0], [50.0]]), torch.ones(2, 1)
    >>> result = decompose(mean, std, torch.zeros(1, 2, 1))
    >>> round(result.terms.information, 4)  # ln 2: the posteriors do not overlap
    0.6931
    """
    _require_positive(std_nz)
    s = len(noise_snz)
    weight_s = noise_snz.new_full((s,), 1 / s) if weight_s is None else weight_s
    z_snz = mean_nz + std_nz * noise_snz
    log_q_given_x_snz = distributions.log_normal(z_snz, mean_nz, std_nz)
    single, prefix = log_aggregate(z_snz.flatten(0, 1), mean_nz, std_nz)
    log_qi_snz, log_prefix_snz = single.view_as(z_snz), prefix.view_as(z_snz)
    log_p_snz = distributions.log_normal(z_snz, 0.0, 1.0)

    def mean_s(values: Tensor) -> Tensor:
        return torch.tensordot(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            weight_s, values, dims=1
        )

    posterior_n, q_n = mean_s(log_q_given_x_snz).sum(dim=1), mean_s(log_prefix_snz[..., -1])
    qi_nz, p_nz = mean_s(log_qi_snz), mean_s(log_p_snz)
    closed_nz = distributions.kl_from_standard_normal(mean_nz, std_nz)
    information_n, correlation_n = posterior_n - q_n, q_n - qi_nz.sum(dim=1)
    marginal_nz = qi_nz - p_nz
    residual_n = posterior_n - p_nz.sum(dim=1) - closed_nz.sum(dim=1)
    per_image = torch.stack([information_n, correlation_n, marginal_nz.sum(dim=1), residual_n])
    prefix_nz = mean_s(log_q_given_x_snz.cumsum(dim=2) - log_prefix_snz)
    return Decomposition(
        Terms(
            information_n.mean().item(),
            correlation_n.mean().item(),
            marginal_nz.mean(dim=0),
            closed_nz.sum(dim=1).mean().item(),
        ),
        (mean_s(log_q_given_x_snz) - qi_nz).mean(dim=0),
        prefix_nz.mean(dim=0),
        _standard_errors(per_image),
    )


def decompose_by_batches(
    mean_nz: Float[Tensor, "n z"],
    std_nz: Float[Tensor, "n z"],
    noise_nz: Float[Tensor, "n z"],
    *,
    batch_size: int,
    dataset_size: int,
    stratified: bool,
) -> Terms:
    """Compute the terms as a training step estimates them: q(z) from the images of a batch.

    Batches are consecutive images; an incomplete last batch is skipped. The sum of the terms does
    not depend on the estimate of q(z), but each term does. Weighted sampling underestimates q(z) by
    the factor in `log_weights`, so I(x;z) is too large by up to ln N + ln b nats, and each marginal
    KL is too small by as much.

    Parameters
    ----------
    mean_nz : tensor, shape (n, z)
        Posterior means.
    std_nz : tensor, shape (n, z)
        Posterior standard deviations, greater than 0.
    noise_nz : tensor, shape (n, z)
        Standard normal noise of one sample per image.
    batch_size : int
        Number b of images per batch.
    dataset_size : int
        Number N of images in the dataset.
    stratified : bool
        Whether to use stratified instead of weighted sampling.

    Returns
    -------
    Terms
        Mean of the terms over batches, nats.

    Raises
    ------
    ArgumentError
        If a standard deviation is 0 or less, if there are fewer images than a batch, or if the
        batch size is less than 2 or more than the size of the dataset.

    References
    ----------
    Chen et al., "Isolating Sources of Disentanglement in Variational Autoencoders", 2018, App. C.
    """
    _require_positive(std_nz)
    rows: list[Tensor] = []
    for start in range(0, len(mean_nz) - batch_size + 1, batch_size):
        part = slice(start, start + batch_size)
        z_bz = mean_nz[part] + std_nz[part] * noise_nz[part]
        log_q_bbz = pairwise_log_density(z_bz, mean_nz[part], std_nz[part])
        log_qi_bz, log_q_b = log_minibatch(log_q_bbz, dataset_size, stratified=stratified)
        log_q_given_x_b = log_q_bbz.diagonal().T.sum(dim=1)
        log_p_bz = distributions.log_normal(z_bz, 0.0, 1.0)
        columns = [log_q_given_x_b - log_q_b, log_q_b - log_qi_bz.sum(dim=1)]
        rows.append(torch.cat([torch.stack(columns, dim=1), log_qi_bz - log_p_bz], dim=1))
    if not rows:
        raise ArgumentError(
            "batch_size",
            batch_size,
            f"must be at most {len(mean_nz)}, the number of images",
            "set `batch_size` to a smaller value, or pass more images",
        )
    means = torch.cat(rows).mean(dim=0)
    kl = kl_per_dimension(mean_nz, std_nz).sum().item()
    return Terms(means[0].item(), means[1].item(), means[2:], kl)


def _standard_errors(per_image: Float[Tensor, "4 n"]) -> Float[Tensor, "4"]:
    """Return standard errors of the means over images; NaN for a single image."""
    n = per_image.shape[1]
    if n == 1:
        return torch.full_like(per_image[:, 0], torch.nan)
    return per_image.std(dim=1) / n**0.5


def _require_positive(std_nz: Tensor) -> None:
    if not bool((std_nz > 0).all()):
        raise ArgumentError(
            "std_nz",
            f"{std_nz.min().item():g}",
            "every standard deviation must be greater than 0",
            "pass positive standard deviations",
        )
