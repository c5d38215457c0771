"""Unsupervised disentanglement ranking (UDR), which compares the members of a population.

UDR needs no labels: two members that disentangle agree up to the order and sign of their
dimensions. Let R_ab be the similarity of dimension a of one member, which has d_1 informative
dimensions, and dimension b of the other, which has d_2:

    UDR = (Σ_b max_a R_ab² / Σ_a R_ab + Σ_a max_b R_ab² / Σ_b R_ab) / (d_1 + d_2)

The score of a member is the median over the other members.

References
----------
Duan et al., "Unsupervised Model Selection for Variational Disentangled Representation Learning",
2020, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from unbraid.codes import Codes
from unbraid.errors import ArgumentError
from unbraid.metrics import arrays
from unbraid.metrics._scipy import ranks
from unbraid.metrics.dci import lasso
from unbraid.metrics.protocols import by_name, find

TITLE = "UDR"
MIN_FACTORS = 0


@dataclass(frozen=True)
class Protocol:
    """Parameters of UDR.

    Parameters
    ----------
    name : str
        Name of the protocol.
    items : int
        Number of items drawn; 0 for all.
    similarity : str
        "spearman": |rank correlation|. "lasso": |weight| of a linear regression of one member's
        dimension on those of the other.
    min_kl : float
        Mean KL that an informative dimension must exceed, nats.
    alpha : float, default 0.0
        Penalty of the lasso.
    """

    name: str
    items: int
    similarity: str
    min_kl: float
    alpha: float = 0.0


PROTOCOLS = by_name(
    Protocol("duan2020", items=10_000, similarity="spearman", min_kl=0.01),
    Protocol("duan2020-lasso", items=10_000, similarity="lasso", min_kl=0.01, alpha=0.1),
)


def score(
    population: Sequence[Codes],
    rng: np.random.Generator,
    protocol: Protocol | str = "duan2020",
) -> dict[str, float]:
    """Compute UDR of every member of a population.

    Parameters
    ----------
    population : sequence of Codes
        Codes of two or more members, of the same n items in the same order. Discrete codes are
        ignored; without a std, every dimension that varies is informative.
    rng : numpy.random.Generator
        Random generator; draws the items.
    protocol : Protocol or str, default "duan2020"
        Protocol, or its name in `PROTOCOLS`.

    Returns
    -------
    dict of str to float
        `score`: mean over members, 0 to 1; `standard_error`: over members; `items`: number of items
        used; `member_0`, `member_1`, …: score of every member.

    Raises
    ------
    ArgumentError
        If there are fewer than two members, their lengths differ, or the protocol is unknown.

    References
    ----------
    Duan et al., 2020, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> mean = np.array([[a, b] for a in range(4) for b in range(4)], float)
    >>> result = score([Codes(mean), Codes(-mean[:, ::-1])], rng)
    >>> round(result["score"], 6)
    1.0
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    m = len(population)
    if m < 2:
        raise ArgumentError(
            "population",
            f"{m} members",
            "must have at least 2 members, as UDR compares them",
            "give the codes of at least two runs",
        )
    lengths = sorted({len(codes.mean) for codes in population})
    if len(lengths) > 1:
        raise ArgumentError(
            "population",
            f"codes of {lengths} items",
            "all members must encode the same items",
            "give codes of the same length",
        )
    index = arrays.draw(lengths[0], protocol.items, rng)
    informative = [_informative(codes, protocol) for codes in population]
    columns = [_standardised(codes.mean[index], protocol.similarity) for codes in population]
    pairs = np.full((m, m), np.nan)
    for i in range(m):
        for j in range(i):
            similarity = _similarity(columns[i], columns[j], protocol)
            pairs[i, j] = pairs[j, i] = agreement(similarity, informative[i], informative[j])
    scores = np.nanmedian(pairs, axis=1)
    error = float(scores.std(ddof=1) / np.sqrt(m))
    by_member = {f"member_{i}": float(value) for i, value in enumerate(scores)}
    result = {"score": float(scores.mean()), "standard_error": error, "items": len(index)}
    return {**result, **by_member}


def agreement(
    similarity: Float[np.ndarray, "a b"],
    first: Bool[np.ndarray, " a"],
    second: Bool[np.ndarray, " b"],
) -> float:
    """Compute UDR of two members.

    Parameters
    ----------
    similarity : array of shape (a, b)
        Similarity of every pair of dimensions, 0 or more.
    first, second : boolean array of shape (a,), (b,)
        Whether a dimension of the first or second member is informative.

    Returns
    -------
    float
        0 to 1; 0 if a member has no informative dimension.

    Examples
    --------
    >>> import numpy as np
    >>> agreement(np.eye(2), np.array([True, True]), np.array([True, True]))
    1.0
    """
    informative = similarity[first][:, second]
    dimensions = int(first.sum() + second.sum())
    if not informative.size:
        return 0.0
    total = sum(
        np.sum(np.where(sums > 0, most**2 / np.where(sums > 0, sums, 1), 0))
        for most, sums in ((informative.max(axis=k), informative.sum(axis=k)) for k in (0, 1))
    )
    return float(total / dimensions)


def _informative(codes: Codes, protocol: Protocol) -> Bool[np.ndarray, " z"]:
    varies = np.ptp(codes.mean, axis=0) > 0
    kl = codes.kl()
    return varies if kl is None else varies & (kl > protocol.min_kl)


def _standardised(mean: Float[np.ndarray, "n z"], similarity: str) -> Float[np.ndarray, "n z"]:
    """Standardise dimensions, or their ranks; a constant dimension becomes 0."""
    x = ranks(mean) if similarity == "spearman" else mean.astype(np.float64)
    std = x.std(axis=0)
    scaled = (x - x.mean(axis=0)) / np.where(std > 0, std, 1)
    return np.where(std > 0, scaled, 0)


def _similarity(
    first: Float[np.ndarray, "n a"], second: Float[np.ndarray, "n b"], protocol: Protocol
) -> Float[np.ndarray, "a b"]:
    cross = first.T @ second / len(first)
    if protocol.similarity == "spearman":
        return np.abs(cross)
    gram = first.T @ first / len(first)
    return np.abs(np.stack([lasso(gram, column, protocol.alpha) for column in cross.T], axis=1))
