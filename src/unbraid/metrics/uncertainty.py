"""Standard errors of scores that come from a sample of items or of repeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

Index = Int[np.ndarray, " items"]


def jackknife(left_out: Float[np.ndarray, "g *s"]) -> Float[np.ndarray, "*s"]:
    """Standard error of a score from its values without each of g groups of items.

    √((g − 1)/g · Σ_g (θ_g − θ̄)²), the delete-a-group jackknife (Shao & Wu 1989). Its own relative
    error is about 1/√(2(g − 1)).
    """
    g = len(left_out)
    return np.asarray(np.sqrt((g - 1) * np.var(left_out, axis=0)))


def batch_means_se(
    score: Callable[[Index, Index], Sequence[float]],
    train: int,
    test: int,
    groups: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, " s"]:
    """Standard error of scores fitted on `train` items and taken on `test` others.

    std(parts)/√groups over disjoint parts of both (batch means): as good as the jackknife where the
    variance of a score falls as 1/n, for one more fit's cost in all. 0 if a part would be empty.
    """
    if train < groups or 0 < test < groups:
        return np.zeros(len(score(np.arange(train), np.arange(test))))
    fitted = np.array_split(rng.permutation(train), groups)
    held = np.array_split(rng.permutation(test), groups)
    values = np.array([score(a, b) for a, b in zip(fitted, held, strict=True)])
    return values.std(axis=0, ddof=1) / np.sqrt(groups)


def groups(n: int, number: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Each item's group, 0 … number − 1, of equal sizes."""
    return rng.permutation(np.arange(n) % number)


def interval(scores: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean of repeats and the ends of Student's interval of the mean; one repeat has none."""
    mean = float(np.mean(scores))
    if len(scores) < 2:
        return mean, mean, mean
    width = stats.t.ppf((1 + level) / 2, len(scores) - 1) * np.std(scores, ddof=1)
    half = float(width / np.sqrt(len(scores)))
    return mean, mean - half, mean + half
