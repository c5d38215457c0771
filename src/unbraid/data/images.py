"""A dataset in memory: packed images, batches by index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8

from unbraid.data.factors import FactorSpace


@dataclass(frozen=True)
class ImageTable:
    """A binary dataset, one bit a pixel, with the factors of every item.

    `bits` is (n, h·w/8) uint8, rows from top to bottom, the leftmost pixel in the highest bit; it
    may be a memory map, which several processes then share.
    """

    name: str
    bits: UInt8[np.ndarray, "n bytes"]
    height: int
    width: int
    factors: FactorSpace

    def __len__(self) -> int:
        return self.bits.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return (1, self.height, self.width)

    def images(self, index: Int[np.ndarray, " b"]) -> UInt8[np.ndarray, "b 1 h w"]:
        """The images of these items, values 0 and 1."""
        pixels = np.unpackbits(self.bits[index], axis=1)
        return pixels.reshape(len(index), 1, self.height, self.width)
