"""The three terms of the VAE's regulariser, of an encoder over a dataset."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unbraid import distributions
from unbraid.errors import UserError
from unbraid.information.aggregate import log_aggregate, log_minibatch, pairwise_log_density


class Terms(NamedTuple):
    """KL(q(z|x) ‖ p(z)) over a dataset and its parts, nats per image.

    I(x;z) + TC(z) + Σ_i KL(q(z_i) ‖ p(z_i)) = E_x KL(q(z|x) ‖ p(z)), the `regulariser`.
    """

    information: float
    total_correlation: float
    marginal_kl_z: Float[Tensor, " z"]
    regulariser: float

    @property
    def residual(self) -> float:
        """The parts' sum less the regulariser: 0 but for the sampling of z."""
        parts = self.information + self.total_correlation + self.marginal_kl_z.sum().item()
        return parts - self.regulariser


class Decomposition(NamedTuple):
    """The terms, the information of single dimensions and prefixes, and standard errors.

    `information_z` is I(x; z_i), `prefix_information_z` is I(x; z_{1:i}); its last entry is
    I(x;z). `errors` are standard errors of information, total correlation, Σ of the marginal KL
    and residual, from the spread over images; they shrink as 1/√(images · samples).
    """

    terms: Terms
    information_z: Float[Tensor, " z"]
    prefix_information_z: Float[Tensor, " z"]
    errors: Float[Tensor, "4"]


def kl_per_dimension(
    mean_nz: Float[Tensor, "n z"], std_nz: Float[Tensor, "n z"]
) -> Float[Tensor, " z"]:
    """E_x KL(q(z_i|x) ‖ N(0, 1)) of every dimension, nats; needs std > 0."""
    return distributions.kl_from_standard_normal(mean_nz, std_nz).mean(dim=0)


def decompose(
    mean_nz: Float[Tensor, "n z"],
    std_nz: Float[Tensor, "n z"],
    noise_snz: Float[Tensor, "s n z"],
    weight_s: Float[Tensor, " s"] | None = None,
) -> Decomposition:
    """The terms over N posteriors, by the whole aggregate posterior.

    Expectations over q(z|x_n) are means over z = mean + std · noise, weighed by `weight_s` (equal
    if not given): standard normal noise for Monte Carlo, nodes and weights of a quadrature for
    exact values. x is uniform over the N images, so I(x;z) is at most ln N. UserError if a std is
    not positive.
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
        return torch.tensordot(weight_s, values, dims=1)

    given_n, q_n = mean_s(log_q_given_x_snz).sum(dim=1), mean_s(log_prefix_snz[..., -1])
    qi_nz, p_nz = mean_s(log_qi_snz), mean_s(log_p_snz)
    closed_nz = distributions.kl_from_standard_normal(mean_nz, std_nz)
    information_n, correlation_n = given_n - q_n, q_n - qi_nz.sum(dim=1)
    marginal_nz = qi_nz - p_nz
    residual_n = given_n - p_nz.sum(dim=1) - closed_nz.sum(dim=1)
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
    batch: int,
    dataset_size: int,
    stratified: bool,
) -> Terms:
    """The same terms as a training step sees them: q(z) from the images of a batch alone.

    Images are taken in the order given; a last batch that is not full is left out. The sum of the
    three does not depend on the estimate, each of them does. With q(z) too low by the factor
    `log_weights` states, the weighted I(x;z) comes out too high by up to ln N + ln b nats, and the
    marginals' part too low by that much for every dimension. UserError as `log_weights`.
    """
    _require_positive(std_nz)
    rows = []
    for start in range(0, len(mean_nz) - batch + 1, batch):
        part = slice(start, start + batch)
        z_bz = mean_nz[part] + std_nz[part] * noise_nz[part]
        log_q_bbz = pairwise_log_density(z_bz, mean_nz[part], std_nz[part])
        log_qi_bz, log_q_b = log_minibatch(log_q_bbz, dataset_size, stratified=stratified)
        given_b = log_q_bbz.diagonal().T.sum(dim=1)
        log_p_bz = distributions.log_normal(z_bz, 0.0, 1.0)
        columns = [given_b - log_q_b, log_q_b - log_qi_bz.sum(dim=1)]
        rows.append(torch.cat([torch.stack(columns, dim=1), log_qi_bz - log_p_bz], dim=1))
    if not rows:
        raise UserError(
            f"batch={batch}: there are {len(mean_nz)} images, not one whole batch; give fewer a"
            " batch, or more images"
        )
    means = torch.cat(rows).mean(dim=0)
    kl = kl_per_dimension(mean_nz, std_nz).sum().item()
    return Terms(means[0].item(), means[1].item(), means[2:], kl)


def _standard_errors(per_image: Float[Tensor, "4 n"]) -> Float[Tensor, "4"]:
    """NaN for one image: it has no spread."""
    n = per_image.shape[1]
    if n == 1:
        return torch.full_like(per_image[:, 0], torch.nan)
    return per_image.std(dim=1) / n**0.5


def _require_positive(std_nz: Tensor) -> None:
    if not bool((std_nz > 0).all()):
        raise UserError(f"std {std_nz.min().item():g}: a density needs a width; give stds above 0")
