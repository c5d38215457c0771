"""Ground-truth factors: an item's index to its factor values, and back where they form a grid."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from unbraid.errors import UserError


@dataclass(frozen=True)
class FactorSpace:
    """The full grid of factor values that a dataset covers, the last factor fastest.

    index = ((f₀·size₁ + f₁)·size₂ + f₂)…, as in the published archives. `label` is the factor that
    a discrete code is scored against, if there is one.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    label: str | None = None

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.sizes):
            raise UserError(
                f"{len(self.names)} names for {len(self.sizes)} sizes: each factor has one of"
                " both; give as many names as sizes"
            )
        if min(self.sizes) < 1:
            raise UserError(
                f"sizes {self.sizes}: a factor takes at least one value; give sizes of 1 or more"
            )
        if self.label is not None:
            position(self.names, self.label)

    def __len__(self) -> int:
        """The number of items, the product of the sizes."""
        return int(np.prod(self.sizes, dtype=np.int64))

    def position(self, factor: int | str) -> int:
        """Which column a factor is, by its name or by its number; UserError if it is neither."""
        return position(self.names, factor)

    def index_of(self, factors: Int[np.ndarray, "n f"]) -> Int[np.ndarray, " n"]:
        """The items that have these factor values; UserError if a value is out of its range."""
        self._check(factors)
        return np.asarray(np.ravel_multi_index(tuple(factors.T), self.sizes), np.int64)

    def factors_of(self, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n f"]:
        """The factor values of these items; UserError if an index is out of range."""
        if index.size and not 0 <= int(index.min()) <= int(index.max()) < len(self):
            raise _out_of_range(index, len(self))
        return np.stack(np.unravel_index(index, self.sizes), axis=1).astype(np.int64)

    def sample(self, n: int, rng: np.random.Generator) -> Int[np.ndarray, "n f"]:
        """N independent draws, uniform over the grid."""
        return rng.integers(0, self.sizes, size=(n, len(self.sizes)), dtype=np.int64)

    def sample_fixed(
        self, n: int, factor: int | str, value: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "n f"]:
        """N independent draws, uniform over the part of the grid where `factor` is `value`."""
        factors = self.sample(n, rng)
        factors[:, self.position(factor)] = value
        self._check(factors)
        return factors

    def _check(self, factors: Int[np.ndarray, "n f"]) -> None:
        if factors.shape[1] != len(self.sizes):
            raise UserError(
                f"{factors.shape[1]} factor values an item: there are {len(self.sizes)} factors;"
                f" give one value each for {', '.join(self.names)}"
            )
        for name, size, column in zip(self.names, self.sizes, factors.T, strict=True):
            if column.size and not 0 <= int(column.min()) <= int(column.max()) < size:
                raise UserError(
                    f"{name} {int(column.min())} to {int(column.max())}: it takes {size} values;"
                    f" give 0 to {size - 1}"
                )


@dataclass(frozen=True, eq=False)
class FactorTable:
    """The factor values of every item as they were given: any combinations, or no factor at all.

    A value is only ever compared with others of its column. `label` is the factor that a discrete
    code is scored against, if there is one. UserError if names and columns do not match.
    """

    names: tuple[str, ...]
    values: Int[np.ndarray, "n f"]
    label: str | None = None

    def __post_init__(self) -> None:
        if len(self.names) != self.values.shape[1] or len(set(self.names)) < len(self.names):
            raise UserError(
                f"names {', '.join(self.names) or 'none'} for {self.values.shape[1]} columns of"
                " factors: each has a name of its own; give as many different names as columns"
            )
        if self.label is not None:
            position(self.names, self.label)

    @classmethod
    def none(cls, items: int) -> FactorTable:
        """Of items without labels."""
        return cls((), np.zeros((items, 0), np.int64))

    def __len__(self) -> int:
        """The number of items."""
        return len(self.values)

    @functools.cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many values each factor takes."""
        return tuple(len(np.unique(column)) for column in self.values.T)

    def position(self, factor: int | str) -> int:
        """Which column a factor is, by its name or by its number; UserError if it is neither."""
        return position(self.names, factor)

    def factors_of(self, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n f"]:
        """The factor values of these items; UserError if an index is out of range."""
        if index.size and not 0 <= int(index.min()) <= int(index.max()) < len(self):
            raise _out_of_range(index, len(self))
        return self.values[index].astype(np.int64)

    def index_of(self, factors: Int[np.ndarray, "n f"]) -> Int[np.ndarray, " n"]:
        """The first item that has each of these combinations; UserError if one is nowhere."""
        found = np.empty(len(factors), np.int64)
        for row, wanted in enumerate(factors):
            having = np.flatnonzero((self.values == wanted).all(axis=1))
            if not len(having):
                told = ", ".join(f"{n} {v}" for n, v in zip(self.names, wanted, strict=True))
                raise UserError(f"{told}: no item has these; give a combination that one has")
            found[row] = having[0]
        return found

    def sample(self, n: int, rng: np.random.Generator) -> Int[np.ndarray, "n f"]:
        """The factors of n independent draws, uniform over the items."""
        return self.factors_of(rng.integers(0, len(self), size=n))

    def sample_fixed(
        self, n: int, factor: int | str, value: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "n f"]:
        """The factors of n independent draws, uniform over the items where `factor` is `value`."""
        having = np.flatnonzero(self.values[:, self.position(factor)] == value)
        if not len(having):
            raise UserError(f"{factor} {value}: no item has it; give a value that one has")
        return self.factors_of(rng.choice(having, size=n))


Factors = FactorSpace | FactorTable


def position(names: tuple[str, ...], factor: int | str) -> int:
    """Which of the names a factor is, by its name or by its number; UserError if it is none."""
    if isinstance(factor, str):
        if factor not in names:
            raise UserError(f"factor {factor!r}: not one of {', '.join(names)}; give one of these")
        return names.index(factor)
    if not 0 <= factor < len(names):
        raise UserError(f"factor {factor}: there are {len(names)}; give 0 to {len(names) - 1}")
    return factor


def _out_of_range(index: Int[np.ndarray, " n"], items: int) -> UserError:
    return UserError(
        f"index {int(index.min())} to {int(index.max())}: the dataset has {items} items; give 0 to"
        f" {items - 1}"
    )
