"""Identities in closed form: discrete joint tables and Gaussians.

A discrete joint is a table of probabilities with one axis a variable; a Gaussian is its covariance
with one row a variable. All results in nats.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unbraid.information.terms import Terms


def entropy(joint: Float[Tensor, "*table"]) -> float:
    """H = −Σ p ln p, with 0 ln 0 = 0."""
    return -torch.special.xlogy(joint, joint).sum().item()


def marginal(joint: Float[Tensor, "*table"], axes: Sequence[int]) -> Float[Tensor, "*less"]:
    """The joint of the variables on these axes, in the table's order."""
    others = [a for a in range(joint.ndim) if a not in axes]
    return joint.sum(dim=others) if others else joint


def mutual_information(
    joint: Float[Tensor, "*table"], one: Sequence[int], other: Sequence[int]
) -> float:
    """I(one; other) = H(one) + H(other) − H(one, other), of two groups of axes."""
    parts = entropy(marginal(joint, one)) + entropy(marginal(joint, other))
    return parts - entropy(marginal(joint, [*one, *other]))


def total_correlation(joint: Float[Tensor, "*table"], axes: Sequence[int]) -> float:
    """TC = Σ_i H(z_i) − H(z), that is KL(q(z) ‖ Π_i q(z_i)); 0 for a single axis."""
    return sum(entropy(marginal(joint, [a])) for a in axes) - entropy(marginal(joint, axes))


def table_terms(joint: Float[Tensor, "x *z"], prior: Sequence[Float[Tensor, " _"]]) -> Terms:
    """The VAE regulariser's terms of a joint q(x, z), x on the first axis, exactly.

    `prior` holds p(z_i) of each later axis, positive wherever q(z_i) is. The regulariser is
    E_x KL(q(z|x) ‖ Π_i p(z_i)) = H(x) − H(x, z) − Σ_i E_q ln p(z_i).
    """
    axes = range(1, joint.ndim)
    marginals = [marginal(joint, [a]) for a in axes]
    cross = [-torch.special.xlogy(q, p).sum() for q, p in zip(marginals, prior, strict=True)]
    kl = [c - entropy(q) for c, q in zip(cross, marginals, strict=True)]
    regulariser = entropy(marginal(joint, [0])) - entropy(joint) + sum(c.item() for c in cross)
    return Terms(
        mutual_information(joint, [0], axes),
        total_correlation(joint, axes),
        torch.stack(kl),
        regulariser,
    )


def gaussian_mutual_information(
    covariance: Float[Tensor, "z z"], one: Sequence[int], other: Sequence[int]
) -> float:
    """I(one; other) = ½ (ln det C_one + ln det C_other − ln det C_both)."""
    parts = _log_det(covariance, one) + _log_det(covariance, other)
    return (parts - _log_det(covariance, [*one, *other])) / 2


def gaussian_total_correlation(covariance: Float[Tensor, "z z"]) -> float:
    """TC = ½ (Σ_i ln C_ii − ln det C)."""
    everything = range(len(covariance))
    return (covariance.diagonal().log().sum().item() - _log_det(covariance, everything)) / 2


def gaussian_terms(mean_covariance: Float[Tensor, "z z"], variance_z: Float[Tensor, " z"]) -> Terms:
    """The terms of posteriors N(μ(x), diag variance), μ(x) normal with mean 0.

    q(z) = N(0, C), C = Cov μ + diag variance: I = ½ (ln det C − Σ ln variance_i),
    KL(q(z_i) ‖ N(0, 1)) = ½ (C_ii − 1 − ln C_ii), and the regulariser is
    ½ Σ_i (C_ii − 1 − ln variance_i).
    """
    covariance = mean_covariance + variance_z.diag()
    own = covariance.diagonal()
    log_det = _log_det(covariance, range(len(covariance)))
    return Terms(
        (log_det - variance_z.log().sum().item()) / 2,
        gaussian_total_correlation(covariance),
        (own - 1 - own.log()) / 2,
        ((own - 1 - variance_z.log()).sum() / 2).item(),
    )


def _log_det(covariance: Tensor, rows: Sequence[int]) -> float:
    chosen = list(rows)
    return torch.logdet(covariance[chosen][:, chosen]).item()
