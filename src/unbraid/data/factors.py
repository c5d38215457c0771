"""Ground-truth factors of a dataset, as a full grid or as a table."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from unbraid.data.base_factors import BaseFactors
from unbraid.errors import ArgumentError


@dataclass(frozen=True)
class FactorSpace(BaseFactors):
    """Full grid of factor values, with one item for every combination.

    The last factor varies fastest: index = ((f₀·size₁ + f₁)·size₂ + f₂)…, as in the published
    archives.

    Parameters
    ----------
    names : tuple of str
        Name of each factor.
    sizes : tuple of int
        Number of values of each factor.
    label : str, optional
        Name of the factor that a discrete code is scored against. Default: none.

    Raises
    ------
    ArgumentError
        If names and sizes differ in number, if a size is below 1, or if `label` is not a factor.

    Examples
    --------
    >>> space = FactorSpace(names=("shape", "scale"), sizes=(3, 6), label="shape")
    >>> len(space)
    18
    >>> space.factors_of(np.array([0, 7])).tolist()
    [[0, 0], [1, 1]]
    >>> space.index_of(np.array([[2, 5]])).tolist()
    [17]
    """

    sizes: tuple[int, ...]
    label: str | None = None

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.sizes):
            raise ArgumentError(
                "sizes",
                self.sizes,
                f"must have one size for each of the {len(self.names)} names",
                "pass at least one factor, and as many `names` as `sizes`",
            )
        if min(self.sizes) < 1:
            raise ArgumentError(
                "sizes", self.sizes, "must all be at least 1", "set `sizes` to 1 or more"
            )
        if self.label is not None:
            self.position(self.label)

    def __len__(self) -> int:
        """Return the number of items, the product of the sizes."""
        return int(np.prod(self.sizes, dtype=np.int64))

    def _factors_of(self, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n f"]:
        return np.stack(np.unravel_index(index, self.sizes), axis=1).astype(np.int64)

    def _index_of(self, factors: Int[np.ndarray, "n f"]) -> Int[np.ndarray, " n"]:
        self._validate(factors)
        return np.asarray(np.ravel_multi_index(tuple(factors.T), self.sizes), np.int64)

    def _sample(self, n: int, rng: np.random.Generator) -> Int[np.ndarray, "n f"]:
        return rng.integers(0, self.sizes, size=(n, len(self.sizes)), dtype=np.int64)

    def _sample_fixed(
        self, n: int, column: int, value: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "n f"]:
        factors = self._sample(n, rng)
        factors[:, column] = value
        self._validate(factors)
        return factors

    def _validate(self, factors: Int[np.ndarray, "n f"]) -> None:
        if factors.shape[1] != len(self.sizes):
            raise ArgumentError(
                "factors",
                f"array of shape {factors.shape}",
                f"must have {len(self.sizes)} columns",
                f"pass one value each for {', '.join(self.names)}",
            )
        for name, size, column in zip(self.names, self.sizes, factors.T, strict=True):
            if column.size and not 0 <= int(column.min()) <= int(column.max()) < size:
                raise ArgumentError(
                    name,
                    f"{int(column.min())} to {int(column.max())}",
                    f"must be between 0 and {size - 1}",
                    f"the factor has {size} values; pass one of these",
                )


@dataclass(frozen=True, eq=False)
class FactorTable(BaseFactors):
    """Factor values of every item, in any combinations; possibly without any factor.

    Values are only compared within a column.

    Parameters
    ----------
    names : tuple of str
        Name of each factor, all different.
    values : int array of shape (n, f)
        Factor values of every item.
    label : str, optional
        Name of the factor that a discrete code is scored against. Default: none.

    Raises
    ------
    ArgumentError
        If the names are not different, one per column, or if `label` is not a factor.

    Examples
    --------
    >>> table = FactorTable(("digit",), np.array([[7], [2], [7]]), label="digit")
    >>> len(table), table.sizes
    (3, (2,))
    >>> table.index_of(np.array([[7]])).tolist()
    [0]
    """

    values: Int[np.ndarray, "n f"]
    label: str | None = None

    def __post_init__(self) -> None:
        if len(self.names) != self.values.shape[1] or len(set(self.names)) < len(self.names):
            raise ArgumentError(
                "names",
                ", ".join(self.names) or "none",
                f"must be {self.values.shape[1]} different names, one for each column of factors",
                "pass one name per column",
            )
        if self.label is not None:
            self.position(self.label)

    @classmethod
    def none(cls, items: int) -> FactorTable:
        """Return the table of unlabelled items.

        Parameters
        ----------
        items : int
            Number of items.

        Returns
        -------
        FactorTable
            A table without factors.
        """
        return cls((), np.zeros((items, 0), np.int64))

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.values)

    @functools.cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of different values of each factor."""
        return tuple(len(np.unique(column)) for column in self.values.T)

    def _factors_of(self, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n f"]:
        return self.values[index].astype(np.int64)

    def _index_of(self, factors: Int[np.ndarray, "n f"]) -> Int[np.ndarray, " n"]:
        index = np.empty(len(factors), np.int64)
        for row, combination in enumerate(factors):
            matches = np.flatnonzero((self.values == combination).all(axis=1))
            if not len(matches):
                pairs = zip(self.names, combination, strict=True)
                raise ArgumentError(
                    "factors",
                    ", ".join(f"{name} {value}" for name, value in pairs),
                    "no item has this combination",
                    "pass a combination from the table",
                )
            index[row] = matches[0]
        return index

    def _sample(self, n: int, rng: np.random.Generator) -> Int[np.ndarray, "n f"]:
        return self.factors_of(rng.integers(0, len(self), size=n))

    def _sample_fixed(
        self, n: int, column: int, value: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "n f"]:
        matches = np.flatnonzero(self.values[:, column] == value)
        if not len(matches):
            raise ArgumentError(
                self.names[column], value, "no item has this value", "pass a value from the table"
            )
        return self.factors_of(rng.choice(matches, size=n))


Factors = FactorSpace | FactorTable
