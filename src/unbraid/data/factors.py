"""Ground-truth factors of a dataset: from the index of an item to its factor values and back."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from unbraid.errors import ArgumentError


@dataclass(frozen=True)
class FactorSpace:
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

    names: tuple[str, ...]
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
            position(self.names, self.label)

    def __len__(self) -> int:
        """Return the number of items, the product of the sizes."""
        return int(np.prod(self.sizes, dtype=np.int64))

    def position(self, factor: int | str) -> int:
        """Return the position of a factor among the columns.

        Parameters
        ----------
        factor : int or str
            Name or position of the factor.

        Returns
        -------
        int
            Position, counted from 0.

        Raises
        ------
        ArgumentError
            If there is no such factor.
        """
        return position(self.names, factor)

    def index_of(self, factors: Int[np.ndarray, "n f"]) -> Int[np.ndarray, " n"]:
        """Return the indices of the items with these factor values.

        Parameters
        ----------
        factors : int array of shape (n, f)
            Factor values.

        Returns
        -------
        int64 array of shape (n,)
            Index of each item.

        Raises
        ------
        ArgumentError
            If a value is out of range.
        """
        self._validate(factors)
        return np.asarray(np.ravel_multi_index(tuple(factors.T), self.sizes), np.int64)

    def factors_of(self, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n f"]:
        """Return the factor values of items.

        Parameters
        ----------
        index : int array of shape (n,)
            Indices of the items.

        Returns
        -------
        int64 array of shape (n, f)
            Factor values.

        Raises
        ------
        ArgumentError
            If an index is out of range.
        """
        _validate_index(index, len(self))
        return np.stack(np.unravel_index(index, self.sizes), axis=1).astype(np.int64)

    def sample(self, n: int, rng: np.random.Generator) -> Int[np.ndarray, "n f"]:
        """Sample factor values independently and uniformly from the grid.

        Parameters
        ----------
        n : int
            Number of samples.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        int64 array of shape (n, f)
            Factor values.
        """
        return rng.integers(0, self.sizes, size=(n, len(self.sizes)), dtype=np.int64)

    def sample_fixed(
        self, n: int, factor: int | str, value: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "n f"]:
        """Sample factor values uniformly from the part of the grid where one factor is fixed.

        Parameters
        ----------
        n : int
            Number of samples.
        factor : int or str
            Name or position of the fixed factor.
        value : int
            Value of the fixed factor.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        int64 array of shape (n, f)
            Factor values.

        Raises
        ------
        ArgumentError
            If there is no such factor, or if the value is out of its range.
        """
        factors = self.sample(n, rng)
        factors[:, self.position(factor)] = value
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
class FactorTable:
    """Factor values listed item by item; any combinations, or no factor at all.

    A value is only ever compared with others of its column.

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
        If names and columns do not match, or if `label` is not a factor.

    Examples
    --------
    >>> table = FactorTable(("digit",), np.array([[7], [2], [7]]), label="digit")
    >>> len(table), table.sizes
    (3, (2,))
    >>> table.index_of(np.array([[7]])).tolist()
    [0]
    """

    names: tuple[str, ...]
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
            position(self.names, self.label)

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

    def position(self, factor: int | str) -> int:
        """Return the position of a factor among the columns.

        Parameters
        ----------
        factor : int or str
            Name or position of the factor.

        Returns
        -------
        int
            Position, counted from 0.

        Raises
        ------
        ArgumentError
            If there is no such factor.
        """
        return position(self.names, factor)

    def factors_of(self, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n f"]:
        """Return the factor values of items.

        Parameters
        ----------
        index : int array of shape (n,)
            Indices of the items.

        Returns
        -------
        int64 array of shape (n, f)
            Factor values.

        Raises
        ------
        ArgumentError
            If an index is out of range.
        """
        _validate_index(index, len(self))
        return self.values[index].astype(np.int64)

    def index_of(self, factors: Int[np.ndarray, "n f"]) -> Int[np.ndarray, " n"]:
        """Return the first item with each of these combinations of factor values.

        Parameters
        ----------
        factors : int array of shape (n, f)
            Factor values.

        Returns
        -------
        int64 array of shape (n,)
            Index of each item.

        Raises
        ------
        ArgumentError
            If no item has a combination.
        """
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

    def sample(self, n: int, rng: np.random.Generator) -> Int[np.ndarray, "n f"]:
        """Sample items independently and uniformly, and return their factor values.

        Parameters
        ----------
        n : int
            Number of samples.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        int64 array of shape (n, f)
            Factor values.
        """
        return self.factors_of(rng.integers(0, len(self), size=n))

    def sample_fixed(
        self, n: int, factor: int | str, value: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "n f"]:
        """Sample uniformly among the items where one factor is fixed.

        Parameters
        ----------
        n : int
            Number of samples.
        factor : int or str
            Name or position of the fixed factor.
        value : int
            Value of the fixed factor.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        int64 array of shape (n, f)
            Factor values.

        Raises
        ------
        ArgumentError
            If there is no such factor, or if no item has the value.
        """
        matches = np.flatnonzero(self.values[:, self.position(factor)] == value)
        if not len(matches):
            raise ArgumentError(
                str(factor), value, "no item has this value", "pass a value from the table"
            )
        return self.factors_of(rng.choice(matches, size=n))


Factors = FactorSpace | FactorTable


def position(names: tuple[str, ...], factor: int | str) -> int:
    """Return the position of a factor among names.

    Parameters
    ----------
    names : tuple of str
        Names of all factors.
    factor : int or str
        Name or position of the factor.

    Returns
    -------
    int
        Position, counted from 0.

    Raises
    ------
    ArgumentError
        If there is no such factor.
    """
    known = factor in names if isinstance(factor, str) else 0 <= factor < len(names)
    if not known:
        choices = ", ".join(names) or "none, as the items have no labels"
        raise ArgumentError(
            "factor", factor, "no such factor", f"pass one of {choices}, or a position from 0"
        )
    return names.index(factor) if isinstance(factor, str) else factor


def _validate_index(index: Int[np.ndarray, " n"], items: int) -> None:
    if index.size and not 0 <= int(index.min()) <= int(index.max()) < items:
        raise ArgumentError(
            "index",
            f"{int(index.min())} to {int(index.max())}",
            f"must be between 0 and {items - 1}",
            f"the dataset has {items} items; pass their indices",
        )
