"""InfoModularity, InfoExplicitness and InfoCompactness (InfoMEC).

With NMI_df = I(d; f)/H(f) over active dimensions d and F factors, and H_V(f | z) the cross-entropy
of a linear classifier on the whole code:

    modularity   = mean over d of (max_f NMI_df / Σ_f NMI_df − 1/F)/(1 − 1/F)
    compactness  = the same with factors and dimensions exchanged
    explicitness = mean over f of 1 − H_V(f | z)/H(f)

References
----------
Hsu et al., "Disentanglement via Latent Quantization", 2023, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.entropy import entropy
from unbraid.metrics import arrays, logistic, mutual_information, uncertainty
from unbraid.metrics._scipy import log_softmax
from unbraid.metrics.protocols import by_name, find

TITLE = "InfoMEC"
SCORE_NAMES = ("modularity", "explicitness", "compactness")
MIN_FACTORS = 2


@dataclass(frozen=True)
class Protocol:
    """Parameters of InfoMEC.

    Parameters
    ----------
    name : str
        Name of the protocol.
    items : int
        Items drawn; 0 for all.
    neighbours : int
        Neighbours of the estimator of I(d; f) for continuous dimensions.
    active : float
        Share of the widest dimension's range that the range of an active dimension exceeds. A
        discrete code is active if more than one category occurs.
    C : float, default 1.0
        Inverse penalty of the logistic regression.
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
    """Compute InfoModularity, InfoExplicitness and InfoCompactness.

    The classifier is scored on the items that it was fitted to, as V-information is defined.

    Parameters
    ----------
    codes : Codes
        Codes of n items.
    factors : array of shape (n, f)
        Factor values, whole numbers; constant factors are ignored.
    rng : numpy.random.Generator
        Random generator; draws the items.
    protocol : Protocol or str, default "hsu2023"
        Protocol, or its name in `PROTOCOLS`.

    Returns
    -------
    dict of str to float
        `modularity`, `explicitness`, `compactness`, 0 to 1 (0 if no dimension is active); for each
        `…_standard_error`, by batch means; `dimensions`, the number of active dimensions; `items`,
        the number of items used.

    Raises
    ------
    ArgumentError
        If the arrays are invalid or the protocol is unknown.

    References
    ----------
    Hsu et al., 2023, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> factors = rng.integers(0, 4, size=(1000, 2))
    >>> result = score(Codes(factors.astype(float)), factors, rng)
    >>> result["modularity"] > 0.99, result["compactness"] > 0.99, result["dimensions"]
    (True, True, 2)
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    index = arrays.draw(len(factors), protocol.items, rng)
    codes, labels = codes.subset(index), arrays.classes(factors[index])
    active = _active(codes, protocol)
    columns, owner = arrays.features(codes)
    x = columns[:, active[owner]]

    def values(part: Int[np.ndarray, " items"], _: object) -> tuple[float, float, float]:
        y = labels[part]
        nmi = _normalised_information(codes.subset(part), y, active, protocol.neighbours)
        return concentration(nmi), _explicitness(x[part], y, protocol.C), concentration(nmi.T)

    if not active.any():
        zeros = {f"{name}{end}": 0.0 for name in SCORE_NAMES for end in ("", "_standard_error")}
        return {**zeros, "dimensions": 0, "items": len(index)}
    scores = values(np.arange(len(index)), None)
    errors = uncertainty.batch_means_se(values, len(index), 0, uncertainty.NUM_GROUPS, rng)
    outcome: dict[str, float] = {}
    for name, value, error in zip(SCORE_NAMES, scores, errors, strict=True):
        outcome |= {name: value, f"{name}_standard_error": float(error)}
    return outcome | {"dimensions": int(active.sum()), "items": len(index)}


def concentration(nmi: Float[np.ndarray, "rows columns"]) -> float:
    """Compute the mean over rows of (max/Σ − 1/n)/(1 − 1/n) of a table with n columns.

    Parameters
    ----------
    nmi : array of shape (rows, columns)
        Normalised mutual information, 0 or more.

    Returns
    -------
    float
        0 to 1; a row of zeros counts as 0.

    Examples
    --------
    >>> import numpy as np
    >>> concentration(np.array([[3.0, 1.0], [0.0, 2.0]]))
    0.75
    """
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


def _normalised_information(
    codes: Codes, labels: Int[np.ndarray, "n f"], active: Bool[np.ndarray, " d"], neighbours: int
) -> Float[np.ndarray, "active f"]:
    rows = [
        [mutual_information.knn_mi(column, y, neighbours) for y in labels.T]
        for column in codes.mean.T[active[: codes.mean.shape[1]]]
    ]
    if codes.category is not None and active[-1]:
        one_group = np.zeros(len(labels), np.int64)
        joints = mutual_information.contingency(codes.category[:, None], labels, one_group)[0]
        rows.append([mutual_information.information(joint[0]) for joint in joints])
    entropies = np.array([entropy(np.bincount(y)) for y in labels.T])
    return np.array(rows) / np.where(entropies > 0, entropies, 1)


def _explicitness(x: Float[np.ndarray, "n c"], labels: Int[np.ndarray, "n f"], C: float) -> float:
    shares: list[float] = []
    for y in labels.T:
        weights = logistic.fit(x, y, int(y.max()) + 1, C)
        log_p = log_softmax(x @ weights[:-1] + weights[-1])
        cross_entropy = -float(log_p[np.arange(len(y)), y].mean())
        total = entropy(np.bincount(y))
        shares.append(max(0.0, 1 - cross_entropy / total) if total > 0 else 0.0)
    return float(np.mean(shares))
