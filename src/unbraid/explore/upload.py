"""Uploaded images: checked for format, bytes and pixels, then decoded as training images are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from unbraid.data.image_files import UnreadableError, decode
from unbraid.errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_BYTES = 10 * 2**20
MAX_PIXELS = 50_000_000
REMEDY = f"upload a PNG, JPEG, WebP, GIF or BMP of at most 10 MB and {MAX_PIXELS:,} pixels"


def read_image(path: Path, shape: tuple[int, int, int]) -> Float32[np.ndarray, "c h w"]:
    """Read an uploaded image in the shape of a dataset's images.

    Format, bytes and pixels are checked before any pixel is decoded. The image is cropped around
    its centre and resized as images of a folder are, so that the same file gives the same values.

    Parameters
    ----------
    path : Path
        The uploaded file.
    shape : tuple of int
        Channels, height and width of the dataset's images.

    Returns
    -------
    float32 array of shape (c, h, w)
        Pixel values in [0, 1].

    Raises
    ------
    UserError
        If the file is damaged, is not of an allowed format, or is above 10 MB or 50 million pixels.
    """
    channels, height, width = shape
    name = "".join(c if c.isprintable() else "?" for c in path.name)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise UserError(f"{name}: it has {size / 2**20:,.0f} MB; {REMEDY}")
    try:
        pixels = decode(
            path, height, width, grey=channels == 1, formats=FORMATS, max_pixels=MAX_PIXELS
        )
    except UnreadableError as error:
        raise UserError(f"{name}: {error}; {REMEDY}") from error
    # The same division as in ImageTable.images.
    return np.divide(pixels, np.float32(255))
