"""MNIST (LeCun et al. 1998) and Fashion-MNIST (Xiao et al. 2017): 70,000 images of 28×28."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from unbraid.data.dataset_info import Blocks, DatasetInfo, ParsedFiles
from unbraid.data.downloads import RemoteFile
from unbraid.data.factors import FactorTable
from unbraid.errors import UserError

HALVES = ("train", "t10k")
IMAGES, LABELS = "images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"


def read(info: DatasetInfo, files: Mapping[str, Path]) -> ParsedFiles:
    """Read the training images and then the test images, in the IDX format, with their classes.

    Parameters
    ----------
    info : DatasetInfo
        The dataset.
    files : mapping of str to Path
        The official files by their name.

    Returns
    -------
    ParsedFiles
        Blocks of images, and the class as the only factor.

    Raises
    ------
    UserError
        If a file is damaged or has another layout.
    """
    labels = {half: _idx(info, files[f"{half}-{LABELS}"], 1) for half in HALVES}
    values = np.concatenate([*labels.values()]).astype(np.int64)[:, None]

    def blocks() -> Blocks:
        for half in HALVES:
            images = _idx(info, files[f"{half}-{IMAGES}"], 3)
            if len(images) != len(labels[half]):
                raise info.layout_error(f"{len(images):,} images for {len(labels[half]):,} labels")
            yield images[:, None]

    return ParsedFiles(blocks(), lambda: FactorTable(info.labels, values, info.labels[0]))


def _idx(info: DatasetInfo, path: Path, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """Read an IDX file: two zeros, type 8 (uint8), dimensions, sizes (big-endian), values."""
    try:
        with gzip.open(path) as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: truncated or damaged ({error}); download it again") from error
    start = 4 + 4 * dimensions
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) < start:
        raise info.layout_error(f"{path.name} is not an IDX file with {dimensions} dimensions")
    shape = np.frombuffer(data, ">u4", dimensions, 4).tolist()
    if len(data) - start != math.prod(shape):
        raise info.layout_error(
            f"{path.name} has {len(data) - start:,} bytes for the shape {shape}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _files(base: str, sizes: tuple[int, ...], digests: tuple[str, ...]) -> tuple[RemoteFile, ...]:
    names = [f"{half}-{kind}" for half in HALVES for kind in (IMAGES, LABELS)]
    return tuple(
        RemoteFile(name, (base + name,), size, f"sha256:{digest}")
        for name, size, digest in zip(names, sizes, digests, strict=True)
    )


MNIST = DatasetInfo(
    name="mnist",
    title="MNIST",
    homepage="http://yann.lecun.com/exdb/mnist/",
    licence="CC BY-SA 3.0 by convention; the official page names none",
    files=_files(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        (9_912_422, 28_881, 1_648_877, 4_542),
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    images=70_000,
    shape=(1, 28, 28),
    read=read,
    labels=("digit",),
)
FASHION_MNIST = DatasetInfo(
    name="fashion-mnist",
    title="Fashion-MNIST",
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT, Zalando SE",
    files=_files(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        (26_421_880, 29_515, 4_422_102, 5_148),
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    images=70_000,
    shape=(1, 28, 28),
    read=read,
    labels=("garment",),
)
