"""What a trained encoder says of images: the record that metrics take, on numpy arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from unbraid.errors import UserError


@dataclass(frozen=True)
class Codes:
    """The codes of n images: a mean and a std per continuous dimension, and a category.

    `std` may be left out by an encoder that has none; `category` (0 … categories − 1) by one
    without a discrete code. UserError if lengths differ or a number is NaN or infinite.
    """

    mean: Float[np.ndarray, "n z"]
    std: Float[np.ndarray, "_ z"] | None = None
    category: Int[np.ndarray, " _"] | None = None
    categories: int = 0

    def __post_init__(self) -> None:
        lengths = {len(a) for a in (self.mean, self.std, self.category) if a is not None}
        if len(lengths) > 1 or 0 in lengths:
            raise UserError(
                f"codes of {sorted(lengths)} images: every array has one row an image, and at"
                " least one; give arrays of one length"
            )
        for name, array in (("mean", self.mean), ("std", self.std)):
            if array is not None and not np.isfinite(array).all():
                raise UserError(
                    f"{name}: {int((~np.isfinite(array)).sum())} values are NaN or infinite;"
                    " give finite codes"
                )
        if self.category is not None and not (
            self.category.min() >= 0 and self.category.max() < self.categories
        ):
            raise UserError(
                f"category {self.category.min()} to {self.category.max()}: there are"
                f" {self.categories}; give categories={int(self.category.max()) + 1} or more"
            )

    def kl(self) -> Float[np.ndarray, " z"] | None:
        """Mean KL(q(z|x) ‖ N(0, 1)) per dimension, nats; None without a std."""
        if self.std is None:
            return None
        # One column at a time: a full float64 table of a dataset is not worth its memory.
        columns = zip(self.mean.T, self.std.T, strict=True)
        return np.array(
            [np.mean(0.5 * (m**2 + s**2 - 1) - np.log(s), dtype=np.float64) for m, s in columns]
        )

    def subset(self, index: Int[np.ndarray, " items"]) -> Codes:
        """Return the codes of the images at `index`."""
        return Codes(
            self.mean[index],
            None if self.std is None else self.std[index],
            None if self.category is None else self.category[index],
            self.categories,
        )
