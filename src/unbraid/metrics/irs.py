"""Interventional robustness score, IRS (Suter et al. 2019, §4).

Hold one factor, change all others: how far does a dimension move at the worst? With deviations
|z − E[z | f = v]|, their `quantile` per value of f averaged over its values, and over the greatest
|z − E z|: IRS_df = 1 − that. Each dimension takes its best factor; the mean is weighed by the
greatest deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.errors import UserError
from unbraid.metrics import arrays, uncertainty
from unbraid.metrics.protocols import by_name, find

TITLE = "IRS"
GROUPS = 10


@dataclass(frozen=True)
class Protocol:
    """A named way to compute IRS: how many items, and which quantile is the worst case."""

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
    """The score, 0 to 1, its standard error (jackknife over items), and the number of items.

    Each dimension is taken in its own std: the paper's weights would follow a rescaled dimension. A
    discrete code has no distance and is left out. 0 if no dimension moves. UserError for bad
    arrays, or without a continuous dimension.
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    if not codes.mean.shape[1]:
        raise UserError(
            "codes: IRS measures distances, and a category has none; give a continuous dimension"
        )
    index = arrays.draw(len(factors), protocol.items, rng)
    codes = codes.subset(index)
    x, _ = arrays.features(codes)
    x, labels = x[:, : codes.mean.shape[1]], arrays.classes(factors[index])
    value = robustness(x, labels, protocol.quantile)
    number = min(GROUPS, len(index))
    group = uncertainty.groups(len(index), number, rng)
    left_out = [
        robustness(x[group != g], labels[group != g], protocol.quantile) for g in range(number)
    ]
    error = float(uncertainty.jackknife(np.array(left_out)))
    return {"score": value, "standard_error": error, "items": len(index)}


def robustness(
    x: Float[np.ndarray, "n z"], labels: Int[np.ndarray, "n f"], quantile: float
) -> float:
    """Σ_d w_d max_f IRS_df / Σ w, w_d the greatest |z − E z| of dimension d."""
    greatest = np.abs(x - x.mean(axis=0)).max(axis=0)
    moves = greatest > 1e-9
    if not moves.any():
        return 0.0
    x, greatest = x[:, moves], greatest[moves]
    rows = [_deviation(x, column, quantile) for column in labels.T]
    best = 1 - np.min(rows, axis=0) / greatest
    return float(np.clip(np.sum(best * greatest) / greatest.sum(), 0, 1))


def _deviation(
    x: Float[np.ndarray, "n z"], labels: Int[np.ndarray, " n"], quantile: float
) -> Float[np.ndarray, " z"]:
    """The quantile of |z − E[z | value]| within each value, averaged over the values."""
    order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[order], return_index=True)
    worst = []
    for part in np.split(x[order], starts[1:]):
        away = np.abs(part - part.mean(axis=0))
        worst.append(away.max(axis=0) if quantile == 1 else np.quantile(away, quantile, axis=0))
    return np.mean(worst, axis=0)
