"""Interface of ground-truth factors: from the index of an item to its factor values and back."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from unbraid.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class BaseFactors(abc.ABC):
    """Interface of factors, shared by FactorSpace and FactorTable.

    Parameters
    ----------
    names : tuple of str
        Name of each factor.
    """

    names: tuple[str, ...]

    @abc.abstractmethod
    def __len__(self) -> int:
        """Return the number of items."""

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
        known = factor in self.names if isinstance(factor, str) else 0 <= factor < len(self.names)
        if not known:
            choices = ", ".join(self.names) or "none, as the items have no labels"
            raise ArgumentError(
                "factor", factor, "no such factor", f"pass one of {choices}, or a position from 0"
            )
        return self.names.index(factor) if isinstance(factor, str) else factor

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
        items = len(self)
        if index.size and not 0 <= int(index.min()) <= int(index.max()) < items:
            raise ArgumentError(
                "index",
                f"{int(index.min())} to {int(index.max())}",
                f"must be between 0 and {items - 1}",
                f"the dataset has {items} items; pass their indices",
            )
        return self._factors_of(index)

    def index_of(self, factors: Int[np.ndarray, "n f"]) -> Int[np.ndarray, " n"]:
        """Return the indices of the items with these factor values, in a table the first of them.

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
            If no item has these values.
        """
        return self._index_of(factors)

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
        return self._sample(n, rng)

    def sample_fixed(
        self, n: int, factor: int | str, value: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "n f"]:
        """Sample uniformly among the items where one factor has a fixed value.

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
        return self._sample_fixed(n, self.position(factor), value, rng)

    @abc.abstractmethod
    def _factors_of(self, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n f"]: ...

    @abc.abstractmethod
    def _index_of(self, factors: Int[np.ndarray, "n f"]) -> Int[np.ndarray, " n"]: ...

    @abc.abstractmethod
    def _sample(self, n: int, rng: np.random.Generator) -> Int[np.ndarray, "n f"]: ...

    @abc.abstractmethod
    def _sample_fixed(
        self, n: int, column: int, value: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "n f"]: ...
