"""A dataset in memory: packed images, batches by index."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, UInt8

from unbraid.data.factors import Factors


@dataclass(frozen=True)
class ImageTable:
    """A dataset, one bit or one byte a pixel value, with the factors of every item.

    `bits` is (n, c·h·w·depth/8) uint8: channel by channel, rows from top to bottom; with a `depth`
    of 1 the leftmost pixel is the highest bit, with 8 each byte is a value. It may be a memory map,
    which several processes then share. `fingerprint` tells what the images and labels are; empty
    for a dataset whose name says it.
    """

    name: str
    bits: UInt8[np.ndarray, "n bytes"]
    height: int
    width: int
    factors: Factors
    channels: int = 1
    depth: int = 1
    fingerprint: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process a mapped file goes by its name, so that both share its pages."""
        rest = (
            *(self.height, self.width, self.factors),
            *(self.channels, self.depth, self.fingerprint),
        )
        bits = self.bits
        if (
            isinstance(bits, np.memmap)
            and bits.filename is not None
            and bits.flags.c_contiguous
            and bits.nbytes == Path(bits.filename).stat().st_size
        ):
            return _mapped, (self.name, str(bits.filename), bits.shape, *rest)
        return ImageTable, (self.name, bits, *rest)

    def __len__(self) -> int:
        return self.bits.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return (self.channels, self.height, self.width)

    @property
    def generated_on_access(self) -> bool:
        """Whether images are made when they are asked for, so that `bits` is not all of them."""
        return False

    def images(
        self, index: Int[np.ndarray, " b"]
    ) -> UInt8[np.ndarray, "b c h w"] | Float32[np.ndarray, "b c h w"]:
        """The images of these items: uint8, 0 and 1, from bits; float32, 0 to 1, from bytes."""
        stored = self.bits[index]
        if self.depth == 8:
            return np.divide(stored, np.float32(255)).reshape(len(index), *self.shape)
        count = self.channels * self.height * self.width
        return np.unpackbits(stored, axis=1, count=count).reshape(len(index), *self.shape)


def packed(images: UInt8[np.ndarray, "b c h w"], depth: int) -> UInt8[np.ndarray, "b bytes"]:
    """Images as `ImageTable.bits` holds them; of a depth of 1, all but 0 is 1."""
    flat = images.reshape(len(images), -1)
    return np.packbits(flat, axis=1) if depth == 1 else np.ascontiguousarray(flat)


def _mapped(name: str, file: str, shape: tuple[int, int], *rest: Any) -> ImageTable:
    return ImageTable(name, np.memmap(file, np.uint8, "r", shape=shape), *rest)
