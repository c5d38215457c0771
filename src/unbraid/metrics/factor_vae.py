"""The FactorVAE score (Kim & Mnih 2018, §5) in its published forms.

A vote: fix one factor at one value, draw L images, take the code dimension whose variance, divided
by its variance over the dataset, is least. A majority-vote classifier tells the factor from the
dimension; the score is its accuracy.

A discrete code counts as one more dimension (Jeong & Song 2019) with Gini's variance
1 − Σ_k p_k².
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.entropy import entropy
from unbraid.errors import UserError
from unbraid.metrics import arrays
from unbraid.metrics.protocols import by_name, find

TITLE = "the FactorVAE score"


@dataclass(frozen=True)
class Protocol:
    """A named way to compute the score.

    A dimension counts if its mean KL exceeds `min_kl` nats and the std of its mean over the
    dataset is at least `min_std`, and not zero; the discrete code if the entropy of its categories
    exceeds `min_entropy` nats. With `held_out` 0 the classifier is scored on the votes that it was
    fitted on.
    """

    name: str
    images: int
    votes: int
    held_out: int
    stratified: bool
    min_kl: float = 0.0
    min_std: float = 0.0
    min_entropy: float = 0.1


PROTOCOLS = by_name(
    Protocol("jeong2019", images=100, votes=800, held_out=0, stratified=True, min_kl=0.1),
    Protocol("kim2018", images=100, votes=800, held_out=800, stratified=False, min_kl=0.1),
    Protocol(
        "locatello2019", images=64, votes=10_000, held_out=5_000, stratified=False, min_std=0.05
    ),
    Protocol("lecture", images=1_000, votes=800, held_out=0, stratified=True),
)


def score(
    codes: Codes,
    factors: Shaped[np.ndarray, "..."],
    rng: np.random.Generator,
    protocol: Protocol | str = "jeong2019",
) -> dict[str, float]:
    """Accuracy of the vote classifier, its binomial standard error, and the dimensions that count.

    0 if no dimension counts: no vote can be cast. UserError for bad arrays or an unknown protocol.
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    spread, counts = _spread(codes, protocol)
    if not counts.any():
        return {"score": 0.0, "standard_error": 0.0, "dimensions": 0}
    fitted = votes(codes, factors, rng, protocol, protocol.votes)
    scored = (
        votes(codes, factors, rng, protocol, protocol.held_out) if protocol.held_out else fitted
    )
    factor_of_dimension = fitted.argmax(axis=1)
    right = scored[np.arange(len(spread)), factor_of_dimension].sum()
    accuracy = float(right / scored.sum())
    error = float(np.sqrt(accuracy * (1 - accuracy) / scored.sum()))
    return {"score": accuracy, "standard_error": error, "dimensions": int(counts.sum())}


def votes(
    codes: Codes,
    factors: Int[np.ndarray, "n f"],
    rng: np.random.Generator,
    protocol: Protocol | str,
    number: int,
) -> Int[np.ndarray, "d f"]:
    """The count matrix: votes by dimension (continuous ones, then the discrete code) and factor."""
    protocol = find(protocol, PROTOCOLS, TITLE)
    spread, counts = _spread(codes, protocol)
    varying = [f for f in range(factors.shape[1]) if factors[:, f].min() != factors[:, f].max()]
    if not varying:
        raise UserError(
            "factors: none of them varies, so none can be told from another; give items that"
            " differ in a factor"
        )
    chosen = np.resize(varying, number) if protocol.stratified else rng.choice(varying, size=number)
    matrix = np.zeros((len(spread), factors.shape[1]), np.int64)
    for factor in varying:
        index = arrays.draw_with_one_value(
            factors[:, factor], int((chosen == factor).sum()), protocol.images, rng
        )
        variance = _variances(codes, index)
        variance[:, counts] /= spread[counts]
        variance[:, ~counts] = np.inf
        matrix[:, factor] = np.bincount(variance.argmin(axis=1), minlength=len(spread))
    return matrix


def _spread(codes: Codes, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """Each dimension's variance over the dataset, and whether it counts."""
    spread = codes.mean.var(axis=0, dtype=np.float64)
    counts = (spread > 0) & (np.sqrt(spread) >= protocol.min_std)
    kl = codes.kl()
    if protocol.min_kl and kl is not None:
        counts &= kl > protocol.min_kl
    if codes.category is not None:
        share = np.bincount(codes.category, minlength=codes.categories) / len(codes.category)
        spread = np.append(spread, 1 - np.sum(share**2))
        counts = np.append(counts, entropy(share) > protocol.min_entropy)
    return spread, counts


def _variances(
    codes: Codes, index: Int[np.ndarray, "votes images"]
) -> Float[np.ndarray, "votes d"]:
    variance = codes.mean[index].var(axis=1, dtype=np.float64)
    if codes.category is None:
        return variance
    drawn = codes.category[index]
    shares = np.stack([(drawn == k).mean(axis=1) for k in range(codes.categories)], axis=1)
    return np.concatenate([variance, 1 - np.sum(shares**2, axis=1, keepdims=True)], axis=1)
