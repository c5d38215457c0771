"""Cars3D (Reed et al. 2015): 183 car models seen from 24 azimuths and 4 elevations."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from scipy.io import loadmat
from tqdm import tqdm

from unbraid.data.dataset_info import Blocks, DatasetInfo, ParsedFiles
from unbraid.data.downloads import RemoteFile
from unbraid.data.factors import FactorSpace
from unbraid.data.image_files import resize
from unbraid.errors import UserError

FOLDER = "data/cars/"


def read(info: DatasetInfo, files: Mapping[str, Path]) -> ParsedFiles:
    """Read the models in the order of data/cars/list.txt, resized (Lanczos).

    Each model is a .mat file whose array `im` is of shape h×w×c×azimuth×elevation. The factors are
    a grid of elevation, azimuth and model.

    Parameters
    ----------
    info : DatasetInfo
        The dataset.
    files : mapping of str to Path
        The official files by their name.

    Returns
    -------
    ParsedFiles
        Blocks of images.

    Raises
    ------
    UserError
        If an archive is damaged or has another layout.
    """
    (path,) = files.values()
    return ParsedFiles(_blocks(info, path))


def _blocks(info: DatasetInfo, path: Path) -> Blocks:
    assert info.factors is not None
    elevations, azimuths, number = info.factors.sizes
    models: dict[str, UInt8[np.ndarray, "elevation azimuth c h w"]] = {}
    listed: list[str] = []
    try:
        # In the archive's order, since every seek backwards would decompress it from the start.
        with tarfile.open(path) as archive, tqdm(desc=info.name, unit="model") as bar:
            for member in archive:
                name = member.name.removeprefix("./")
                if name == f"{FOLDER}list.txt":
                    listed = _member(archive, member).decode().split()
                elif name.startswith(FOLDER) and name.endswith(".mat"):
                    models[Path(name).stem] = _model(info, _member(archive, member))
                    bar.update()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(f"{path}: truncated or damaged ({error}); download it again") from error
    names = [Path(name).stem for name in listed]
    if len(names) != number or not set(names) <= models.keys():
        raise info.layout_error(
            f"{len(models)} models in {FOLDER} and {len(names)} in its list.txt, expected {number}"
        )
    # All images are in memory (216 MB): the slowest factor of the grid is the fastest in the files.
    for elevation in range(elevations):
        views = np.stack([models[name][elevation] for name in names], axis=1)
        yield views.reshape(azimuths * number, *info.shape)


def _model(info: DatasetInfo, data: bytes) -> UInt8[np.ndarray, "elevation azimuth c h w"]:
    assert info.factors is not None
    elevations, azimuths, _ = info.factors.sizes
    try:
        im = loadmat(io.BytesIO(data))["im"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise info.layout_error(f"a model without the array im: {error}") from error
    if im.ndim != 5 or im.shape[2:] != (info.shape[0], azimuths, elevations):
        raise info.layout_error(f"an array im of shape {im.shape}")
    views = im.transpose(4, 3, 0, 1, 2).astype(np.uint8)
    resized = [resize(view, *info.shape[1:]) for view in views.reshape(-1, *views.shape[2:])]
    return np.stack(resized).transpose(0, 3, 1, 2).reshape(elevations, azimuths, *info.shape)


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


CARS3D = DatasetInfo(
    name="cars3d",
    title="Cars3D",
    homepage="http://www.scottreed.info",
    licence="none published: for your own research; do not redistribute the images",
    files=(
        RemoteFile(
            "nips2015-analogy-data.tar.gz",
            ("http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",),
            0,
            "md5:4e866a7919c1beedf53964e6f7a23686",
        ),
    ),
    images=17_568,
    shape=(3, 64, 64),
    read=read,
    factors=FactorSpace(("elevation", "azimuth", "object_type"), (4, 24, 183), "object_type"),
    preprocessing="resized from 128×128 to 64×64; models in the order of list.txt",
    to_verify="list.txt names one model per line; azimuth turns and elevation tilts",
)
