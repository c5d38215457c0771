"""Decoding and resizing of image files, the same for training data and for uploaded images."""

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
MAX_PIXELS = 64_000_000
RESAMPLING = Image.Resampling.LANCZOS
EXIF_ORIENTATION = 0x0112
# Pillow's modes without colour; those that begin with I contain 16-bit values.
GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"}
# Formats that Pillow decodes itself; it would start a program for EPS, and HDF5 files contain no
# images that it can decode.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")


class UnreadableError(Exception):
    """An image file is damaged, too large or of an unsupported format, as its message states."""


class Header(NamedTuple):
    """Properties of an image that are known before it is decoded.

    Parameters
    ----------
    width, height : int
        Size in pixels, after the rotation in its EXIF data.
    grey : bool
        Whether the image has no colour.
    """

    width: int
    height: int
    grey: bool


@functools.cache
def supported_formats() -> tuple[str, ...]:
    """Return the formats that are read and that this build of Pillow supports.

    Returns
    -------
    tuple of str
        Pillow's names of the formats.
    """
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def extensions() -> set[str]:
    """Return the file name extensions of the supported formats.

    Returns
    -------
    set of str
        Extensions in lower case, with the dot.
    """
    supported = set(supported_formats())
    return {end for end, name in Image.registered_extensions().items() if name in supported}


def read_header(file: Path) -> Header:
    """Read the size of an image and whether it is grey, without decoding it.

    Parameters
    ----------
    file : Path
        The image file.

    Returns
    -------
    Header
        Size and colour.

    Raises
    ------
    UnreadableError
        If the file is damaged, too large or of an unsupported format.
    """
    with _open(file) as image:
        width, height = image.size
        # Orientations 5 to 8 swap the sides.
        if image.getexif().get(EXIF_ORIENTATION, 1) >= 5:
            width, height = height, width
        return Header(width, height, image.mode in GREY_MODES)


def decode(
    file: Path | io.BytesIO,
    height: int,
    width: int,
    *,
    grey: bool,
    crop: int | None = None,
    formats: tuple[str, ...] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> UInt8[np.ndarray, "c h w"]:
    """Decode an image, crop it around its centre to the aspect ratio, and resize it (Lanczos).

    It is first rotated as its EXIF data specify; 16-bit values are divided by 257 and rounded;
    transparent pixels are composited on black. Only the first frame of an animation is decoded.

    Parameters
    ----------
    file : Path or BytesIO
        The image file.
    height, width : int
        Size of the result, in pixels.
    grey : bool
        Whether the result has one channel instead of three.
    crop : int, optional
        Side of the centred square that is cropped first, in pixels. Default: no such crop.
    formats : tuple of str, optional
        Pillow's names of the allowed formats. Default: all supported formats.
    max_pixels : int, default 64000000
        Largest number of pixels; larger images are rejected before they are decoded.

    Returns
    -------
    uint8 array of shape (c, h, w)
        Pixel values; c is 1 or 3.

    Raises
    ------
    UnreadableError
        If the file is damaged, too large or of a format that is not allowed.
    """
    with _open(file, formats, max_pixels) as image:
        image = _normalise(ImageOps.exif_transpose(image)).convert("L" if grey else "RGB")
        if crop is not None:
            left, top = (image.width - crop) // 2, (image.height - crop) // 2
            image = image.crop((left, top, left + crop, top + crop))
        if image.size != (width, height):
            image = ImageOps.fit(image, (width, height), RESAMPLING)
        return _to_array(image)


def decode_to_fit(file: Path, max_height: int, max_width: int) -> UInt8[np.ndarray, "3 h w"]:
    """Decode an image in colour and resize it to fit into a box, without cropping.

    Parameters
    ----------
    file : Path
        The image file.
    max_height, max_width : int
        Size of the box, in pixels; the result reaches at least one of the two.

    Returns
    -------
    uint8 array of shape (3, h, w)
        Pixel values.

    Raises
    ------
    UnreadableError
        If the file is damaged, too large or of an unsupported format.
    """
    with _open(file) as image:
        image = _normalise(ImageOps.exif_transpose(image)).convert("RGB")
        return _to_array(ImageOps.contain(image, (max_width, max_height), RESAMPLING))


def decode_all(
    files: Iterable[bytes], total: int, shape: tuple[int, int, int], desc: str, crop: int | None
) -> Iterator[UInt8[np.ndarray, "b c h w"]]:
    """Decode many images in parallel, with a progress bar.

    Parameters
    ----------
    files : iterable of bytes
        Content of each image file.
    total : int
        Number of files, for the progress bar.
    shape : tuple of int
        Channels, height and width of each result.
    desc : str
        Text before the progress bar.
    crop : int or None
        Side of the centred square that is cropped first, in pixels; None for no such crop.

    Yields
    ------
    uint8 array of shape (b, c, h, w)
        The next images, as `decode` returns them.

    Raises
    ------
    UnreadableError
        If a file is damaged, too large or of an unsupported format.
    """
    c, h, w = shape

    def decode_bytes(data: bytes) -> UInt8[np.ndarray, "c h w"]:
        return decode(io.BytesIO(data), h, w, grey=c == 1, crop=crop)

    remaining = iter(files)
    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=total, desc=desc) as bar:
        while block := list(itertools.islice(remaining, BLOCK)):
            yield np.stack(list(pool.map(decode_bytes, block)))
            bar.update(len(block))


def resize(
    image: UInt8[np.ndarray, "h_in w_in *c"], height: int, width: int
) -> UInt8[np.ndarray, "h w *c"]:
    """Resize a decoded image (Lanczos) without cropping.

    Parameters
    ----------
    image : uint8 array of shape (h_in, w_in) or (h_in, w_in, 3)
        Pixel values.
    height, width : int
        Size of the result, in pixels.

    Returns
    -------
    uint8 array of shape (h, w) or (h, w, 3)
        Pixel values.

    Examples
    --------
    >>> resize(np.full((8, 8, 3), 7, np.uint8), 4, 2).shape
    (4, 2, 3)
    """
    return np.asarray(Image.fromarray(image).resize((width, height), RESAMPLING))


def _to_array(image: Image.Image) -> UInt8[np.ndarray, "c h w"]:
    pixels = np.asarray(image, np.uint8).reshape(image.height, image.width, -1)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


@contextlib.contextmanager
def _open(
    file: Path | io.BytesIO, formats: tuple[str, ...] | None = None, max_pixels: int = MAX_PIXELS
) -> Iterator[Image.Image]:
    """Open an image; any exception in the block is due to the file and becomes UnreadableError."""
    formats = supported_formats() if formats is None else formats
    try:
        with Image.open(file, formats=formats) as image:
            if image.width * image.height > max_pixels:
                size = f"{image.width:,}×{image.height:,}"
                raise UnreadableError(f"it has {size} pixels, more than {max_pixels:,}")
            yield image
    except UnreadableError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableError(f"it has more than {max_pixels:,} pixels") from error
    except Image.UnidentifiedImageError as error:
        raise UnreadableError("not an image in a supported format") from error
    except Exception as error:
        raise UnreadableError((str(error) or type(error).__name__).splitlines()[0]) from error


def _normalise(image: Image.Image) -> Image.Image:
    """Return the image in a mode that converts to grey and to colour without loss of range."""
    if image.mode.startswith("I"):
        values = np.clip(np.asarray(image).astype(np.float64) / 257, 0, 255)
        return Image.fromarray(np.round(values).astype(np.uint8))
    if image.mode == "F":
        raise UnreadableError("floating-point pixels are not supported; save 8 or 16 bits")
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image
