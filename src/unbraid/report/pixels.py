"""Images in [0, 1] as bytes: pixels, PNG, animated GIF and data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

FRAME_MS = 120


def to_pixels(images: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Convert intensities in [0, 1] to bytes, rounded; values outside are clipped."""
    return np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)


def encode_png(picture: Image.Image, *, optimize: bool = False) -> bytes:
    """Encode a picture as PNG; `optimize` gives smaller files and takes longer."""
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=optimize)
    return file.getvalue()


def encode_gif(frames: Sequence[Image.Image]) -> bytes:
    """Encode frames as an endlessly repeated GIF."""
    file = io.BytesIO()
    frames[0].save(
        file,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=FRAME_MS,
        loop=0,
    )
    return file.getvalue()


def forth_and_back(columns: int) -> list[int]:
    """Return the order of frames that runs through all columns and back, without a jump."""
    return [*range(columns), *range(columns - 2, 0, -1)]


def data_uri(content: bytes, kind: str = "png") -> str:
    """Return an encoded picture as a URI that a page can contain."""
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()
