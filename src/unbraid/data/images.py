"""A dataset in memory: packed images, batches by index."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process a mapped file goes by its name, so that both share its pages."""
        bits = self.bits
        if (
            isinstance(bits, np.memmap)
            and bits.filename is not None
            and bits.flags.c_contiguous
            and bits.nbytes == Path(bits.filename).stat().st_size
        ):
            rest = (self.height, self.width, self.factors)
            return _mapped, (self.name, str(bits.filename), bits.shape, *rest)
        return ImageTable, (self.name, bits, self.height, self.width, self.factors)

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


def _mapped(name: str, file: str, shape: tuple[int, int], *rest: Any) -> ImageTable:
    return ImageTable(name, np.memmap(file, np.uint8, "r", shape=shape), *rest)
