"""Unsupervised disentanglement ranking, UDR (Duan et al. 2020, §4): no labels, a population.

Two members that disentangle agree up to order and sign of their dimensions. With similarities R_ab
of dimensions a of one and b of the other, and informative dimensions those with KL above a
threshold: UDR = [Σ_b max_a R²/Σ_a R + Σ_a max_b R²/Σ_b R]/(d_1 + d_2) over informative a and b; a
member's score is the median over the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from unbraid.codes import Codes
from unbraid.errors import UserError
from unbraid.metrics import arrays
from unbraid.metrics.dci import lasso
from unbraid.metrics.protocols import by_name, find

TITLE = "UDR"


@dataclass(frozen=True)
class Protocol:
    """A named way to compute UDR.

    `similarity`: `spearman`, |rank correlation|, or `lasso`, |weight| of one member's dimensions
    predicting the other's with penalty `alpha`. Informative: mean KL above `min_kl` nat.
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
    """The members' mean score, its standard error over members, and each member's score.

    All members encode the same items in the same order; only continuous dimensions count, and
    without a std all that vary do. UserError for fewer than two members or different lengths.
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    if len(population) < 2:
        raise UserError(
            f"{len(population)} members: UDR compares members of a population; give 2 or more"
        )
    lengths = sorted({len(codes.mean) for codes in population})
    if len(lengths) > 1:
        raise UserError(
            f"members of {lengths} items: every member encodes the same items; give codes of one"
            " length"
        )
    index = arrays.draw(lengths[0], protocol.items, rng)
    members = [_informative(codes, protocol) for codes in population]
    columns = [_columns(codes.mean[index], protocol.similarity) for codes in population]
    m = len(population)
    pairs = np.full((m, m), np.nan)
    for i in range(m):
        for j in range(i):
            similar = _similarity(columns[i], columns[j], protocol)
            pairs[i, j] = pairs[j, i] = agreement(similar, members[i], members[j])
    scores = np.nanmedian(pairs, axis=1)
    error = float(scores.std(ddof=1) / np.sqrt(m))
    each = {f"member_{i}": float(value) for i, value in enumerate(scores)}
    return {"score": float(scores.mean()), "standard_error": error, "items": len(index), **each}


def agreement(
    similar: Float[np.ndarray, "a b"],
    first: Bool[np.ndarray, " a"],
    second: Bool[np.ndarray, " b"],
) -> float:
    """UDR of two members, 0 to 1, from similarities; 0 if neither has an informative dimension."""
    kept = similar[first][:, second]
    dimensions = int(first.sum() + second.sum())
    if not kept.size:
        return 0.0
    total = sum(
        np.sum(np.where(sums > 0, most**2 / np.where(sums > 0, sums, 1), 0))
        for most, sums in ((kept.max(axis=k), kept.sum(axis=k)) for k in (0, 1))
    )
    return float(total / dimensions)


def _informative(codes: Codes, protocol: Protocol) -> Bool[np.ndarray, " z"]:
    varies = np.ptp(codes.mean, axis=0) > 0
    kl = codes.kl()
    return varies if kl is None else varies & (kl > protocol.min_kl)


def _columns(mean: Float[np.ndarray, "n z"], similarity: str) -> Float[np.ndarray, "n z"]:
    """Standardised dimensions, or their ranks, standardised; a constant one becomes 0."""
    x = rankdata(mean, axis=0) if similarity == "spearman" else mean.astype(np.float64)
    spread = x.std(axis=0)
    scaled = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return np.where(spread > 0, scaled, 0)


def _similarity(
    first: Float[np.ndarray, "n a"], second: Float[np.ndarray, "n b"], protocol: Protocol
) -> Float[np.ndarray, "a b"]:
    cross = first.T @ second / len(first)
    if protocol.similarity == "spearman":
        return np.abs(cross)
    gram = first.T @ first / len(first)
    return np.abs(np.stack([lasso(gram, column, protocol.alpha) for column in cross.T], axis=1))
