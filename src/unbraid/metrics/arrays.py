"""Validation of the arguments of metrics, sampling of items, and inputs of predictors.

Index letters: `n` items, `z` continuous dimensions, `d` dimensions including the discrete code,
`c` columns of a predictor's input, `f` factors.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

from unbraid.codes import Codes
from unbraid.errors import ArgumentError

# Relative standard deviation below which a column counts as constant: rounding noise.
CONSTANT_TOLERANCE = 1e-9
MIN_ITEMS_TO_SPLIT = 10


def validate_factors(
    codes: Codes, factors: Shaped[np.ndarray, "..."], *, allow_continuous: bool = False
) -> Num[np.ndarray, "n f"]:
    """Check factors against codes and return the factors that vary.

    Parameters
    ----------
    codes : Codes
        Codes of n items.
    factors : array of shape (n, f)
        Factor values.
    allow_continuous : bool, default False
        Whether factors may have values that are not whole numbers.

    Returns
    -------
    array of shape (n, f')
        The columns that are not constant; as integers, unless continuous factors are allowed.

    Raises
    ------
    ArgumentError
        If an array is empty, if lengths differ, if there are more factors than items, if a value is
        not a number, is NaN or infinite, or if every factor is constant.

    Examples
    --------
    >>> import numpy as np
    >>> codes = Codes(np.zeros((3, 2)))
    >>> validate_factors(codes, np.array([[0, 5], [1, 5], [2, 5]])).tolist()
    [[0], [1], [2]]
    """
    if factors.ndim != 2 or not factors.size:
        raise ArgumentError(
            "factors",
            f"array of shape {factors.shape}",
            "must have one row per item and one column per factor",
            "give an array of shape (items, factors)",
        )
    if not codes.mean.shape[1] and codes.category is None:
        raise ArgumentError(
            "codes",
            "no dimensions",
            "must have a continuous dimension or a discrete code",
            "give codes of at least one dimension",
        )
    n, f = factors.shape
    if n != len(codes.mean):
        raise ArgumentError(
            "factors",
            f"{n} rows",
            f"must have one row for each of the {len(codes.mean)} items of `codes`",
            "give arrays of the same length",
        )
    if f > n:
        raise ArgumentError(
            "factors",
            f"array of shape {factors.shape}",
            "must have at least as many items as factors",
            "give one row per item",
        )
    factors = _as_numbers(factors, allow_continuous)
    varying = factors.min(axis=0) != factors.max(axis=0)
    if not varying.any():
        raise ArgumentError(
            "factors",
            f"array of shape {factors.shape}",
            "every factor is constant",
            "give items that differ in at least one factor",
        )
    return factors if varying.all() else factors[:, varying]


def _as_numbers(
    factors: Shaped[np.ndarray, "n f"], allow_continuous: bool
) -> Num[np.ndarray, "n f"]:
    if factors.dtype.kind not in "iubf":
        raise ArgumentError(
            "factors",
            f"array of type {factors.dtype}",
            "values must be numbers",
            "number the values, for example by np.unique(column, return_inverse=True)[1]",
        )
    if factors.dtype.kind == "f":
        if not np.isfinite(factors).all():
            raise ArgumentError(
                "factors",
                f"{int((~np.isfinite(factors)).sum())} NaN or infinite values",
                "every value must be finite",
                "leave out items whose factors are not finite",
            )
        if allow_continuous:
            return factors
        if (factors != np.round(factors)).any():
            raise ArgumentError(
                "factors",
                f"array of type {factors.dtype}",
                "this protocol needs whole numbers",
                "give classes, or use sap kumar2018 or dci eastwood2018",
            )
    return factors.astype(np.int64)


def classes(factors: Num[np.ndarray, "n f"]) -> Int[np.ndarray, "n f"]:
    """Replace the values of every factor by numbers from 0, in ascending order.

    Parameters
    ----------
    factors : array of shape (n, f)
        Factor values.

    Returns
    -------
    integer array of shape (n, f)
        Class of every item, 0 … number of values − 1.
    """
    columns = [np.unique(column, return_inverse=True)[1] for column in factors.T]
    return np.stack(columns, axis=1).astype(np.int64)


def draw(n: int, size: int, rng: np.random.Generator) -> Int[np.ndarray, " items"]:
    """Draw items without replacement.

    Parameters
    ----------
    n : int
        Number of items to draw from.
    size : int
        Number of items to draw; 0 for all of them.
    rng : numpy.random.Generator
        Random generator.

    Returns
    -------
    integer array of shape (items,)
        Positions of the items; 0 … n − 1 in order if all are drawn.
    """
    return rng.permutation(n)[:size] if 0 < size < n else np.arange(n)


def split(
    n: int, train: int, test: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Draw disjoint training and test items; scale both sizes down if n is too small.

    Parameters
    ----------
    n : int
        Number of items to draw from, at least 10.
    train, test : int
        Number of training and of test items.
    rng : numpy.random.Generator
        Random generator.

    Returns
    -------
    tuple of two integer arrays
        Positions of the training items and of the test items.

    Raises
    ------
    ArgumentError
        If n is less than 10.
    """
    if n < MIN_ITEMS_TO_SPLIT:
        raise ArgumentError(
            "factors",
            f"{n} rows",
            f"must have at least {MIN_ITEMS_TO_SPLIT} rows, to hold out test items",
            "give more items",
        )
    share = min(1.0, n / (train + test))
    order = rng.permutation(n)
    cut = int(train * share)
    return order[:cut], order[cut : cut + max(1, int(test * share))]


def draw_with_one_value(
    values: Int[np.ndarray, " n"], votes: int, images: int, rng: np.random.Generator
) -> Int[np.ndarray, "votes images"]:
    """Draw a value of a factor for every vote, then items with that value; both uniformly.

    Parameters
    ----------
    values : integer array of shape (n,)
        Values of the factor.
    votes : int
        Number of votes.
    images : int
        Number of items per vote.
    rng : numpy.random.Generator
        Random generator.

    Returns
    -------
    integer array of shape (votes, images)
        Positions of the items, drawn with replacement.
    """
    order, starts, counts = _grouped_by_value(values)
    value = rng.integers(0, len(starts), size=votes)
    offset = (rng.random((votes, images)) * counts[value, None]).astype(np.int64)
    return order[starts[value, None] + offset]


def draw_pairs(
    values: Int[np.ndarray, " n"], votes: int, pairs: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "votes pairs"], Int[np.ndarray, "votes pairs"]]:
    """Draw items uniformly, and for each another item with the same value of a factor.

    Parameters
    ----------
    values : integer array of shape (n,)
        Values of the factor.
    votes : int
        Number of votes.
    pairs : int
        Number of pairs per vote.
    rng : numpy.random.Generator
        Random generator.

    Returns
    -------
    tuple of two integer arrays of shape (votes, pairs)
        Positions of the first and of the second items, drawn with replacement.
    """
    order, starts, counts = _grouped_by_value(values)
    position = rng.integers(0, len(order), size=(votes, pairs))
    value = np.searchsorted(starts, position, "right") - 1
    offset = (rng.random(position.shape) * counts[value]).astype(np.int64)
    return order[position], order[starts[value] + offset]


def _grouped_by_value(
    values: Int[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " v"], Int[np.ndarray, " v"]]:
    """Return the items sorted by value, the start of every value, and its number of items."""
    order = np.argsort(values, kind="stable")
    _, starts, counts = np.unique(values[order], return_index=True, return_counts=True)
    return order, starts, counts


def features(codes: Codes) -> tuple[Float[np.ndarray, "n c"], Int[np.ndarray, " c"]]:
    """Return the input of a predictor: standardised means, then the category one-hot.

    Standardising makes every score invariant to the scale of a dimension.

    Parameters
    ----------
    codes : Codes
        Codes of n items.

    Returns
    -------
    columns : array of shape (n, c)
        Means of zero mean and unit variance (0 for a constant dimension), then one column per
        category.
    owner : integer array of shape (c,)
        Dimension of every column; the discrete code is the last dimension.

    Examples
    --------
    >>> import numpy as np
    >>> columns, owner = features(
    ...     Codes(np.array([[1.0], [3.0]]), category=np.array([1, 0]), categories=2)
    ... )
    >>> columns.tolist()
    [[-1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    >>> owner.tolist()
    [0, 1, 1]
    """
    std = codes.mean.std(axis=0, dtype=np.float64)
    constant = std <= CONSTANT_TOLERANCE * np.abs(codes.mean).max(axis=0)
    scaled = (codes.mean - codes.mean.mean(axis=0, dtype=np.float64)) / np.where(constant, 1, std)
    scaled[:, constant] = 0
    num_continuous: int = codes.mean.shape[1]
    owner: Int[np.ndarray, " c"] = np.arange(num_continuous)
    if codes.category is None:
        return scaled, owner
    one_hot = np.eye(codes.categories)[codes.category]
    owner = np.append(owner, np.full(codes.categories, len(owner)))
    return np.concatenate([scaled, one_hot], axis=1), owner
