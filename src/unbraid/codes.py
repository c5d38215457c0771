"""Codes: what an encoder returns for the images of a dataset, as numpy arrays.

Index letters: `n` images, `z` continuous dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from unbraid.errors import ArgumentError


@dataclass(frozen=True)
class Codes:
    """Posterior parameters of n images: one row per image.

    Parameters
    ----------
    mean : array of shape (n, z)
        Posterior means.
    std : array of shape (n, z), optional
        Posterior standard deviations; None for a deterministic encoder.
    category : integer array of shape (n,), optional
        Category of the discrete code, 0 … `categories` − 1; None without a discrete code.
    categories : int, default 0
        Number of categories of the discrete code.

    Raises
    ------
    ArgumentError
        If the arrays have different lengths or no rows, if a value is NaN or infinite, or if a
        category is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> codes = Codes(np.array([[0.0], [2.0]]), std=np.ones((2, 1)))
    >>> codes.kl().tolist()
    [1.0]
    >>> len(codes.subset(np.array([1])).mean)
    1
    """

    mean: Float[np.ndarray, "n z"]
    std: Float[np.ndarray, "_ z"] | None = None
    category: Int[np.ndarray, " _"] | None = None
    categories: int = 0

    def __post_init__(self) -> None:
        lengths = {len(a) for a in (self.mean, self.std, self.category) if a is not None}
        if len(lengths) > 1 or 0 in lengths:
            raise ArgumentError(
                "codes",
                f"arrays of {sorted(lengths)} rows",
                "must have one row per image and at least one row",
                "give `mean`, `std` and `category` of the same length",
            )
        for name, array in (("mean", self.mean), ("std", self.std)):
            if array is not None and not np.isfinite(array).all():
                raise ArgumentError(
                    name,
                    f"{int((~np.isfinite(array)).sum())} NaN or infinite values",
                    "every value must be finite",
                    "leave out images whose codes are not finite",
                )
        if self.category is not None and not (
            self.category.min() >= 0 and self.category.max() < self.categories
        ):
            raise ArgumentError(
                "category",
                f"{self.category.min()} … {self.category.max()}",
                f"must be 0 or more and less than `categories` ({self.categories})",
                f"set `categories` to {int(self.category.max()) + 1} or more",
            )

    def kl(self) -> Float[np.ndarray, " z"] | None:
        """Compute the mean KL(q(z|x) ‖ N(0, 1)) of every dimension.

        Returns
        -------
        array of shape (z,) or None
            KL in nats; None without `std`.
        """
        if self.std is None:
            return None
        # One column at a time: a whole float64 table of a dataset needs too much memory.
        columns = zip(self.mean.T, self.std.T, strict=True)
        return np.array(
            [np.mean(0.5 * (m**2 + s**2 - 1) - np.log(s), dtype=np.float64) for m, s in columns]
        )

    def subset(self, index: Int[np.ndarray, " items"]) -> Codes:
        """Return the codes of some images.

        Parameters
        ----------
        index : integer array of shape (items,)
            Positions of the images.

        Returns
        -------
        Codes
            Their codes, in the order of `index`.
        """
        return Codes(
            self.mean[index],
            None if self.std is None else self.std[index],
            None if self.category is None else self.category[index],
            self.categories,
        )
