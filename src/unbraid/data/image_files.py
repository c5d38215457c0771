"""Picture files of any kind as arrays: read with Pillow, grey or colour, cut and resized."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps
from tqdm import tqdm

BLOCK = 256
MOST_PIXELS = 64_000_000
# Pillow's modes without colour; those that begin with I hold 16 bits.
GREY = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"}


# Only what Pillow decodes by itself: others start programs (EPS) or are no pictures (HDF5).
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")


class UnreadableError(Exception):
    """A file that is no picture, or a broken one; its text says why."""


class Header(NamedTuple):
    """What a picture says of itself before it is decoded."""

    width: int
    height: int
    grey: bool


@functools.cache
def formats() -> tuple[str, ...]:
    """Those of the formats that this build of Pillow has."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def endings() -> set[str]:
    """How names of such files end, dot included, in lower case."""
    known = set(formats())
    return {end for end, name in Image.registered_extensions().items() if name in known}


def header(file: Path) -> Header:
    """A picture's size, as it is meant to be turned, and whether it is grey; UnreadableError."""
    with _opened(file) as image:
        width, height = image.size
        # Orientations 5 to 8 lie on their side.
        if image.getexif().get(0x0112, 1) >= 5:
            width, height = height, width
        return Header(width, height, image.mode in GREY)


def decode(
    file: Path | io.BytesIO, height: int, width: int, *, grey: bool, crop: int | None = None
) -> UInt8[np.ndarray, "c h w"]:
    """A picture, cut around its centre to the sides' ratio, then resized (Lanczos); c is 1 or 3.

    With `crop`, a square of so many pixels is cut out first.
    16-bit values are halved to 8; transparent pixels are laid on black; of an animation the first
    frame. UnreadableError if it is no picture, is cut short, or has more than 64 million pixels.
    """
    with _opened(file) as image:
        plain = _plain(ImageOps.exif_transpose(image)).convert("L" if grey else "RGB")
        if crop is not None:
            left, top = (plain.width - crop) // 2, (plain.height - crop) // 2
            plain = plain.crop((left, top, left + crop, top + crop))
        if plain.size != (width, height):
            plain = ImageOps.fit(plain, (width, height), Image.Resampling.LANCZOS)
        return _array(plain)


def within(file: Path, width: int, height: int) -> UInt8[np.ndarray, "c h w"]:
    """A picture in colour, whole, as large as goes into these sides; UnreadableError."""
    with _opened(file) as image:
        plain = _plain(ImageOps.exif_transpose(image)).convert("RGB")
        return _array(ImageOps.contain(plain, (width, height), Image.Resampling.LANCZOS))


def decoded(
    files: Iterable[bytes], number: int, shape: tuple[int, int, int], what: str, crop: int | None
) -> Iterator[UInt8[np.ndarray, "b c h w"]]:
    """Pictures as `decode` gives them, block by block, with a progress bar; UnreadableError."""
    c, h, w = shape

    def one(data: bytes) -> UInt8[np.ndarray, "c h w"]:
        return decode(io.BytesIO(data), h, w, grey=c == 1, crop=crop)

    waiting = iter(files)
    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=number, desc=what) as bar:
        while block := list(itertools.islice(waiting, BLOCK)):
            yield np.stack(list(pool.map(one, block)))
            bar.update(len(block))


def _array(image: Image.Image) -> UInt8[np.ndarray, "c h w"]:
    pixels = np.asarray(image, np.uint8).reshape(image.height, image.width, -1)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


@contextlib.contextmanager
def _opened(file: Path | io.BytesIO) -> Iterator[Image.Image]:
    """A picture to look at; whatever is raised while this is done, the file is what is wrong."""
    try:
        with Image.open(file, formats=formats()) as image:
            if image.width * image.height > MOST_PIXELS:
                size = f"{image.width}×{image.height}"
                raise UnreadableError(f"{size} pixels, more than 64 million")
            yield image
    except UnreadableError:
        raise
    except Exception as error:
        text = (str(error) or type(error).__name__).splitlines()[0]
        known = "cannot identify" not in text
        raise UnreadableError(text if known else "not a picture that Pillow knows") from error


def _plain(image: Image.Image) -> Image.Image:
    """In a mode that converts to grey and to colour without loss of range."""
    if image.mode.startswith("I"):
        halved = np.clip(np.asarray(image).astype(np.float64) / 257, 0, 255)
        return Image.fromarray(np.round(halved).astype(np.uint8))
    if image.mode == "F":
        raise UnreadableError("floating-point pixels have no range; save 8 or 16 bits")
    if image.has_transparency_data:
        under = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(under, image.convert("RGBA")).convert("RGB")
    return image
