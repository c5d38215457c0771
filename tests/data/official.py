"""Small files in the official formats, and a DatasetInfo that fits them."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

from unbraid.data import PUBLISHED
from unbraid.data.dataset_info import DatasetInfo
from unbraid.data.downloads import RemoteFile
from unbraid.data.factors import FactorSpace

RNG = np.random.default_rng(0)


class Small(NamedTuple):
    """A small release, and the images and factors that its table must have.

    `images` is (n, c, h, w), exact to `tolerance` if images are resized or compressed.
    """

    info: DatasetInfo
    images: np.ndarray
    factors: np.ndarray
    tolerance: float = 0.0


def small_info(name: str, folder: Path, images: int, grid: tuple[int, ...] = ()) -> DatasetInfo:
    """A published dataset with the sizes, digests and number of images of the small files."""
    info = PUBLISHED[name]
    files = tuple(_remote(folder, remote.name) for remote in info.files)
    factors = info.factors
    if grid:
        assert factors is not None
        factors = FactorSpace(factors.names, grid, factors.label)
    return dataclasses.replace(info, files=files, images=images, factors=factors)


def _remote(folder: Path, name: str) -> RemoteFile:
    data = (folder / name).read_bytes()
    return RemoteFile(name, (), len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")


def grid_of(sizes: tuple[int, ...]) -> np.ndarray:
    """Return all combinations, the last factor fastest."""
    return np.stack(np.meshgrid(*map(range, sizes), indexing="ij"), axis=-1).reshape(-1, len(sizes))


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, size=shape, dtype=np.uint8)


def shapes3d(folder: Path) -> Small:
    grid = (2, 1, 2, 1, 2, 3)
    factors, images = grid_of(grid), pixels(24, 64, 64, 3)
    with h5py.File(folder / "3dshapes.h5", "w") as file:
        file.create_dataset("images", data=images)
        # Values instead of indices, as in the release.
        file.create_dataset("labels", data=0.1 * factors)
    return Small(small_info("shapes3d", folder, 24, grid), images.transpose(0, 3, 1, 2), factors)


def mpi3d(folder: Path) -> Small:
    grid = (2, 2, 1, 1, 1, 3, 2)
    images = pixels(24, 64, 64, 3)
    np.savez_compressed(folder / "mpi3d_toy.npz", images=images)
    info = small_info("mpi3d-toy", folder, 24, grid)
    return Small(info, images.transpose(0, 3, 1, 2), grid_of(grid))


def cars3d(folder: Path) -> Small:
    """Images of one colour each, which resizing does not change."""
    elevations, azimuths, models = 2, 3, 2
    colours = pixels(elevations, azimuths, models, 3)
    with tarfile.open(folder / "nips2015-analogy-data.tar.gz", "w:gz") as archive:
        # Not in the order of the list, which is the one to use.
        for model, name in ((1, "car_002_mesh"), (0, "car_010_mesh")):
            im = np.broadcast_to(colours[:, :, model], (128, 128, elevations, azimuths, 3))
            file = io.BytesIO()
            savemat(file, {"im": np.ascontiguousarray(im.transpose(0, 1, 4, 3, 2))})
            add(archive, f"data/cars/{name}.mat", file.getvalue())
        add(archive, "data/cars/list.txt", b"car_010_mesh\ncar_002_mesh\n")
    grid = (elevations, azimuths, models)
    info = small_info("cars3d", folder, 12, grid)
    images = np.broadcast_to(colours.reshape(-1, 3, 1, 1), (12, 3, 64, 64))
    return Small(info, images, grid_of(grid))


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def smallnorb(folder: Path) -> Small:
    names = [remote.name for remote in PUBLISHED["smallnorb"].files]
    greys, labels = [], []
    for half in (names[:3], names[3:]):
        grey = pixels(5, 1, 1)
        category = RNG.integers(0, 5, size=5).astype("<i4")
        info = RNG.integers(0, (10, 9, 18, 6), size=(5, 4)).astype("<i4")
        dat = np.repeat(np.broadcast_to(grey[:, None], (5, 1, 96, 96)), 2, axis=1).copy()
        dat[:, 1] = 7  # right camera, which is not used
        stored = info.copy()
        stored[:, 2] *= 2
        for name, array in zip(half, (dat, category, stored), strict=True):
            magic = 0x1E3D4C55 if array.dtype == np.uint8 else 0x1E3D4C54
            sizes = [*array.shape, 1, 1][: max(3, array.ndim)]
            head = np.array([magic, array.ndim, *sizes], "<i4").tobytes()
            (folder / name).write_bytes(gzip.compress(head + array.tobytes()))
        greys.append(grey)
        labels.append(np.column_stack([category, info[:, 1:]]))
    images = np.broadcast_to(np.concatenate(greys)[:, None], (10, 1, 64, 64))
    return Small(small_info("smallnorb", folder, 10), images, np.concatenate(labels))


def celeba(folder: Path) -> Small:
    """JPEG images of one colour each."""
    colours = pixels(4, 3)
    flags = RNG.integers(0, 2, size=(4, 3))
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for number, colour in enumerate(colours):
            picture = Image.new("RGB", (178, 218), tuple(colour.tolist()))
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=95)
            archive.writestr(f"img_align_celeba/{number + 1:06}.jpg", file.getvalue())
    rows = [
        f"{number + 1:06}.jpg  " + "  ".join("1" if flag else "-1" for flag in row)
        for number, row in enumerate(flags)
    ]
    text = "\n".join(["4", "Bald Smiling Young ", *rows, ""])
    (folder / "list_attr_celeba.txt").write_text(text)
    images = np.broadcast_to(colours[:, :, None, None], (4, 3, 64, 64))
    return Small(small_info("celeba", folder, 4), images, flags, tolerance=3)


def chairs(folder: Path) -> Small:
    greys = pixels(2, 2, 3)
    with tarfile.open(folder / "rendered_chairs.tar", "w") as archive:
        for place, grey in np.ndenumerate(greys):
            chair, elevation, azimuth = place
            # White outside the centred 400×400, which is cropped away.
            picture = np.full((600, 600, 3), 255, np.uint8)
            picture[100:500, 100:500] = grey
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "PNG", compress_level=1)
            view = f"image_{3 * elevation + azimuth:03}_p{20 + 10 * elevation:03}"
            name = f"rendered_chairs/{'ab'[chair]}1f/renders/{view}_t{11 * azimuth:03}_r096.png"
            add(archive, name, file.getvalue())
        add(archive, "rendered_chairs/all_chair_names.mat", b"not a picture")
    images = np.broadcast_to(greys.reshape(-1, 1, 1, 1), (12, 1, 64, 64))
    return Small(small_info("chairs", folder, 12), images, grid_of((2, 2, 3)))


def mnist(folder: Path) -> Small:
    images, labels = [], []
    for half, number in (("train", 6), ("t10k", 3)):
        picture = pixels(number, 28, 28)
        label = RNG.integers(0, 10, size=number).astype(np.uint8)
        for kind, array in (("images-idx3", picture), ("labels-idx1", label)):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (folder / f"{half}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
        images.append(picture)
        labels.append(label)
    return Small(
        small_info("mnist", folder, 9),
        np.concatenate(images)[:, None],
        np.concatenate(labels).astype(np.int64)[:, None],
    )


RELEASES: dict[str, Callable[[Path], Small]] = {
    "shapes3d": shapes3d,
    "mpi3d-toy": mpi3d,
    "cars3d": cars3d,
    "smallnorb": smallnorb,
    "celeba": celeba,
    "chairs": chairs,
    "mnist": mnist,
}
