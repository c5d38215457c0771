"""Interventional robustness score (IRS).

How far does a dimension move at worst if one factor is fixed and all others change? With quantile Q
over items (the maximum, or a protocol's quantile), and a mean over the values v of factor f:

    IRS_df = 1 − mean_v Q(|z_d − E[z_d | f = v]|) / max |z_d − E z_d|
    score  = Σ_d w_d max_f IRS_df / Σ_d w_d,  w_d = max |z_d − E z_d|

References
----------
Suter et al., "Robustly Disentangled Causal Mechanisms", 2019, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.errors import ArgumentError
from unbraid.metrics import arrays, uncertainty
from unbraid.metrics.protocols import by_name, find

TITLE = "IRS"
MIN_FACTORS = 1
# Greatest deviation, in standard deviations, below which a dimension counts as constant.
MIN_DEVIATION = 1e-9


@dataclass(frozen=True)
class Protocol:
    """Parameters of the interventional robustness score.

    Parameters
    ----------
    name : str
        Name of the protocol.
    items : int
        Items drawn; 0 for all.
    quantile : float
        Quantile of the deviations that counts as the worst case, 0 to 1; 1 is the maximum.
    """

    name: str
    items: int
    quantile: float


PROTOCOLS = by_name(
    Protocol("suter2019", items=100_000, quantile=1.0),
    Protocol("locatello2019", items=10_000, quantile=0.99),
)


def score(
    codes: Codes,
    factors: Shaped[np.ndarray, "..."],
    rng: np.random.Generator,
    protocol: Protocol | str = "suter2019",
) -> dict[str, float]:
    """Compute the interventional robustness score.

    Dimensions are standardised first, so that a rescaled code has the same score; the paper's
    weights depend on the scale.

    Parameters
    ----------
    codes : Codes
        Codes of n items; the discrete code is ignored, as categories have no distance.
    factors : array of shape (n, f)
        Factor values, whole numbers; constant factors are ignored.
    rng : numpy.random.Generator
        Random generator; draws the items.
    protocol : Protocol or str, default "suter2019"
        Protocol, or its name in `PROTOCOLS`.

    Returns
    -------
    dict of str to float
        `score`, 0 to 1 (0 if every dimension is constant); `standard_error`, by the jackknife over
        items; `items`, the number of items used.

    Raises
    ------
    ArgumentError
        If the arrays are invalid, there is no continuous dimension, or the protocol is unknown.

    References
    ----------
    Suter et al., 2019, section 4; "locatello2019": Locatello et al., "Challenging Common
    Assumptions in the Unsupervised Learning of Disentangled Representations", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> factors = rng.integers(0, 4, size=(500, 2))
    >>> result = score(Codes(factors.astype(float)), factors, rng)
    >>> round(result["score"], 6), result["items"]
    (1.0, 500)
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    if not codes.mean.shape[1]:
        raise ArgumentError(
            "codes",
            "no continuous dimensions",
            "IRS measures distances, which categories do not have",
            "give codes of at least one continuous dimension",
        )
    index = arrays.draw(len(factors), protocol.items, rng)
    codes = codes.subset(index)
    columns, _ = arrays.features(codes)
    x, labels = columns[:, : codes.mean.shape[1]], arrays.classes(factors[index])
    value = robustness(x, labels, protocol.quantile)
    number = min(uncertainty.NUM_GROUPS, len(index))
    group = uncertainty.groups(len(index), number, rng)
    left_out = [
        robustness(x[group != g], labels[group != g], protocol.quantile) for g in range(number)
    ]
    error = float(uncertainty.jackknife(np.array(left_out)))
    return {"score": value, "standard_error": error, "items": len(index)}


def robustness(
    x: Float[np.ndarray, "n z"], labels: Int[np.ndarray, "n f"], quantile: float
) -> float:
    """Compute Σ_d w_d max_f IRS_df / Σ_d w_d.

    Parameters
    ----------
    x : array of shape (n, z)
        Codes.
    labels : integer array of shape (n, f)
        Factor values.
    quantile : float
        Quantile of the deviations that counts as the worst case, 0 to 1.

    Returns
    -------
    float
        0 to 1; 0 if every dimension is constant.
    """
    greatest = np.abs(x - x.mean(axis=0)).max(axis=0)
    varies = greatest > MIN_DEVIATION
    if not varies.any():
        return 0.0
    x, greatest = x[:, varies], greatest[varies]
    deviations = [_deviation(x, column, quantile) for column in labels.T]
    best = 1 - np.min(deviations, axis=0) / greatest
    return float(np.clip(np.sum(best * greatest) / greatest.sum(), 0, 1))


def _deviation(
    x: Float[np.ndarray, "n z"], labels: Int[np.ndarray, " n"], quantile: float
) -> Float[np.ndarray, " z"]:
    """Return the quantile of |z − E[z | value]| of every value, averaged over the values."""
    order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[order], return_index=True)
    worst: list[np.ndarray] = []
    for part in np.split(x[order], starts[1:]):
        deviation = np.abs(part - part.mean(axis=0))
        worst.append(
            deviation.max(axis=0) if quantile == 1 else np.quantile(deviation, quantile, axis=0)
        )
    return np.mean(worst, axis=0)
