"""SmallNORB (LeCun et al. 2004): photographs of 50 toys of 5 categories."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from tqdm import tqdm

from unbraid.data.dataset_info import Blocks, DatasetInfo, ParsedFiles
from unbraid.data.downloads import RemoteFile
from unbraid.data.factors import FactorTable
from unbraid.data.image_files import resize
from unbraid.errors import UserError

URL = "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
TRAIN = "smallnorb-5x46789x9x18x6x2x96x96-training-"
TEST = "smallnorb-5x01235x9x18x6x2x96x96-testing-"
TYPES = {0x1E3D4C55: np.dtype("<u1"), 0x1E3D4C54: np.dtype("<i4")}
NAMES = ("category", "elevation", "azimuth", "lighting")
OFFICIAL = {
    (TRAIN, "dat"): (
        131_896_188,
        "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873",
    ),
    (TRAIN, "cat"): (
        348,
        "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa",
    ),
    (TRAIN, "info"): (
        71_052,
        "de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32",
    ),
    (TEST, "dat"): (
        130_799_817,
        "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474",
    ),
    (TEST, "cat"): (
        347,
        "ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff",
    ),
    (TEST, "info"): (
        10_428,
        "16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2",
    ),
}


def read(info: DatasetInfo, files: Mapping[str, Path]) -> ParsedFiles:
    """Read the left images of the training half and then of the test half, resized (Lanczos).

    The instance (which toy of its category) is not a factor, as in Locatello et al. 2019.

    Parameters
    ----------
    info : DatasetInfo
        The dataset.
    files : mapping of str to Path
        The official files by their name.

    Returns
    -------
    ParsedFiles
        Blocks of images, and the factors category, elevation, azimuth and lighting.

    Raises
    ------
    UserError
        If a file is damaged or has another layout.
    """
    halves = [
        (_array(info, files, stem, "cat"), _array(info, files, stem, "info"))
        for stem in _stems(files)
    ]
    for cat, view in halves:
        if cat.ndim != 1 or view.shape != (len(cat), 4):
            raise info.layout_error(f"categories of shape {cat.shape}, infos of {view.shape}")
    columns = [
        np.column_stack([cat, view[:, 1], view[:, 2] // 2, view[:, 3]]) for cat, view in halves
    ]
    values = np.concatenate(columns).astype(np.int64)
    if values.min() < 0 or (values.max(axis=0) >= (5, 9, 18, 6)).any():
        raise info.layout_error(f"labels up to {values.max(axis=0).tolist()}")
    return ParsedFiles(_blocks(info, files), lambda: FactorTable(NAMES, values, "category"))


def _stems(files: Mapping[str, Path]) -> list[str]:
    return list(dict.fromkeys(name.rpartition("-")[0] + "-" for name in files))


def _blocks(info: DatasetInfo, files: Mapping[str, Path]) -> Blocks:
    for stem in _stems(files):
        images = _array(info, files, stem, "dat")
        if images.ndim != 4 or images.shape[1] != 2:
            raise info.layout_error(f"images of shape {images.shape}")
        for start in tqdm(range(0, len(images), 512), desc=info.name, unit="block"):
            left = images[start : start + 512, 0]
            yield np.stack([resize(image, *info.shape[1:]) for image in left])[:, None]


def _array(
    info: DatasetInfo, files: Mapping[str, Path], stem: str, kind: str
) -> Shaped[np.ndarray, "..."]:
    """Read a file in NORB's format: type, number of dimensions, at least three sizes, values."""
    path = files[f"{stem}{kind}.mat.gz"]
    try:
        with gzip.open(path) as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: truncated or damaged ({error}); download it again") from error
    magic, dimensions = np.frombuffer(data, "<i4", 2) if len(data) >= 8 else (0, 0)
    if int(magic) not in TYPES or not 1 <= dimensions <= 8:
        raise info.layout_error(f"{path.name} is not a NORB file")
    start = 8 + 4 * max(3, int(dimensions))
    shape = np.frombuffer(data, "<i4", int(dimensions), 8)
    dtype = TYPES[int(magic)]
    if len(data) - start != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
        raise info.layout_error(
            f"{path.name} has {len(data) - start:,} bytes for the shape {shape.tolist()}"
        )
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


SMALLNORB = DatasetInfo(
    name="smallnorb",
    title="SmallNORB",
    homepage="https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/",
    licence="NON-COMMERCIAL: for research, may not be sold; cite LeCun, Huang & Bottou 2004",
    files=tuple(
        RemoteFile(name := f"{stem}{kind}.mat.gz", (URL + name,), size, f"sha256:{digest}")
        for (stem, kind), (size, digest) in OFFICIAL.items()
    ),
    images=48_600,
    shape=(1, 64, 64),
    read=read,
    labels=NAMES,
    preprocessing="left camera only, resized from 96×96 to 64×64; the instance is not a factor",
    to_verify="each combination of the four factors occurs 10 times (10 toys per category)",
)
