"""dSprites in colour, with noise and on a background (Locatello et al. 2019).

The published variants draw new colours, noise and backgrounds at every access. Here they are fixed
by the index of the item, so that the dataset is the same table every time. Only the bits of
dSprites are stored; images are generated on access.

References
----------
Locatello et al. 2019, "Challenging Common Assumptions in the Unsupervised Learning of Disentangled
Representations".
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
from unbraid.data.image_files import UnreadableError, decode_to_fit
from unbraid.data.images import ImageTable
from unbraid.errors import UserError

KINDS = ("colour", "noisy", "scream")
# Height and width, in pixels, of the box that the background image is resized to fit into.
BACKGROUND_BOX = (274, 350)
STORE_PICTURE = "store one with: unbraid data dsprites-scream --picture FILE"


@dataclass(frozen=True)
class VariantTable(ImageTable):
    """A variant of dSprites: three channels generated from the one channel of the sprites.

    Parameters
    ----------
    name, bits, height, width, factors, channels, depth, fingerprint
        As in ImageTable; `bits` has the one channel of dSprites, and `channels` is 3.
    kind : {"colour", "noisy", "scream"}
        Kind of the variant.
    picture : uint8 array of shape (3, rows, columns), optional
        Background image of the kind "scream".
    """

    kind: str = "colour"
    picture: UInt8[np.ndarray, "3 rows columns"] | None = None

    @property
    def generated_on_access(self) -> bool:
        """Whether images are computed at each access: True."""
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        sprites = ImageTable(self.name, self.bits, self.height, self.width, self.factors)
        return make_variant, (sprites, self.kind, self.picture, self.fingerprint)

    def images(self, index: Int[np.ndarray, " b"]) -> Float32[np.ndarray, "b c h w"]:
        """Return images by index.

        Parameters
        ----------
        index : int array of shape (b,)
            Indices of the items.

        Returns
        -------
        float32 array of shape (b, 3, h, w)
            Pixel values in [0, 1], rounded to multiples of 1/255.
        """
        sprites = np.unpackbits(self.bits[index], axis=1)
        sprites = sprites.reshape(-1, 1, self.height, self.width).astype(np.float32)
        images = np.empty((len(index), *self.shape), np.float32)
        for image, item, sprite in zip(images, index.tolist(), sprites, strict=True):
            # Philox is counter-based: the numbers of an item do not depend on other items.
            key = np.array([KINDS.index(self.kind), item], np.uint64)
            image[:] = self._generate(sprite, np.random.Generator(np.random.Philox(key=key)))
        return np.round(images * 255) / np.float32(255)

    def _generate(
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
        background = (crop / np.float32(255) + tint) / 2
        return np.where(sprite > 0, 1 - background, background)


def make_variant(
    sprites: ImageTable,
    kind: str,
    picture: UInt8[np.ndarray, "3 rows columns"] | None = None,
    fingerprint: str = "",
) -> VariantTable:
    """Make a variant of a table of sprites.

    Parameters
    ----------
    sprites : ImageTable
        Sprites with one bit per pixel.
    kind : {"colour", "noisy", "scream"}
        Kind of the variant.
    picture : uint8 array of shape (3, rows, columns), optional
        Background image, of at least 64×64 pixels; required for "scream".
    fingerprint : str, default ""
        Digest of the background image.

    Returns
    -------
    VariantTable
        The variant.
    """
    return VariantTable(
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
    """Load sprites that are each multiplied by a colour; every channel is in [0.5, 1].

    Returns
    -------
    ImageTable
        737,280 images of 3×64×64.

    Raises
    ------
    UserError
        If the stored dSprites are damaged.
    """
    return make_variant(dsprites.load(), "colour")


def load_noisy() -> ImageTable:
    """Load sprites with uniform noise in [0, 1] added to every pixel and channel, clipped at 1.

    Returns
    -------
    ImageTable
        737,280 images of 3×64×64.

    Raises
    ------
    UserError
        If the stored dSprites are damaged.
    """
    return make_variant(dsprites.load(), "noisy")


def load_scream() -> ImageTable:
    """Load sprites that invert a tinted crop of a background image.

    Returns
    -------
    ImageTable
        737,280 images of 3×64×64.

    Raises
    ------
    UserError
        If no background image has been stored, or if a stored file is damaged.
    """
    if not _picture_file().exists():
        raise UserError(f"dsprites-scream: requires a background image; {STORE_PICTURE}")
    picture = stored.read(_picture_file(), "background of dsprites-scream", STORE_PICTURE)
    pixels = picture.bits.reshape(picture.shape)
    return make_variant(dsprites.load(), "scream", np.array(pixels), picture.fingerprint)


def store_picture(file: Path) -> None:
    """Store the background image of dsprites-scream in the cache.

    Parameters
    ----------
    file : Path
        Image file; the image is resized to fit into 350×274 pixels.

    Raises
    ------
    UserError
        If the file cannot be read, or if the resized image is smaller than 64×64 pixels.
    """
    try:
        pixels = decode_to_fit(file, *BACKGROUND_BOX)
    except UnreadableError as error:
        raise UserError(f"{file}: {error}; replace it by a readable image") from error
    if min(pixels.shape[1:]) < dsprites.SIDE:
        raise UserError(
            f"{file}: must have at least {dsprites.SIDE}×{dsprites.SIDE} pixels after resizing to"
            f" fit into {BACKGROUND_BOX[1]}×{BACKGROUND_BOX[0]}, but has"
            f" {pixels.shape[2]}×{pixels.shape[1]}; use an image of another aspect ratio"
        )
    metadata = {"source": file.name}
    stored.save(_picture_file(), [pixels[None]], metadata, labels=lambda: FactorTable.none(1))


def prepare(kind: str, picture: Path | None = None) -> str:
    """Store dSprites, and the background image if there is one, in the cache.

    Parameters
    ----------
    kind : {"colour", "noisy", "scream"}
        Kind of the variant.
    picture : Path, optional
        File of the background image of "scream". Default: the stored one.

    Returns
    -------
    str
        Description of the dataset in one line.

    Raises
    ------
    UserError
        If the background image is missing or unreadable, or if a stored file is damaged.
    """
    if picture is not None:
        store_picture(picture)
    table = {"colour": load_colour, "noisy": load_noisy, "scream": load_scream}[kind]()
    return f"{len(table):,} images of 3×64×64, generated on access from dSprites"


def _picture_file() -> Path:
    return cache.cache_dir() / "dsprites-scream-picture.bits"
