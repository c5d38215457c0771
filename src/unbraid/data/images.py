"""A dataset in memory: packed images that are unpacked batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, UInt8

from unbraid.data.factors import Factors


@dataclass(frozen=True)
class ImageTable:
    """Images of a dataset, stored with one bit or one byte per pixel value, and their factors.

    Parameters
    ----------
    name : str
        Name of the dataset.
    bits : uint8 array of shape (n, c·h·w·depth/8)
        Packed images: channel by channel, rows from top to bottom. With a `depth` of 1, the
        leftmost pixel is the highest bit; with 8, each byte is a value. It may be a memory map,
        which several processes then share.
    height, width : int
        Height and width of an image, in pixels.
    factors : FactorSpace or FactorTable
        Factors of every item.
    channels : int, default 1
        Number of channels.
    depth : {1, 8}, default 1
        Bits per pixel value.
    fingerprint : str, default ""
        Digest of images and labels; empty for a dataset that its name identifies.

    Examples
    --------
    >>> from unbraid.data.factors import FactorTable
    >>> images = np.array([[[[1, 0, 1, 0]]], [[[0, 0, 1, 1]]]], np.uint8)
    >>> table = ImageTable("example", pack(images, 1), 1, 4, FactorTable.none(2))
    >>> len(table), table.shape
    (2, (1, 1, 4))
    >>> table.images(np.array([1])).tolist()
    [[[[0, 0, 1, 1]]]]
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
        """Pickle a memory-mapped file by its name, so that processes share its pages."""
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
        """Return the number of images."""
        return self.bits.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return (self.channels, self.height, self.width)

    @property
    def generated_on_access(self) -> bool:
        """Whether images are computed at each access instead of being stored in `bits`."""
        return False

    def images(
        self, index: Int[np.ndarray, " b"]
    ) -> UInt8[np.ndarray, "b c h w"] | Float32[np.ndarray, "b c h w"]:
        """Return images by index.

        Parameters
        ----------
        index : int array of shape (b,)
            Indices of the items.

        Returns
        -------
        array of shape (b, c, h, w)
            With a `depth` of 1, uint8 values 0 and 1; with 8, float32 values in [0, 1].
        """
        packed = self.bits[index]
        if self.depth == 8:
            return np.divide(packed, np.float32(255)).reshape(len(index), *self.shape)
        count = self.channels * self.height * self.width
        return np.unpackbits(packed, axis=1, count=count).reshape(len(index), *self.shape)


def pack(images: UInt8[np.ndarray, "b c h w"], depth: int) -> UInt8[np.ndarray, "b bytes"]:
    """Pack images as `ImageTable.bits` stores them.

    Parameters
    ----------
    images : uint8 array of shape (b, c, h, w)
        Pixel values; with a `depth` of 1, every value but 0 counts as 1.
    depth : {1, 8}
        Bits per pixel value.

    Returns
    -------
    uint8 array of shape (b, c·h·w·depth/8)
        Packed images.

    Examples
    --------
    >>> pack(np.array([[[[1, 0, 0, 0, 0, 0, 0, 1]]]], np.uint8), depth=1).tolist()
    [[129]]
    """
    flat = images.reshape(len(images), -1)
    return np.packbits(flat, axis=1) if depth == 1 else np.ascontiguousarray(flat)


def _mapped(name: str, file: str, shape: tuple[int, int], *rest: Any) -> ImageTable:
    return ImageTable(name, np.memmap(file, np.uint8, "r", shape=shape), *rest)
