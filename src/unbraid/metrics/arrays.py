"""What every metric asks of its arrays, and how it draws items from them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

from unbraid.codes import Codes
from unbraid.errors import UserError


def validate_factors(
    codes: Codes, factors: Shaped[np.ndarray, "..."], *, allow_continuous: bool = False
) -> Num[np.ndarray, "n f"]:
    """The factors that vary, one row an item, whole numbers unless `allow_continuous`.

    UserError if there is no row or no column, if lengths differ, if there are more factors than
    items, if a value is no number, NaN or infinite, or if no factor varies.
    """
    if factors.ndim != 2 or not factors.size:
        raise UserError(
            f"factors of shape {factors.shape}: each item is a row, each factor a column, at least"
            " one of each; give an array of shape (items, factors)"
        )
    if not codes.mean.shape[1] and codes.category is None:
        raise UserError("codes of no dimension: there is nothing to score; give one or more")
    n, f = factors.shape
    if n != len(codes.mean):
        raise UserError(
            f"{len(codes.mean)} codes for {n} items: each item has one of both; give arrays of one"
            " length"
        )
    if f > n:
        raise UserError(
            f"{f} factors of {n} items: a metric needs more items than factors; give one row an"
            " item"
        )
    factors = _numbers(factors, allow_continuous)
    varying = factors.min(axis=0) != factors.max(axis=0)
    if not varying.any():
        raise UserError(
            "factors: none of them varies, so none can be told from another; give items that"
            " differ in a factor"
        )
    return factors if varying.all() else factors[:, varying]


def _numbers(factors: Shaped[np.ndarray, "n f"], allow_continuous: bool) -> Num[np.ndarray, "n f"]:
    if factors.dtype.kind not in "iubf":
        raise UserError(
            f"factors of type {factors.dtype}: a factor is a number; give each value's position,"
            " as np.unique(column, return_inverse=True)[1] does"
        )
    if factors.dtype.kind == "f":
        if not np.isfinite(factors).all():
            raise UserError(
                f"factors: {int((~np.isfinite(factors)).sum())} values are NaN or infinite; give"
                " finite factors"
            )
        if allow_continuous:
            return factors
        if (factors != np.round(factors)).any():
            raise UserError(
                "factors: some are not whole, and this protocol counts values; give classes, or a"
                " protocol for continuous factors (sap kumar2018, dci eastwood2018)"
            )
    return factors.astype(np.int64)


def classes(factors: Num[np.ndarray, "n f"]) -> Int[np.ndarray, "n f"]:
    """Each factor's values as 0 … classes − 1, in their order."""
    columns = [np.unique(column, return_inverse=True)[1] for column in factors.T]
    return np.stack(columns, axis=1).astype(np.int64)


def draw(n: int, wanted: int, rng: np.random.Generator) -> Int[np.ndarray, " items"]:
    """`wanted` of n items, each at most once; all n if 0 are wanted or there are no more."""
    return rng.permutation(n)[:wanted] if 0 < wanted < n else np.arange(n)


def split(
    n: int, train: int, test: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Items to fit on and others to score on; if n is too small, in the same proportion.

    UserError below 10 items: too few to hold any out.
    """
    if n < 10:
        raise UserError(f"{n} items: too few to fit on some and score on others; give 10 or more")
    share = min(1.0, n / (train + test))
    order = rng.permutation(n)
    cut = int(train * share)
    return order[:cut], order[cut : cut + max(1, int(test * share))]


def draw_with_one_value(
    values: Int[np.ndarray, " n"], number: int, images: int, rng: np.random.Generator
) -> Int[np.ndarray, "votes images"]:
    """For each vote a value of the factor, uniform, and items that have it, uniform."""
    order, starts, sizes = _runs(values)
    value = rng.integers(0, len(starts), size=number)
    offset = (rng.random((number, images)) * sizes[value, None]).astype(np.int64)
    return order[starts[value, None] + offset]


def draw_pairs(
    values: Int[np.ndarray, " n"], number: int, images: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "votes images"], Int[np.ndarray, "votes images"]]:
    """Items, uniform, and for each another draw of the items that have the same value."""
    order, starts, sizes = _runs(values)
    place = rng.integers(0, len(order), size=(number, images))
    value = np.searchsorted(starts, place, "right") - 1
    offset = (rng.random(place.shape) * sizes[value]).astype(np.int64)
    return order[place], order[starts[value] + offset]


def _runs(
    values: Int[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " v"], Int[np.ndarray, " v"]]:
    """Items in order of their value; where each value starts, and how many have it."""
    order = np.argsort(values, kind="stable")
    _, starts, sizes = np.unique(values[order], return_index=True, return_counts=True)
    return order, starts, sizes


def features(codes: Codes) -> tuple[Float[np.ndarray, "n c"], Int[np.ndarray, " c"]]:
    """What a predictor takes: means of unit variance, then the category one-hot; c columns.

    With each column the dimension that it belongs to. Unit variance makes every score the same for
    a rescaled code; a constant column becomes 0.
    """
    spread = codes.mean.std(axis=0, dtype=np.float64)
    # A spread of rounding noise is none.
    idle = spread <= 1e-9 * np.abs(codes.mean).max(axis=0)
    scaled = (codes.mean - codes.mean.mean(axis=0, dtype=np.float64)) / np.where(idle, 1, spread)
    scaled[:, idle] = 0
    owner = np.arange(codes.mean.shape[1])
    if codes.category is None:
        return scaled, owner
    one_hot = np.eye(codes.categories)[codes.category]
    owner = np.append(owner, np.full(codes.categories, len(owner)))
    return np.concatenate([scaled, one_hot], axis=1), owner
