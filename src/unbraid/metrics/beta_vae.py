"""The β-VAE metric (Higgins et al. 2017, §3).

A vote: choose a factor, draw L pairs of images that share its value, average the absolute
differences of their codes over the pairs. A linear classifier tells the factor from that vector;
the score is its accuracy on other votes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.metrics import arrays, logistic
from unbraid.metrics.protocols import by_name, find

TITLE = "the β-VAE metric"


@dataclass(frozen=True)
class Protocol:
    """A named way to compute the score: pairs a vote, votes to fit on, votes to score on.

    The classifier is a logistic regression with penalty ‖W‖²/(2·C) on votes of unit
    variance.
    """

    name: str
    pairs: int
    votes: int
    held_out: int
    C: float


PROTOCOLS = by_name(
    Protocol("locatello2019", pairs=64, votes=10_000, held_out=5_000, C=1.0),
)


def score(
    codes: Codes,
    factors: Shaped[np.ndarray, "..."],
    rng: np.random.Generator,
    protocol: Protocol | str = "locatello2019",
) -> dict[str, float]:
    """Accuracy on held-out votes, 0 to 1, and its binomial standard error.

    A discrete code's difference is whether the pair's categories differ. UserError for bad arrays.
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    spread = codes.mean.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 1e-9 * np.abs(codes.mean).max(axis=0), spread, np.inf)
    number = protocol.votes + protocol.held_out
    chosen = rng.integers(0, factors.shape[1], size=number)
    votes = np.zeros((number, codes.mean.shape[1] + (codes.category is not None)))
    for f in range(factors.shape[1]):
        place = np.flatnonzero(chosen == f)
        pairs = arrays.draw_pairs(factors[:, f], len(place), protocol.pairs, rng)
        votes[place] = _differences(codes, scale, *pairs)
    fitted, held = votes[: protocol.votes], votes[protocol.votes :]
    centre, width = fitted.mean(axis=0), fitted.std(axis=0)
    width = np.where(width > 0, width, 1)
    labels = chosen[: protocol.votes]
    weights = logistic.fit((fitted - centre) / width, labels, factors.shape[1], C=protocol.C)
    right = logistic.predicted(weights, (held - centre) / width) == chosen[protocol.votes :]
    accuracy = float(right.mean())
    error = float(np.sqrt(accuracy * (1 - accuracy) / len(right)))
    return {"score": accuracy, "standard_error": error}


def _differences(
    codes: Codes,
    scale: Float[np.ndarray, " z"],
    first: Int[np.ndarray, "votes pairs"],
    second: Int[np.ndarray, "votes pairs"],
) -> Float[np.ndarray, "votes d"]:
    """Each vote's mean |z₁ − z₂| in stds of the dimension, then the share of unequal categories."""
    votes = []
    for start in range(0, len(first), 256):
        a, b = first[start : start + 256], second[start : start + 256]
        difference = np.abs(codes.mean[a] - codes.mean[b]).mean(axis=1, dtype=np.float64) / scale
        if codes.category is not None:
            unequal = np.mean(codes.category[a] != codes.category[b], axis=1)
            difference = np.concatenate([difference, unequal[:, None]], axis=1)
        votes.append(difference)
    return np.concatenate(votes) if votes else np.zeros((0, len(scale)))
