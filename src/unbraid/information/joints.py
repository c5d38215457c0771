"""Identities in closed form, for discrete joint distributions and Gaussians.

A discrete joint distribution is a table of probabilities with one axis per variable. A Gaussian is
its covariance matrix with one row per variable. All results are in nats.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unbraid.entropy import entropy as entropy_of_array
from unbraid.information.terms import Terms


def entropy(joint: Float[Tensor, "*table"]) -> float:
    """Compute the entropy H = −Σ p ln p of a table, with 0 ln 0 = 0.

    Parameters
    ----------
    joint : tensor of any shape
        Probabilities, which sum to 1.

    Returns
    -------
    float
        Entropy, nats.

    Examples
    --------
    >>> round(entropy(torch.tensor([0.5, 0.5])), 4)  # ln 2
    0.6931
    """
    return entropy_of_array(joint.detach().cpu().numpy())


def marginal(joint: Float[Tensor, "*table"], axes: Sequence[int]) -> Float[Tensor, "*less"]:
    """Compute the joint distribution of some of the variables.

    Parameters
    ----------
    joint : tensor of any shape
        Probabilities.
    axes : sequence of int
        Axes of the variables.

    Returns
    -------
    tensor
        Probabilities with only these axes, in the order of the table.

    Examples
    --------
    >>> marginal(torch.tensor([[0.125, 0.25], [0.375, 0.25]]), [0])
    tensor([0.3750, 0.6250])
    """
    others = [a for a in range(joint.ndim) if a not in axes]
    return joint.sum(dim=others) if others else joint


def mutual_information(
    joint: Float[Tensor, "*table"], axes_u: Sequence[int], axes_v: Sequence[int]
) -> float:
    """Compute I(u; v) = H(u) + H(v) − H(u, v) of two groups of variables.

    Parameters
    ----------
    joint : tensor of any shape
        Probabilities.
    axes_u, axes_v : sequence of int
        Axes of the variables of each group.

    Returns
    -------
    float
        Mutual information, nats.

    Examples
    --------
    >>> round(mutual_information(torch.eye(2) / 2, [0], [1]), 4)  # ln 2
    0.6931
    """
    separate = entropy(marginal(joint, axes_u)) + entropy(marginal(joint, axes_v))
    return separate - entropy(marginal(joint, [*axes_u, *axes_v]))


def total_correlation(joint: Float[Tensor, "*table"], axes: Sequence[int]) -> float:
    """Compute TC = Σ_i H(z_i) − H(z) = KL(q(z) ‖ Π_i q(z_i)) of some of the variables.

    Parameters
    ----------
    joint : tensor of any shape
        Probabilities.
    axes : sequence of int
        Axes of the variables.

    Returns
    -------
    float
        Total correlation, nats; 0 for a single variable.

    References
    ----------
    Watanabe, "Information theoretical analysis of multivariate correlation", 1960.

    Examples
    --------
    >>> round(total_correlation(torch.eye(2) / 2, [0, 1]), 4)  # ln 2
    0.6931
    """
    return sum(entropy(marginal(joint, [a])) for a in axes) - entropy(marginal(joint, axes))


def table_terms(joint: Float[Tensor, "x *z"], prior: Sequence[Float[Tensor, " _"]]) -> Terms:
    """Compute the terms of the VAE's regulariser for a discrete joint q(x, z), exactly.

    The regulariser is E_x KL(q(z|x) ‖ Π_i p(z_i)) = H(x) − H(x, z) − Σ_i E_q ln p(z_i).

    Parameters
    ----------
    joint : tensor, shape (x, z_1, z_2, ...)
        Probabilities q(x, z), with x on the first axis.
    prior : sequence of tensor
        p(z_i) for each later axis, greater than 0 wherever q(z_i) is.

    Returns
    -------
    Terms
        Information, total correlation, marginal KLs and regulariser, nats.

    Examples
    --------
    >>> terms = table_terms(torch.eye(2) / 2, [torch.tensor([0.5, 0.5])])
    >>> round(terms.information, 4), round(terms.total_correlation, 4)
    (0.6931, 0.0)
    """
    axes = range(1, joint.ndim)
    marginals = [marginal(joint, [a]) for a in axes]
    cross = [-torch.xlogy(q, p).sum() for q, p in zip(marginals, prior, strict=True)]
    kl = [c - entropy(q) for c, q in zip(cross, marginals, strict=True)]
    regulariser = entropy(marginal(joint, [0])) - entropy(joint) + sum(c.item() for c in cross)
    return Terms(
        mutual_information(joint, [0], axes),
        total_correlation(joint, axes),
        torch.stack(kl),
        regulariser,
    )


def gaussian_mutual_information(
    covariance: Float[Tensor, "z z"], rows_u: Sequence[int], rows_v: Sequence[int]
) -> float:
    """Compute I(u; v) = ½ (ln det C_u + ln det C_v − ln det C_uv) of two groups of variables.

    Parameters
    ----------
    covariance : tensor, shape (z, z)
        Covariance matrix C.
    rows_u, rows_v : sequence of int
        Rows of the variables of each group.

    Returns
    -------
    float
        Mutual information, nats.

    Examples
    --------
    >>> covariance = torch.tensor([[1.0, 0.6], [0.6, 1.0]])
    >>> round(gaussian_mutual_information(covariance, [0], [1]), 4)  # −½ ln(1 − 0.6²)
    0.2231
    """
    separate = _log_det(covariance, rows_u) + _log_det(covariance, rows_v)
    return (separate - _log_det(covariance, [*rows_u, *rows_v])) / 2


def gaussian_total_correlation(covariance: Float[Tensor, "z z"]) -> float:
    """Compute TC = ½ (Σ_i ln C_ii − ln det C).

    Parameters
    ----------
    covariance : tensor, shape (z, z)
        Covariance matrix C.

    Returns
    -------
    float
        Total correlation, nats.

    Examples
    --------
    >>> round(gaussian_total_correlation(torch.tensor([[1.0, 0.6], [0.6, 1.0]])), 4)
    0.2231
    """
    all_rows = range(len(covariance))
    return (covariance.diagonal().log().sum().item() - _log_det(covariance, all_rows)) / 2


def gaussian_terms(mean_covariance: Float[Tensor, "z z"], variance_z: Float[Tensor, " z"]) -> Terms:
    """Compute the terms of the VAE's regulariser for posteriors N(μ(x), diag variance), exactly.

    μ(x) is normal with mean 0, so q(z) = N(0, C) with C = Cov μ + diag variance. Then
    I = ½ (ln det C − Σ ln variance_i), KL(q(z_i) ‖ N(0, 1)) = ½ (C_ii − 1 − ln C_ii), and the
    regulariser is ½ Σ_i (C_ii − 1 − ln variance_i).

    Parameters
    ----------
    mean_covariance : tensor, shape (z, z)
        Covariance of the posterior means, Cov μ.
    variance_z : tensor, shape (z,)
        Posterior variances, the same for every image.

    Returns
    -------
    Terms
        Information, total correlation, marginal KLs and regulariser, nats.

    Examples
    --------
    >>> round(gaussian_terms(torch.tensor([[3.0]]), torch.ones(1)).information, 4)  # ½ ln 4
    0.6931
    """
    covariance = mean_covariance + variance_z.diag()
    total_variance_z = covariance.diagonal()
    log_det = _log_det(covariance, range(len(covariance)))
    return Terms(
        (log_det - variance_z.log().sum().item()) / 2,
        gaussian_total_correlation(covariance),
        (total_variance_z - 1 - total_variance_z.log()) / 2,
        ((total_variance_z - 1 - variance_z.log()).sum() / 2).item(),
    )


def _log_det(covariance: Tensor, rows: Sequence[int]) -> float:
    rows = list(rows)
    return torch.logdet(covariance[rows][:, rows]).item()
