"""Unsupervised scores: how independent the dimensions of a code are; no labels are needed.

With Σ the covariance of the continuous dimensions and D its diagonal:

    Gaussian total correlation     = ½ (Σ_i ln Σ_ii − ln det Σ), in nats
    Gaussian Wasserstein distance  = tr(Σ + D − 2 (D^½ Σ D^½)^½)
    mean pairwise information      = mean over i ≠ j of I(z_i; z_j), from bins, in nats

The first two compare the Gaussian of the code's covariance with that of independent dimensions.

References
----------
Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled
Representations",.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.errors import ArgumentError
from unbraid.metrics import arrays, mutual_information, uncertainty
from unbraid.metrics.protocols import by_name, find

TITLE = "unsupervised scores"
SCORE_NAMES = ("gaussian_tc", "gaussian_wasserstein", "mutual_information")
MIN_FACTORS = 0
# Least eigenvalue of a correlation matrix that float64 distinguishes from 0.
MIN_EIGENVALUE = 1e-12
# Standard deviation below which a dimension counts as constant.
MIN_STD = 1e-12


@dataclass(frozen=True)
class Protocol:
    """Parameters of the unsupervised scores.

    Parameters
    ----------
    name : str
        Name of the protocol.
    items : int
        Items drawn; 0 for all.
    bins : int
        Bins of equal width of a continuous dimension.
    """

    name: str
    items: int
    bins: int


PROTOCOLS = by_name(Protocol("locatello2019", items=10_000, bins=20))


def score(
    codes: Codes,
    factors: Shaped[np.ndarray, "..."] | None,
    rng: np.random.Generator,
    protocol: Protocol | str = "locatello2019",
) -> dict[str, float]:
    """Compute Gaussian total correlation, Gaussian Wasserstein distance and pairwise information.

    All are 0 for independent dimensions. The two Gaussian scores ignore the discrete code and
    constant dimensions. The Wasserstein distance is computed on standardised dimensions and divided
    by their number, so that a rescaled code has the same score. A copied dimension has infinite
    total correlation, which is reported as ½ ln 10¹² = 13.8 nats.

    Parameters
    ----------
    codes : Codes
        Codes of n items.
    factors : array or None
        Ignored.
    rng : numpy.random.Generator
        Random generator; draws the items.
    protocol : Protocol or str, default "locatello2019"
        Protocol, or its name in `PROTOCOLS`.

    Returns
    -------
    dict of str to float
        `gaussian_tc`, nats; `gaussian_wasserstein`, no unit; `mutual_information`, mean over pairs,
        nats; for each `…_standard_error`, by the jackknife over items; `items`, the number of items
        used.

    Raises
    ------
    ArgumentError
        If there is only one item or the protocol is unknown.

    References
    ----------
    Locatello et al., 2019.

    Examples
    --------
    >>> import numpy as np
    >>> mean = np.array([[a, b] for a in range(4) for b in range(4)] * 50, float)
    >>> result = score(Codes(mean), None, np.random.default_rng(0))
    >>> all(result[name] < 1e-9 for name in SCORE_NAMES)
    True
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    if len(codes.mean) < 2:
        raise ArgumentError("codes", "1 row", "must have at least 2 rows", "give more items")
    index = arrays.draw(len(codes.mean), protocol.items, rng)
    codes = codes.subset(index)
    columns, _ = arrays.features(codes)
    x = columns[:, : codes.mean.shape[1]]
    labels = mutual_information.code_classes(codes, protocol.bins)
    number = min(uncertainty.NUM_GROUPS, len(index))
    group = uncertainty.groups(len(index), number, rng)
    joints = mutual_information.contingency(labels, labels, group)
    information, _ = mutual_information.tables(joints)
    rows = [
        (*gaussian(x if g < 0 else x[group != g]), _mean_of_pairs(information[g + 1]))
        for g in range(-1, number)
    ]
    errors = uncertainty.jackknife(np.array(rows[1:]))
    outcome: dict[str, float] = {}
    for name, value, error in zip(SCORE_NAMES, rows[0], errors, strict=True):
        outcome |= {name: float(value), f"{name}_standard_error": float(error)}
    return outcome | {"items": len(index)}


def matrix(codes: Codes, bins: int = 20) -> Float[np.ndarray, "d d"]:
    """Compute the mutual information of every pair of dimensions.

    Parameters
    ----------
    codes : Codes
        Codes of n items.
    bins : int, default 20
        Bins of equal width of a continuous dimension.

    Returns
    -------
    array of shape (d, d)
        I(d; d') in nats, with the entropy of every dimension on the diagonal; the discrete code is
        the last dimension.
    """
    labels = mutual_information.code_classes(codes, bins)
    one_group: Int[np.ndarray, " n"] = np.zeros(len(labels), np.int64)
    rows = mutual_information.contingency(labels, labels, one_group)
    return np.array([[mutual_information.information(joint[0]) for joint in row] for row in rows])


def gaussian(x: Float[np.ndarray, "n z"]) -> tuple[float, float]:
    """Compute Gaussian total correlation and Gaussian Wasserstein distance.

    Parameters
    ----------
    x : array of shape (n, z)
        Codes.

    Returns
    -------
    total_correlation : float
        In nats, 0 or more.
    distance : float
        Of standardised dimensions, divided by their number; 0 or more.

    Examples
    --------
    >>> import numpy as np
    >>> gaussian(np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]))
    (0.0, 0.0)
    """
    std = x.std(axis=0)
    x = x[:, std > MIN_STD]
    if x.shape[1] < 2 or len(x) < 2:
        return 0.0, 0.0
    correlation = np.corrcoef(x, rowvar=False)
    eigenvalues = np.maximum(np.linalg.eigvalsh(correlation), MIN_EIGENVALUE)
    total_correlation = max(0.0, -0.5 * float(np.log(eigenvalues).sum()))
    # With unit variances D = 1, and the trace of (D^½ Σ D^½)^½ is the sum of √eigenvalues.
    distance = 2 * x.shape[1] - 2 * float(np.sqrt(eigenvalues).sum())
    return total_correlation, max(0.0, distance / x.shape[1])


def _mean_of_pairs(information: Float[np.ndarray, "d d"]) -> float:
    d = len(information)
    if d < 2:
        return 0.0
    return float((information.sum() - np.trace(information)) / (d * (d - 1)))
