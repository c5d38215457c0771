"""How independent the dimensions of a code are among themselves: no factors are needed.

Gaussian total correlation ½(Σ ln Σ_ii − ln det Σ), nats, and Gaussian Wasserstein distance
tr(Σ + D − 2(D^½ Σ D^½)^½), D the diagonal of Σ: from the Gaussian with the code's covariance to the
one of independent dimensions. And the mutual information of every pair of dimensions, in bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.errors import UserError
from unbraid.metrics import arrays, mutual_information, uncertainty
from unbraid.metrics.protocols import by_name, find

TITLE = "unsupervised scores"
GROUPS = 10
# The least eigenvalue of a correlation matrix that float64 tells from 0.
FLOOR = 1e-12


@dataclass(frozen=True)
class Protocol:
    """A named way to compute them: how many items, and bins of equal width of a dimension."""

    name: str
    items: int
    bins: int


PROTOCOLS = by_name(Protocol("locatello2019", items=10_000, bins=20))
NAMES = ("gaussian_tc", "gaussian_wasserstein", "mutual_information")


def score(
    codes: Codes,
    factors: Shaped[np.ndarray, "..."] | None,
    rng: np.random.Generator,
    protocol: Protocol | str = "locatello2019",
) -> dict[str, float]:
    """Gaussian TC [nats], Gaussian Wasserstein distance, mean information of a pair [nats].

    0 for independent dimensions, each with its standard error (jackknife over items). The
    Wasserstein distance is of dimensions of unit variance, over their number: the same for a
    rescaled code. The first two leave the discrete code and constant dimensions out; a copy of a
    dimension has infinite TC, of which ½ ln 10¹² = 13.8 nats are given. `factors` are not used.
    UserError for one item.
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    if len(codes.mean) < 2:
        raise UserError("codes of 1 item: nothing varies in one; give codes of 2 items or more")
    index = arrays.draw(len(codes.mean), protocol.items, rng)
    codes = codes.subset(index)
    x, _ = arrays.features(codes)
    x = x[:, : codes.mean.shape[1]]
    labels = mutual_information.code_classes(codes, protocol.bins)
    number = min(GROUPS, len(index))
    group = uncertainty.groups(len(index), number, rng)
    information, _ = mutual_information.tables(
        mutual_information.contingency(labels, labels, group)
    )
    rows = [
        (*gaussian(x if g < 0 else x[group != g]), _mean_of_pairs(information[g + 1]))
        for g in range(-1, number)
    ]
    error = uncertainty.jackknife(np.array(rows[1:]))
    outcome: dict[str, float] = {}
    for name, value, e in zip(NAMES, rows[0], error, strict=True):
        outcome |= {name: float(value), f"{name}_standard_error": float(e)}
    return outcome | {"items": len(index)}


def matrix(codes: Codes, bins: int = 20) -> Float[np.ndarray, "d d"]:
    """I(d; d′) of every pair of dimensions, the discrete code last, nats; H(d) on the diagonal."""
    labels = mutual_information.code_classes(codes, bins)
    one: Int[np.ndarray, " n"] = np.zeros(len(labels), np.int64)
    rows = mutual_information.contingency(labels, labels, one)
    return np.array([[mutual_information.information(joint[0]) for joint in row] for row in rows])


def gaussian(x: Float[np.ndarray, "n z"]) -> tuple[float, float]:
    """Gaussian TC in nats, and the Wasserstein distance of standardised dimensions over z."""
    spread = x.std(axis=0)
    x = x[:, spread > 1e-12]
    if x.shape[1] < 2 or len(x) < 2:
        return 0.0, 0.0
    correlation = np.corrcoef(x, rowvar=False)
    eigenvalues = np.maximum(np.linalg.eigvalsh(correlation), FLOOR)
    total = max(0.0, -0.5 * float(np.log(eigenvalues).sum()))
    # Of unit variances D = 1, and the trace of (D^½ Σ D^½)^½ is the sum of the roots.
    distance = 2 * x.shape[1] - 2 * float(np.sqrt(eigenvalues).sum())
    return total, max(0.0, distance / x.shape[1])


def _mean_of_pairs(information: Float[np.ndarray, "d d"]) -> float:
    d = len(information)
    if d < 2:
        return 0.0
    return float((information.sum() - np.trace(information)) / (d * (d - 1)))
