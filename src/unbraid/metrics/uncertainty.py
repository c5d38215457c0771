"""Standard errors of scores that are estimated from a sample of items or from repeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from unbraid.errors import ArgumentError
from unbraid.metrics._scipy import student_quantile

Index = Int[np.ndarray, " items"]
# Groups of items from which standard errors are estimated: their relative error is about 1/√18.
NUM_GROUPS = 10


def jackknife(left_out: Float[np.ndarray, "g *s"]) -> Float[np.ndarray, "*s"]:
    """Compute standard errors by the delete-a-group jackknife: √((g − 1)/g · Σ_g (θ_g − θ̄)²).

    The relative error of the estimate is about 1/√(2(g − 1)).

    Parameters
    ----------
    left_out : array of shape (g, *s)
        Scores without each of g groups of items.

    Returns
    -------
    array of shape (*s,)
        Standard error of every score.

    References
    ----------
    Shao and Wu, "A General Theory for Jackknife Variance Estimation", 1989.

    Examples
    --------
    >>> import numpy as np
    >>> float(jackknife(np.array([1.0, 2.0])))
    0.5
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
    """Compute standard errors by batch means: std over disjoint parts of the items / √groups.

    As accurate as the jackknife if the variance of a score falls as 1/n, for the cost of about one
    more fit.

    Parameters
    ----------
    score : callable
        Returns s scores from positions of training items and of test items.
    train, test : int
        Number of training and of test items; `test` may be 0.
    groups : int
        Number of parts.
    rng : numpy.random.Generator
        Random generator; assigns items to parts.

    Returns
    -------
    array of shape (s,)
        Standard error of every score; 0 if a part would be empty.
    """
    if train < groups or 0 < test < groups:
        return np.zeros(len(score(np.arange(train), np.arange(test))))
    train_parts = np.array_split(rng.permutation(train), groups)
    test_parts = np.array_split(rng.permutation(test), groups)
    values = np.array([score(a, b) for a, b in zip(train_parts, test_parts, strict=True)])
    return values.std(axis=0, ddof=1) / np.sqrt(groups)


def groups(n: int, number: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Assign items to groups of equal size at random.

    Parameters
    ----------
    n : int
        Number of items.
    number : int
        Number of groups.
    rng : numpy.random.Generator
        Random generator.

    Returns
    -------
    integer array of shape (n,)
        Group of every item, 0 … `number` − 1.
    """
    return rng.permutation(np.arange(n) % number)


def interval(scores: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Compute the mean of repeats and Student's confidence interval of that mean.

    Parameters
    ----------
    scores : sequence of float
        Scores of independent repeats, at least one.
    level : float, default 0.95
        Confidence level, between 0 and 1.

    Returns
    -------
    mean, low, high : float
        The mean and the ends of its interval; all three are the score if there is one repeat.

    Raises
    ------
    ArgumentError
        If `level` is not between 0 and 1.

    Examples
    --------
    >>> [round(value, 2) for value in interval([0.4, 0.5, 0.6])]
    [0.5, 0.25, 0.75]
    """
    if not 0 < level < 1:
        raise ArgumentError(
            "level", level, "must be between 0 and 1", "set `level` to 0.95, for example"
        )
    mean = float(np.mean(scores))
    if len(scores) < 2:
        return mean, mean, mean
    width = student_quantile((1 + level) / 2, len(scores) - 1) * np.std(scores, ddof=1)
    half = float(width / np.sqrt(len(scores)))
    return mean, mean - half, mean + half
