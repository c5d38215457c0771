"""dSprites (Matthey et al. 2017): 737,280 sprites, rendered exactly or from the official archive.

The renderer reproduces every real image that was available: 320 frames of the official animation
and 43 images of the official notebook. The number of white pixels is exactly the published one. As
the geometry is constrained by that total, up to about 150 images may still differ from the archive
by one pixel. Licence of the original: Apache-2.0, Google DeepMind.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8
from tqdm import tqdm

from unbraid.data import cache
from unbraid.data.datasets.dsprites_renderer import SIDE, rasterise
from unbraid.data.factors import FactorSpace
from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.files import written_atomically

FACTORS = FactorSpace(
    names=("shape", "scale", "orientation", "posX", "posY"),
    sizes=(3, 6, 40, 32, 32),
    label="shape",
)
CORNER_SIZES = (3, 2, 40, 2, 2)
SHAPES = ("square", "ellipse", "heart")
PIXELS_ON = 128_328_862
RENDERED_SHA256 = "32433b236083ea279235060ebba87265d0ee1c21c4d393723dbe0ead663dfe04"
URL = (
    "https://github.com/google-deepmind/dsprites-dataset/raw/master/"
    "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
)
OFFICIAL_SHA1_NPZ = "3e0a46a9238e425f46a6ef9e9bdfd7cedb35d50f"
OFFICIAL_SHA256_HDF5 = "729fa22e884c9c500e1f17415d580746b4c5894fbbb780a1319bbcfa39a745bb"
BYTES_PER_IMAGE = SIDE * SIDE // 8
RENDER_AGAIN = "render it again with: unbraid data dsprites --again"
STORE_AGAIN = "store the archive again with: unbraid data dsprites --official FILE"
# Combinations of shape, scale and orientation; each is drawn at all positions at once.
NUM_OUTLINES = FACTORS.sizes[0] * FACTORS.sizes[1] * FACTORS.sizes[2]


class Difference(NamedTuple):
    """An image of the official archive that differs from the rendered one.

    Parameters
    ----------
    item : int
        Index of the image.
    factors : tuple of int
        Its factor values.
    pixels : int
        Number of pixels that differ.
    """

    item: int
    factors: tuple[int, ...]
    pixels: int


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
    outlines, outline_of = np.unique(factors[:, :3], axis=0, return_inverse=True)
    for number, outline in enumerate(outlines.tolist()):
        index = np.nonzero(outline_of == number)[0]
        rows = rasterise(*outline)[factors[index, 3], factors[index, 4]]
        images[index] = np.unpackbits(_pack(rows), axis=1).reshape(-1, SIDE, SIDE)
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
    path, remedy = _path("official"), STORE_AGAIN
    if not path.exists():
        path, remedy = _path("rendered"), RENDER_AGAIN
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
            _outlines(), total=NUM_OUTLINES, desc="rendering dSprites", unit="outline"
        ):
            bits = _pack(rasterise(*outline))
            metadata["pixels_on"] += int(np.bitwise_count(bits).sum())
            yield bits.tobytes()

    path = _path("rendered")
    return {**cache.store(path, chunks(), metadata), "path": str(path)}


def store_official(archive: Path) -> tuple[dict[str, Any], list[Difference]]:
    """Store the official archive in the cache, and compare it with the renderer.

    Afterwards, `load` returns the official images.

    Parameters
    ----------
    archive : Path
        The official .npz or .hdf5 file.

    Returns
    -------
    metadata : dict
        Metadata of the stored table.
    differences : list of Difference
        Images that the renderer draws differently.

    Raises
    ------
    UserError
        If the file is not the official archive.
    """
    blocks = _read_official(archive)
    differences: list[Difference] = []

    def chunks() -> Iterator[bytes]:
        bar = tqdm(_outlines(), total=NUM_OUTLINES, desc="comparing dSprites", unit="outline")
        for number, (outline, images) in enumerate(zip(bar, blocks, strict=True)):
            bits = np.packbits(images.reshape(len(images), -1), axis=1)
            wrong_n = np.bitwise_count(bits ^ _pack(rasterise(*outline))).sum(axis=1)
            for position in np.nonzero(wrong_n)[0].tolist():
                item = number * len(images) + position
                factors = FACTORS.factors_of(np.array([item]))[0].tolist()
                differences.append(Difference(item, tuple(factors), int(wrong_n[position])))
            yield bits.tobytes()

    metadata = {"source": "official", "images": len(FACTORS), "archive": archive.name}
    metadata = cache.store(_path("official"), chunks(), metadata)
    with written_atomically(_path("differences")) as file:
        lines = ["item,shape,scale,orientation,posX,posY,pixels"]
        lines += [",".join(map(str, (d.item, *d.factors, d.pixels))) for d in differences]
        file.write("\n".join([*lines, ""]).encode())
    return {**metadata, "path": str(_path("official"))}, differences


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
    path = _path("rendered")
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


def prepare_official(archive: Path) -> str:
    """Store the official archive in the cache, and describe how it differs from the renderer.

    Parameters
    ----------
    archive : Path
        The official .npz or .hdf5 file.

    Returns
    -------
    str
        Number of images that differ and the first of them, in a few lines.

    Raises
    ------
    UserError
        If the file is not the official archive.
    """
    metadata, differences = store_official(archive)
    lines = [
        f"{archive.name}: the official archive; {len(differences)} of {len(FACTORS):,} images"
        " differ from the renderer; the official images are used from now on",
        f"stored in {metadata['path']}",
    ]
    if differences:
        lines.append(f"all differences are listed in {_path('differences')}; the first:")
        lines += [f"  {_describe(difference)}" for difference in differences[:10]]
    return "\n".join(lines)


def _describe(difference: Difference) -> str:
    values = zip(FACTORS.names, difference.factors, strict=True)
    factors = ", ".join(f"{name} {value}" for name, value in values)
    return f"image {difference.item} ({factors}): {difference.pixels} pixel(s)"


def _path(source: str) -> Path:
    suffix = "csv" if source == "differences" else "bits"
    return cache.cache_dir() / f"dsprites-{source}.{suffix}"


def _outlines() -> Iterator[tuple[int, int, int]]:
    shapes, scales, orientations = map(range, FACTORS.sizes[:3])
    return itertools.product(shapes, scales, orientations)


def _pack(rows: np.ndarray) -> UInt8[np.ndarray, "n bytes"]:
    return rows.reshape(-1, SIDE).astype(">u8").view(np.uint8)


def _read_official(archive: Path) -> Iterator[UInt8[np.ndarray, "n 64 64"]]:
    """Verify the archive, and read the 1,024 positions of one outline at a time."""
    hdf5 = archive.suffix in (".hdf5", ".h5")
    algorithm, expected = ("sha256", OFFICIAL_SHA256_HDF5) if hdf5 else ("sha1", OFFICIAL_SHA1_NPZ)
    try:
        with archive.open("rb") as file:
            actual = hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise UserError(
            f"{archive}: cannot be read ({error.strerror}); pass the official .npz or .hdf5"
        ) from error
    if actual != expected:
        raise UserError(
            f"{archive}: its {algorithm.upper()} is {actual}, but that of the official archive is"
            f" {expected}; download it again from {URL}"
        )
    return _read_hdf5(archive) if hdf5 else _read_npz(archive)


def _read_npz(archive: Path) -> Iterator[UInt8[np.ndarray, "n 64 64"]]:
    positions = len(FACTORS) // NUM_OUTLINES
    with zipfile.ZipFile(archive) as members, members.open("imgs.npy") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        for _ in range(NUM_OUTLINES):
            pixels = np.frombuffer(file.read(positions * SIDE * SIDE), np.uint8)
            yield pixels.reshape(positions, SIDE, SIDE)


def _read_hdf5(archive: Path) -> Iterator[UInt8[np.ndarray, "n 64 64"]]:
    try:
        import h5py
    except ImportError as error:
        raise UserError(
            f"{archive}: h5py is required to read it; install it with pip install"
            " 'unbraid[datasets]', or pass the .npz"
        ) from error
    positions = len(FACTORS) // NUM_OUTLINES
    with h5py.File(archive) as file:
        images = file["imgs"]
        assert isinstance(images, h5py.Dataset)
        for number in range(NUM_OUTLINES):
            yield np.asarray(images[number * positions : (number + 1) * positions])
