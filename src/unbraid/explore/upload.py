"""A picture from outside, read with suspicion: a few formats, a few megabytes, a few pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps

from unbraid.errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MOST_BYTES = 10 * 2**20
MOST_PIXELS = 50_000_000
REMEDY = "give a PNG, JPEG, WebP, GIF or BMP"


def read_picture(path: Path, shape: tuple[int, int, int]) -> Float[np.ndarray, "c h w"]:
    """A picture cut to a dataset's shape, in [0, 1]: its middle, scaled, transparency on black.

    UserError, before any pixel is decoded, if it is not one of five formats, above 10 MB or above
    50 million pixels; and if what is inside is broken.
    """
    channels, height, width = shape
    name = "".join(c if c.isprintable() else "?" for c in path.name)
    if path.stat().st_size > MOST_BYTES:
        size = path.stat().st_size / 2**20
        raise UserError(f"{name}: it has {size:,.0f} MB; give a picture of 10 MB or less")
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise _too_many(name, f"{picture.width:,} × {picture.height:,} pixels")
            # Of a JPEG, as few pixels as are needed are decoded at all.
            picture.draft(None, (4 * width, 4 * height))
            upright = ImageOps.exif_transpose(picture).convert("RGBA")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many(name, "too many pixels") from error
    except Image.UnidentifiedImageError as error:
        raise UserError(f"{name}: not a picture that is read here; {REMEDY}") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise UserError(f"{name}: broken inside ({error}); {REMEDY} that opens") from error
    black = Image.new("RGBA", upright.size, "black")
    flat = Image.alpha_composite(black, upright).convert("L" if channels == 1 else "RGB")
    fitted = ImageOps.fit(flat, (width, height), Image.Resampling.BOX)
    pixels = np.asarray(fitted, np.float32).reshape(height, width, channels) / 255
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _too_many(name: str, found: str) -> UserError:
    return UserError(f"{name}: {found}; give a picture of {MOST_PIXELS:,} pixels or fewer")
