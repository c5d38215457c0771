"""The β-VAE metric.

One vote: choose a factor, draw L pairs of images that share its value, and average the absolute
differences of their codes over the pairs. A linear classifier predicts the factor from this
vector; the score is its accuracy on other votes:

    score = mean over test votes of [predicted factor = chosen factor]

References
----------
Higgins et al., "β-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework",
2017, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.metrics import arrays, logistic
from unbraid.metrics.protocols import by_name, find

TITLE = "the β-VAE metric"
MIN_FACTORS = 2
# Votes computed at once; bounds the memory.
CHUNK = 256


@dataclass(frozen=True)
class Protocol:
    """Parameters of the β-VAE metric.

    Parameters
    ----------
    name : str
        Name of the protocol.
    pairs : int
        Pairs of images per vote (L).
    votes : int
        Votes that the classifier is fitted to.
    held_out : int
        Votes that it is scored on.
    C : float
        Inverse penalty of the logistic regression on votes of unit variance: ‖W‖²/(2·C).
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
    """Compute the β-VAE metric.

    Parameters
    ----------
    codes : Codes
        Codes of n items. The difference of two categories is 1 if they differ, else 0.
    factors : array of shape (n, f)
        Factor values, whole numbers; constant factors are ignored.
    rng : numpy.random.Generator
        Random generator; draws the votes.
    protocol : Protocol or str, default "locatello2019"
        Protocol, or its name in `PROTOCOLS`.

    Returns
    -------
    dict of str to float
        `score`: accuracy on held-out votes, 0 to 1; `standard_error`: binomial.

    Raises
    ------
    ArgumentError
        If the arrays are invalid or the protocol is unknown.

    References
    ----------
    Higgins et al., 2017, section 3; parameters of Locatello et al., "Challenging Common Assumptions
    in the Unsupervised Learning of Disentangled Representations", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> factors = rng.integers(0, 4, size=(1000, 2))
    >>> few = Protocol("few", pairs=64, votes=200, held_out=100, C=1.0)
    >>> score(Codes(factors.astype(float)), factors, rng, few)["score"]
    1.0
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    std = codes.mean.std(axis=0, dtype=np.float64)
    constant = std <= arrays.CONSTANT_TOLERANCE * np.abs(codes.mean).max(axis=0)
    scale = np.where(constant, np.inf, std)
    number = protocol.votes + protocol.held_out
    factor_of_vote = rng.integers(0, factors.shape[1], size=number)
    votes = np.zeros((number, codes.mean.shape[1] + (codes.category is not None)))
    for f in range(factors.shape[1]):
        index = np.flatnonzero(factor_of_vote == f)
        first, second = arrays.draw_pairs(factors[:, f], len(index), protocol.pairs, rng)
        votes[index] = _differences(codes, scale, first, second)
    train, test = votes[: protocol.votes], votes[protocol.votes :]
    train_labels, test_labels = np.split(factor_of_vote, [protocol.votes])
    centre, width = train.mean(axis=0), train.std(axis=0)
    width = np.where(width > 0, width, 1)
    weights = logistic.fit((train - centre) / width, train_labels, factors.shape[1], C=protocol.C)
    correct = logistic.predict(weights, (test - centre) / width) == test_labels
    accuracy = float(correct.mean())
    error = float(np.sqrt(accuracy * (1 - accuracy) / len(correct)))
    return {"score": accuracy, "standard_error": error}


def _differences(
    codes: Codes,
    scale: Float[np.ndarray, " z"],
    first: Int[np.ndarray, "votes pairs"],
    second: Int[np.ndarray, "votes pairs"],
) -> Float[np.ndarray, "votes d"]:
    """Return the mean of |z₁ − z₂|/std over the pairs, then the share of differing categories."""
    chunks: list[np.ndarray] = []
    for start in range(0, len(first), CHUNK):
        a, b = first[start : start + CHUNK], second[start : start + CHUNK]
        difference = np.abs(codes.mean[a] - codes.mean[b]).mean(axis=1, dtype=np.float64) / scale
        if codes.category is not None:
            unequal = np.mean(codes.category[a] != codes.category[b], axis=1)
            difference = np.concatenate([difference, unequal[:, None]], axis=1)
        chunks.append(difference)
    return np.concatenate(chunks) if chunks else np.zeros((0, len(scale)))
