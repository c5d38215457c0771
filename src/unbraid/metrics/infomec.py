"""InfoModularity, InfoExplicitness, InfoCompactness, InfoMEC (Hsu et al. 2023, §4).

From NMI_df = I(d; f)/H(f) over active dimensions: modularity is the mean over dimensions of
(max_f NMI/Σ_f NMI − 1/F)/(1 − 1/F); compactness the same over factors. Explicitness is the share of
H(f) that a linear classifier on the whole code removes: 1 − H_V(f | z)/H(f), averaged over factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import log_softmax

from unbraid.codes import Codes
from unbraid.entropy import entropy
from unbraid.metrics import arrays, logistic, mutual_information, uncertainty
from unbraid.metrics.protocols import by_name, find

TITLE = "InfoMEC"
NAMES = ("modularity", "explicitness", "compactness")
GROUPS = 10


@dataclass(frozen=True)
class Protocol:
    """A named way to compute InfoMEC.

    A dimension is active if its range exceeds `active` of the widest one's; a discrete code if more
    than one category is used. Information of continuous dimensions is from `neighbours`.
    """

    name: str
    items: int
    neighbours: int
    active: float
    C: float = 1.0


PROTOCOLS = by_name(Protocol("hsu2023", items=10_000, neighbours=3, active=1 / 8))


def score(
    codes: Codes,
    factors: Shaped[np.ndarray, "..."],
    rng: np.random.Generator,
    protocol: Protocol | str = "hsu2023",
) -> dict[str, float]:
    """The three scores, 0 to 1, with standard errors (batch means), and the active dimensions.

    The classifier is scored on the items that it was fitted to, as V-information is defined. 0 if
    no dimension is active. UserError for bad arrays.
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    index = arrays.draw(len(factors), protocol.items, rng)
    codes, labels = codes.subset(index), arrays.classes(factors[index])
    active = _active(codes, protocol)
    x, owner = arrays.features(codes)
    seen = x[:, active[owner]]

    def values(part: Int[np.ndarray, " items"], _: object) -> tuple[float, float, float]:
        y = labels[part]
        nmi = _normalised(codes.subset(part), y, active, protocol.neighbours)
        explicit = _explicitness(seen[part], y, protocol.C)
        return concentration(nmi), explicit, concentration(nmi.T)

    if not active.any():
        none = {f"{name}{end}": 0.0 for name in NAMES for end in ("", "_standard_error")}
        return {**none, "dimensions": 0, "items": len(index)}
    found = values(np.arange(len(index)), None)
    error = uncertainty.batch_means_se(values, len(index), 0, GROUPS, rng)
    outcome: dict[str, float] = {}
    for name, value, e in zip(NAMES, found, error, strict=True):
        outcome |= {name: value, f"{name}_standard_error": float(e)}
    return outcome | {"dimensions": int(active.sum()), "items": len(index)}


def concentration(nmi: Float[np.ndarray, "rows columns"]) -> float:
    """Mean over rows of (max/Σ − 1/n)/(1 − 1/n), n columns; an empty row counts 0."""
    n = nmi.shape[1]
    total = nmi.sum(axis=1)
    share = np.where(total > 0, nmi.max(axis=1) / np.where(total > 0, total, 1), 0)
    if n == 1:
        return float(np.mean(share))
    return float(np.mean(np.where(total > 0, (share - 1 / n) / (1 - 1 / n), 0)))


def _active(codes: Codes, protocol: Protocol) -> Bool[np.ndarray, " d"]:
    width = np.ptp(codes.mean, axis=0)
    active = width > protocol.active * width.max(initial=0)
    if codes.category is None:
        return active
    return np.append(active, len(np.unique(codes.category)) > 1)


def _normalised(
    codes: Codes, labels: Int[np.ndarray, "n f"], active: Bool[np.ndarray, " d"], neighbours: int
) -> Float[np.ndarray, "active f"]:
    rows = [
        [mutual_information.knn_mi(column, y, neighbours) for y in labels.T]
        for column in codes.mean.T[active[: codes.mean.shape[1]]]
    ]
    if codes.category is not None and active[-1]:
        one = np.zeros(len(labels), np.int64)
        counted = mutual_information.contingency(codes.category[:, None], labels, one)[0]
        rows.append([mutual_information.information(joint[0]) for joint in counted])
    entropies = np.array([entropy(np.bincount(y)) for y in labels.T])
    return np.array(rows) / np.where(entropies > 0, entropies, 1)


def _explicitness(x: Float[np.ndarray, "n c"], labels: Int[np.ndarray, "n f"], C: float) -> float:
    shares = []
    for y in labels.T:
        weights = logistic.fit(x, y, int(y.max()) + 1, C)
        log_p = log_softmax(x @ weights[:-1] + weights[-1], axis=1)
        unknown = -float(log_p[np.arange(len(y)), y].mean())
        total = entropy(np.bincount(y))
        shares.append(max(0.0, 1 - unknown / total) if total > 0 else 0.0)
    return float(np.mean(shares))
