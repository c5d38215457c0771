"""dSprites in colour, in noise and before a picture (Locatello et al. 2019).

The published variants draw colour, noise and background anew at every look. Here they are fixed by
the item's number, so that a table is one table: nothing but dSprites' bits is stored, and each
image is painted when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, UInt8

from unbraid.data import cache, stored
from unbraid.data.datasets import dsprites
from unbraid.data.factors import FactorTable
from unbraid.data.image_files import UnreadableError, within
from unbraid.data.images import ImageTable
from unbraid.errors import UserError

KINDS = ("colour", "noisy", "scream")
# The box that the picture behind the sprites is brought into, width and height.
BOX = (350, 274)
GET = "give one: unbraid data dsprites-scream --picture FILE"


@dataclass(frozen=True)
class PaintedTable(ImageTable):
    """Sprites painted in three channels; `bits` has one, `picture` is what lies behind them."""

    kind: str = "colour"
    picture: UInt8[np.ndarray, "3 rows columns"] | None = None

    @property
    def generated_on_access(self) -> bool:
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        sprites = ImageTable(self.name, self.bits, self.height, self.width, self.factors)
        return paint, (sprites, self.kind, self.picture, self.fingerprint)

    def images(self, index: Int[np.ndarray, " b"]) -> Float32[np.ndarray, "b c h w"]:
        """The images of these items, multiples of 1/255."""
        sprites = np.unpackbits(self.bits[index], axis=1)
        sprites = sprites.reshape(-1, 1, self.height, self.width).astype(np.float32)
        painted = np.empty((len(index), *self.shape), np.float32)
        for image, item, sprite in zip(painted, index.tolist(), sprites, strict=True):
            # Counter-based: any item's numbers without those of the items before it.
            key = np.array([KINDS.index(self.kind), item], np.uint64)
            image[:] = self._painted(sprite, np.random.Generator(np.random.Philox(key=key)))
        return np.round(painted * 255) / np.float32(255)

    def _painted(
        self, sprite: Float32[np.ndarray, "1 h w"], rng: np.random.Generator
    ) -> Float32[np.ndarray, "3 h w"]:
        if self.kind == "colour":
            return sprite * rng.uniform(0.5, 1, size=(3, 1, 1)).astype(np.float32)
        if self.kind == "noisy":
            return np.minimum(sprite + rng.random(self.shape, dtype=np.float32), 1)
        assert self.picture is not None
        top, left = rng.integers(0, np.array(self.picture.shape[1:]) - sprite.shape[1:] + 1)
        crop = self.picture[:, top : top + self.height, left : left + self.width]
        tint = rng.random((3, 1, 1), dtype=np.float32)
        behind = (crop / np.float32(255) + tint) / 2
        return np.where(sprite > 0, 1 - behind, behind)


def paint(
    sprites: ImageTable,
    kind: str,
    picture: UInt8[np.ndarray, "3 rows columns"] | None = None,
    fingerprint: str = "",
) -> PaintedTable:
    """Sprites as a variant, one of `KINDS`; `scream` needs a picture of 64×64 pixels at least."""
    return PaintedTable(
        f"dsprites-{kind}",
        sprites.bits,
        sprites.height,
        sprites.width,
        sprites.factors,
        channels=3,
        fingerprint=fingerprint,
        kind=kind,
        picture=picture,
    )


def load_colour() -> ImageTable:
    """Sprites in a colour of their own each, every channel 0.5 to 1."""
    return paint(dsprites.load(), "colour")


def load_noisy() -> ImageTable:
    """Sprites with uniform noise of 0 to 1 on every pixel and channel, cut off at 1."""
    return paint(dsprites.load(), "noisy")


def load_scream() -> ImageTable:
    """Sprites as the inverse of a part of a picture, tinted; UserError without a picture."""
    if not _picture_file().exists():
        raise UserError(f"dsprites-scream: the picture behind the sprites is missing; {GET}")
    picture = stored.read(_picture_file(), "the picture behind dsprites-scream", GET)
    pixels = picture.bits.reshape(picture.shape)
    return paint(dsprites.load(), "scream", np.array(pixels), picture.fingerprint)


def store_picture(file: Path) -> None:
    """Take a picture to lie behind the sprites; UserError if it is none, or is too small."""
    try:
        pixels = within(file, *BOX)
    except UnreadableError as error:
        raise UserError(f"{file}: {error}; give a picture that opens elsewhere") from error
    if min(pixels.shape[1:]) < dsprites.SIDE:
        raise UserError(
            f"{file}: {pixels.shape[2]}×{pixels.shape[1]} pixels once it goes into"
            f" {BOX[0]}×{BOX[1]}: sprites take {dsprites.SIDE}×{dsprites.SIDE} of it; give a"
            " picture of other sides"
        )
    facts = {"source": file.name}
    stored.save(_picture_file(), [pixels[None]], facts, labels=lambda: FactorTable.none(1))


def report(kind: str, picture: Path | None = None) -> str:
    """Have dSprites, and the picture if one is needed, in the cache, and say so."""
    if picture is not None:
        store_picture(picture)
    loaded = {"colour": load_colour, "noisy": load_noisy, "scream": load_scream}[kind]()
    return f"{len(loaded):,} images of 3×64×64, painted as they are asked for, from dSprites' bits"


def _picture_file() -> Path:
    return cache.cache_dir() / "dsprites-scream-picture.bits"
