"""dSprites (Matthey et al. 2017): 737,280 sprites, rendered exactly or from the official archive.

The renderer reproduces every real image that was available: 320 frames of the official animation
and 43 images of the official notebook. The number of white pixels is exactly the published one. As
the geometry is constrained by that total, up to about 150 images may still differ from the archive
by one pixel. Licence of the original: Apache-2.0, Google DeepMind.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8, UInt64
from tqdm import tqdm

from unbraid.data import cache
from unbraid.data.datasets.dsprites_renderer import SIDE, rasterise
from unbraid.data.factors import FactorSpace
from unbraid.data.images import ImageTable

FACTORS = FactorSpace(
    names=("shape", "scale", "orientation", "posX", "posY"),
    sizes=(3, 6, 40, 32, 32),
    label="shape",
)
CORNER_SIZES = (3, 2, 40, 2, 2)
SHAPES = ("square", "ellipse", "heart")
PIXELS_ON = 128_328_862
RENDERED_SHA256 = "32433b236083ea279235060ebba87265d0ee1c21c4d393723dbe0ead663dfe04"
BYTES_PER_IMAGE = SIDE * SIDE // 8
RENDER_AGAIN = "render it again with: unbraid data dsprites --again"
STORE_AGAIN = "store the archive again with: unbraid data dsprites --official FILE"
# Combinations of shape, scale and orientation; each is drawn at all positions at once.
NUM_OUTLINES = FACTORS.sizes[0] * FACTORS.sizes[1] * FACTORS.sizes[2]


def render(
    shape: Int[np.ndarray, " n"],
    scale: Int[np.ndarray, " n"],
    orientation: Int[np.ndarray, " n"],
    pos_x: Int[np.ndarray, " n"],
    pos_y: Int[np.ndarray, " n"],
) -> UInt8[np.ndarray, "n 64 64"]:
    """Render sprites by their factor values.

    Parameters
    ----------
    shape : int array of shape (n,)
        0 square, 1 ellipse, 2 heart.
    scale : int array of shape (n,)
        0 to 5.
    orientation : int array of shape (n,)
        0 to 39; 39 is the same angle as 0.
    pos_x, pos_y : int arrays of shape (n,)
        0 to 31.

    Returns
    -------
    uint8 array of shape (n, 64, 64)
        Pixel values 0 and 1, rows from top to bottom.

    Raises
    ------
    ArgumentError
        If a value is out of range.

    Examples
    --------
    The upright square of the largest scale at the first position is 20 pixels wide:

    >>> square = render(*np.array([[0, 5, 0, 0, 0]]).T)
    >>> square.shape, int(square.sum())
    ((1, 64, 64), 400)
    """
    factors = np.stack([shape, scale, orientation, pos_x, pos_y], axis=1).astype(np.int64)
    FACTORS.index_of(factors)
    images = np.empty((len(factors), SIDE, SIDE), np.uint8)
    unique, outline_of = np.unique(factors[:, :3], axis=0, return_inverse=True)
    for number, outline in enumerate(unique.tolist()):
        index = np.nonzero(outline_of == number)[0]
        rows = rasterise(*outline)[factors[index, 3], factors[index, 4]]
        images[index] = np.unpackbits(pack_rows(rows), axis=1).reshape(-1, SIDE, SIDE)
    return images


def load() -> ImageTable:
    """Load all images: the official ones if the archive has been stored, else the rendered ones.

    The first call renders them into the cache.

    Returns
    -------
    ImageTable
        737,280 images of 1×64×64.

    Raises
    ------
    UserError
        If the stored file is damaged.
    """
    path, remedy = table_path("official"), STORE_AGAIN
    if not path.exists():
        path, remedy = table_path("rendered"), RENDER_AGAIN
        if not path.exists():
            store_rendered()
    bits = cache.restore(path, BYTES_PER_IMAGE, remedy)
    return ImageTable("dsprites", bits, SIDE, SIDE, FACTORS)


def load_corner() -> ImageTable:
    """Load a small subset for trials: 2 scales and 2 positions in each direction.

    Every factor still varies, so that all metrics can be computed; their values are not comparable
    with those on dSprites.

    Returns
    -------
    ImageTable
        960 images of 1×64×64.

    Raises
    ------
    UserError
        If the stored file is damaged.
    """
    whole = load()
    grid = np.meshgrid(*[np.arange(n) for n in CORNER_SIZES], indexing="ij")
    index = FACTORS.index_of(np.stack([g.reshape(-1) for g in grid], axis=1))
    space = dataclasses.replace(FACTORS, sizes=CORNER_SIZES)
    return ImageTable("dsprites-corner", np.array(whole.bits[index]), SIDE, SIDE, space)


def store_rendered() -> dict[str, Any]:
    """Render all images into the cache.

    Returns
    -------
    dict
        Metadata of the stored table.

    Raises
    ------
    UserError
        If the cache folder cannot be written to.
    """
    metadata: dict[str, Any] = {"source": "rendered", "images": len(FACTORS), "pixels_on": 0}

    def chunks() -> Iterator[bytes]:
        for outline in tqdm(
            outlines(), total=NUM_OUTLINES, desc="rendering dSprites", unit="outline"
        ):
            bits = pack_rows(rasterise(*outline))
            metadata["pixels_on"] += int(np.bitwise_count(bits).sum())
            yield bits.tobytes()

    path = table_path("rendered")
    return {**cache.store(path, chunks(), metadata), "path": str(path)}


def prepare(*, again: bool = False) -> str:
    """Render the images into the cache if necessary, and verify them.

    Parameters
    ----------
    again : bool, default False
        Whether to render them even if they exist.

    Returns
    -------
    str
        Description of the table in a few lines.

    Raises
    ------
    UserError
        If the stored file is damaged.
    """
    path = table_path("rendered")
    if again or not path.exists():
        store_rendered()
    bits = cache.restore(path, BYTES_PER_IMAGE, RENDER_AGAIN)
    on = sum(int(np.bitwise_count(part).sum()) for part in np.array_split(bits, NUM_OUTLINES))
    sha256 = cache.read_metadata(path)["sha256"]
    total = "as published" if on == PIXELS_ON else f"NOT the published {PIXELS_ON:,}"
    reference = "the reference" if sha256 == RENDERED_SHA256 else "NOT the reference"
    return (
        f"{len(bits):,} images, {on:,} white pixels ({total}), SHA-256 {sha256[:12]}…"
        f" ({reference})\nstored in {path}"
    )


def table_path(source: str) -> Path:
    """Return the file in the cache for a source of images.

    Parameters
    ----------
    source : {"rendered", "official"}
        Source of the images.

    Returns
    -------
    Path
        File of the table.
    """
    return cache.cache_dir() / f"dsprites-{source}.bits"


def outlines() -> Iterator[tuple[int, int, int]]:
    """Return all combinations of shape, scale and orientation.

    Returns
    -------
    iterator of tuple of int
        Combinations in the order of the images.
    """
    shapes, scales, orientations = map(range, FACTORS.sizes[:3])
    return itertools.product(shapes, scales, orientations)


def pack_rows(rows: UInt64[np.ndarray, "..."]) -> UInt8[np.ndarray, "n bytes"]:
    """Convert rendered rows to the bits of an ImageTable.

    Parameters
    ----------
    rows : uint64 array of shape (..., 64)
        One 64-bit word per row, as `dsprites_renderer.rasterise` returns them.

    Returns
    -------
    uint8 array of shape (n, 512)
        Packed images.
    """
    return rows.reshape(-1, SIDE).astype(">u8").view(np.uint8)
