"""Ground-truth factors: an item's index to its factor values, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from unbraid.errors import UserError


@dataclass(frozen=True)
class FactorSpace:
    """The full grid of factor values that a dataset covers, the last factor fastest.

    index = ((f₀·size₁ + f₁)·size₂ + f₂)…, as in the published archives.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]

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

    def __len__(self) -> int:
        """The number of items, the product of the sizes."""
        return int(np.prod(self.sizes, dtype=np.int64))

    def position(self, factor: int | str) -> int:
        """Which column a factor is, by its name or by its number; UserError if it is neither."""
        if isinstance(factor, str):
            if factor not in self.names:
                raise UserError(
                    f"factor {factor!r}: not one of {', '.join(self.names)}; give one of these"
                )
            return self.names.index(factor)
        if not 0 <= factor < len(self.names):
            raise UserError(
                f"factor {factor}: there are {len(self.names)}; give 0 to {len(self.names) - 1}"
            )
        return factor

    def index_of(self, factors: Int[np.ndarray, "n f"]) -> Int[np.ndarray, " n"]:
        """The items that have these factor values; UserError if a value is out of its range."""
        self._check(factors)
        return np.asarray(np.ravel_multi_index(tuple(factors.T), self.sizes), np.int64)

    def factors_of(self, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n f"]:
        """The factor values of these items; UserError if an index is out of range."""
        if index.size and not 0 <= int(index.min()) <= int(index.max()) < len(self):
            raise UserError(
                f"index {int(index.min())} to {int(index.max())}: the dataset has {len(self)}"
                f" items; give 0 to {len(self) - 1}"
            )
        return np.stack(np.unravel_index(index, self.sizes), axis=1).astype(np.int64)

    def sample(self, n: int, rng: np.random.Generator) -> Int[np.ndarray, "n f"]:
        """n independent draws, uniform over the grid."""
        return rng.integers(0, self.sizes, size=(n, len(self.sizes)), dtype=np.int64)

    def sample_fixed(
        self, n: int, factor: int | str, value: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "n f"]:
        """n independent draws, uniform over the part of the grid where `factor` is `value`."""
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
