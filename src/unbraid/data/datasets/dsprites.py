"""dSprites (Matthey et al. 2017): 737,280 sprites, rendered exactly, or the official archive.

Every real picture available is matched (320 frames of the official animation, 43 pictures of the
official notebook) and the number of pixels on is exactly the published one; by how the total
constrains the geometry, up to about 150 pictures may still differ from the archive by one pixel.
Licence of the original: Apache-2.0, Google DeepMind.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
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
CORNER = (3, 2, 40, 2, 2)
SHAPES = ("square", "ellipse", "heart")
PIXELS_ON = 128_328_862
RENDERED_SHA256 = "32433b236083ea279235060ebba87265d0ee1c21c4d393723dbe0ead663dfe04"
URL = (
    "https://github.com/google-deepmind/dsprites-dataset/raw/master/"
    "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
)
OFFICIAL_SHA1_NPZ = "3e0a46a9238e425f46a6ef9e9bdfd7cedb35d50f"
OFFICIAL_SHA256_HDF5 = "729fa22e884c9c500e1f17415d580746b4c5894fbbb780a1319bbcfa39a745bb"
BYTES_AN_IMAGE = SIDE * SIDE // 8
AGAIN = "draw it again: unbraid data dsprites --again"
OUTLINES = FACTORS.sizes[0] * FACTORS.sizes[1] * FACTORS.sizes[2]


class Difference(NamedTuple):
    """A picture of the official archive that the renderer draws otherwise."""

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
    """Draw sprites by factor index: 0 and 1, rows from top to bottom.

    Shape 0 square, 1 ellipse, 2 heart; scale 0…5; orientation 0…39 (39 is 0 again); positions
    0…31. UserError if an index is out of its range.
    """
    factors = np.stack([shape, scale, orientation, pos_x, pos_y], axis=1).astype(np.int64)
    FACTORS.index_of(factors)
    images = np.empty((len(factors), SIDE, SIDE), np.uint8)
    outlines, which = np.unique(factors[:, :3], axis=0, return_inverse=True)
    for number, (kind, size, angle) in enumerate(outlines.tolist()):
        chosen = np.nonzero(which == number)[0]
        rows = rasterise(kind, size, angle)[factors[chosen, 3], factors[chosen, 4]]
        images[chosen] = np.unpackbits(_packed(rows), axis=1).reshape(-1, SIDE, SIDE)
    return images


def load() -> ImageTable:
    """The whole dataset: the official pictures if they were given, else the rendered ones.

    Renders and stores them at the first call. UserError if the stored file was damaged.
    """
    official = _stored("official")
    if official.exists():
        path, remedy = official, "give the archive again: unbraid data dsprites --official FILE"
    else:
        path, remedy = _stored("rendered"), AGAIN
        if not path.exists():
            store_rendered()
    bits = cache.restore(path, BYTES_AN_IMAGE, remedy)
    return ImageTable("dsprites", bits, SIDE, SIDE, FACTORS)


def load_corner() -> ImageTable:
    """960 of the images, for trials: 2 scales and 2 positions each way.

    Each factor still varies, so that every metric can be computed; no score on it compares with one
    on dSprites.
    """
    whole = load()
    grid = np.meshgrid(*[np.arange(n) for n in CORNER], indexing="ij")
    index = FACTORS.index_of(np.stack([g.reshape(-1) for g in grid], axis=1))
    space = dataclasses.replace(FACTORS, sizes=CORNER)
    return ImageTable("dsprites-corner", np.array(whole.bits[index]), SIDE, SIDE, space)


def store_rendered() -> dict[str, Any]:
    """Draw all pictures into the cache; the facts of what was stored."""
    facts: dict[str, Any] = {"source": "rendered", "images": len(FACTORS), "pixels_on": 0}

    def drawn() -> Iterator[bytes]:
        for outline in tqdm(_outlines(), total=OUTLINES, desc="rendering dSprites", unit="outline"):
            bits = _packed(rasterise(*outline))
            facts["pixels_on"] += int(np.bitwise_count(bits).sum())
            yield bits.tobytes()

    path = _stored("rendered")
    return {**cache.store(path, drawn(), facts), "path": str(path)}


def store_official(archive: Path) -> tuple[dict[str, Any], list[Difference]]:
    """Take the official .npz or .hdf5 into the cache; say which pictures the renderer gets wrong.

    From then on `load` uses the official pictures. UserError if the file is not the archive.
    """
    chunks = _official_chunks(archive)
    differences: list[Difference] = []

    def compared() -> Iterator[bytes]:
        bar = tqdm(_outlines(), total=OUTLINES, desc="comparing dSprites", unit="outline")
        for number, (outline, images) in enumerate(zip(bar, chunks, strict=True)):
            bits = np.packbits(images.reshape(len(images), -1), axis=1)
            wrong_n = np.bitwise_count(bits ^ _packed(rasterise(*outline))).sum(axis=1)
            for item in np.nonzero(wrong_n)[0].tolist():
                number_in_all = number * len(images) + item
                factors = FACTORS.factors_of(np.array([number_in_all]))[0].tolist()
                differences.append(Difference(number_in_all, tuple(factors), int(wrong_n[item])))
            yield bits.tobytes()

    facts = {"source": "official", "images": len(FACTORS), "archive": archive.name}
    facts = cache.store(_stored("official"), compared(), facts)
    with written_atomically(_stored("differences")) as file:
        lines = ["item,shape,scale,orientation,posX,posY,pixels"]
        lines += [",".join(map(str, (d.item, *d.factors, d.pixels))) for d in differences]
        file.write("\n".join([*lines, ""]).encode())
    return {**facts, "path": str(_stored("official"))}, differences


def rendered_report(*, again: bool = False) -> str:
    """Have the rendered pictures in the cache, verified, and say so."""
    path = _stored("rendered")
    if again or not path.exists():
        store_rendered()
    bits = cache.restore(path, BYTES_AN_IMAGE, AGAIN)
    on = sum(int(np.bitwise_count(part).sum()) for part in np.array_split(bits, OUTLINES))
    sha256 = json.loads(path.with_suffix(".json").read_text())["sha256"]
    same = "as published" if on == PIXELS_ON else f"NOT the published {PIXELS_ON:,}"
    agrees = "the reference" if sha256 == RENDERED_SHA256 else "NOT the reference"
    return (
        f"{len(bits):,} images, {on:,} pixels on ({same}), SHA-256 {sha256[:12]}… ({agrees})\n"
        f"in {path}"
    )


def official_report(archive: Path) -> str:
    """Take the official archive and say how many pictures the renderer draws otherwise."""
    facts, differences = store_official(archive)
    lines = [
        f"{archive.name}: the official archive; {len(differences)} of {len(FACTORS):,} pictures"
        " differ from the renderer; the official ones are used from now on",
        f"in {facts['path']}",
    ]
    if differences:
        lines.append(f"each difference is in {_stored('differences')}; the first:")
        lines += [f"  {_describe(difference)}" for difference in differences[:10]]
    return "\n".join(lines)


def _describe(difference: Difference) -> str:
    values = zip(FACTORS.names, difference.factors, strict=True)
    where = ", ".join(f"{name} {value}" for name, value in values)
    return f"picture {difference.item} ({where}): {difference.pixels} pixel(s)"


def _stored(source: str) -> Path:
    suffix = "csv" if source == "differences" else "bits"
    return cache.cache_dir() / f"dsprites-{source}.{suffix}"


def _outlines() -> Iterator[tuple[int, int, int]]:
    shapes, scales, orientations = map(range, FACTORS.sizes[:3])
    return itertools.product(shapes, scales, orientations)


def _packed(rows: np.ndarray) -> UInt8[np.ndarray, "n bytes"]:
    return rows.reshape(-1, SIDE).astype(">u8").view(np.uint8)


def _official_chunks(archive: Path) -> Iterator[UInt8[np.ndarray, "n 64 64"]]:
    """The archive's images, one outline (1,024 positions) at a time."""
    hdf5 = archive.suffix in (".hdf5", ".h5")
    algorithm, expected = ("sha256", OFFICIAL_SHA256_HDF5) if hdf5 else ("sha1", OFFICIAL_SHA1_NPZ)
    try:
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise UserError(
            f"{archive}: cannot be read ({error.strerror}); give the official .npz or .hdf5"
        ) from error
    if found != expected:
        raise UserError(
            f"{archive}: its {algorithm.upper()} is {found}, the official archive's is {expected};"
            f" download it again from {URL}"
        )
    return _read_hdf5(archive) if hdf5 else _read_npz(archive)


def _read_npz(archive: Path) -> Iterator[UInt8[np.ndarray, "n 64 64"]]:
    positions = len(FACTORS) // OUTLINES
    with zipfile.ZipFile(archive) as members, members.open("imgs.npy") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        for _ in range(OUTLINES):
            pixels = np.frombuffer(file.read(positions * SIDE * SIDE), np.uint8)
            yield pixels.reshape(positions, SIDE, SIDE)


def _read_hdf5(archive: Path) -> Iterator[UInt8[np.ndarray, "n 64 64"]]:
    try:
        import h5py
    except ImportError as error:
        raise UserError(
            f"{archive}: HDF5 needs h5py; install it with pip install 'unbraid[datasets]',"
            " or give the .npz"
        ) from error
    positions = len(FACTORS) // OUTLINES
    with h5py.File(archive) as file:
        images = file["imgs"]
        assert isinstance(images, h5py.Dataset)
        for number in range(OUTLINES):
            yield np.asarray(images[number * positions : (number + 1) * positions])
