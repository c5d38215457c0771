"""The official archive of dSprites, stored in the cache and compared with the renderer."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from unbraid.data import cache
from unbraid.data.datasets.dsprites import (
    FACTORS,
    NUM_OUTLINES,
    outlines,
    pack_rows,
    table_path,
)
from unbraid.data.datasets.dsprites_renderer import SIDE, rasterise
from unbraid.errors import UserError
from unbraid.files import written_atomically

URL = (
    "https://github.com/google-deepmind/dsprites-dataset/raw/master/"
    "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
)
OFFICIAL_SHA1_NPZ = "3e0a46a9238e425f46a6ef9e9bdfd7cedb35d50f"
OFFICIAL_SHA256_HDF5 = "729fa22e884c9c500e1f17415d580746b4c5894fbbb780a1319bbcfa39a745bb"


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


def store(archive: Path) -> tuple[dict[str, Any], list[Difference]]:
    """Store the official archive in the cache, and compare it with the renderer.

    Afterwards, `dsprites.load` returns the official images.

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
    blocks = _read(archive)
    differences: list[Difference] = []

    def chunks() -> Iterator[bytes]:
        bar = tqdm(outlines(), total=NUM_OUTLINES, desc="comparing dSprites", unit="outline")
        for number, (outline, images) in enumerate(zip(bar, blocks, strict=True)):
            bits = np.packbits(images.reshape(len(images), -1), axis=1)
            wrong_n = np.bitwise_count(bits ^ pack_rows(rasterise(*outline))).sum(axis=1)
            for position in np.nonzero(wrong_n)[0].tolist():
                item = number * len(images) + position
                factors = FACTORS.factors_of(np.array([item]))[0].tolist()
                differences.append(Difference(item, tuple(factors), int(wrong_n[position])))
            yield bits.tobytes()

    metadata = {"source": "official", "images": len(FACTORS), "archive": archive.name}
    metadata = cache.store(table_path("official"), chunks(), metadata)
    with written_atomically(_differences_file()) as file:
        lines = ["item,shape,scale,orientation,posX,posY,pixels"]
        lines += [",".join(map(str, (d.item, *d.factors, d.pixels))) for d in differences]
        file.write("\n".join([*lines, ""]).encode())
    return {**metadata, "path": str(table_path("official"))}, differences


def prepare(archive: Path) -> str:
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
    metadata, differences = store(archive)
    lines = [
        f"{archive.name}: the official archive; {len(differences)} of {len(FACTORS):,} images"
        " differ from the renderer; the official images are used from now on",
        f"stored in {metadata['path']}",
    ]
    if differences:
        lines.append(f"all differences are listed in {_differences_file()}; the first:")
        lines += [f"  {_describe(difference)}" for difference in differences[:10]]
    return "\n".join(lines)


def _describe(difference: Difference) -> str:
    values = zip(FACTORS.names, difference.factors, strict=True)
    factors = ", ".join(f"{name} {value}" for name, value in values)
    return f"image {difference.item} ({factors}): {difference.pixels} pixel(s)"


def _differences_file() -> Path:
    return cache.cache_dir() / "dsprites-differences.csv"


def _read(archive: Path) -> Iterator[UInt8[np.ndarray, "n 64 64"]]:
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
