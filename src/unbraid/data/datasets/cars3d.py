"""Cars3D (Reed et al. 2015): 183 car models seen from 24 azimuths and 4 elevations."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from scipy.io import loadmat
from tqdm import tqdm

from unbraid.data.dataset_info import Blocks, DatasetInfo, Reading
from unbraid.data.downloads import RemoteFile
from unbraid.data.factors import FactorSpace
from unbraid.errors import UserError

FOLDER = "data/cars/"


def read(facts: DatasetInfo, files: Mapping[str, Path]) -> Reading:
    """The models of data/cars/list.txt in its order, each a .mat with `im`.

    That is h×w×c×azimuth×elevation. A grid of elevation, azimuth and model; pictures are resized
    (Lanczos).
    """
    (path,) = files.values()
    return Reading(_blocks(facts, path))


def _blocks(facts: DatasetInfo, path: Path) -> Blocks:
    assert facts.factors is not None
    elevations, azimuths, number = facts.factors.sizes
    models: dict[str, UInt8[np.ndarray, "elevation azimuth c h w"]] = {}
    listed: list[str] = []
    try:
        # In the archive's order: going back in it would unpack it again from its beginning.
        with tarfile.open(path) as archive, tqdm(desc=facts.name, unit="model") as bar:
            for member in archive:
                name = member.name.removeprefix("./")
                if name == f"{FOLDER}list.txt":
                    listed = _read(archive, member).decode().split()
                elif name.startswith(FOLDER) and name.endswith(".mat"):
                    models[Path(name).stem] = _model(facts, _read(archive, member))
                    bar.update()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(f"{path}: cut short or damaged ({error}); download it again") from error
    names = [Path(name).stem for name in listed]
    if len(names) != number or not set(names) <= models.keys():
        raise facts.other(
            f"{len(models)} models in {FOLDER}, {len(names)} in its list.txt, not {number}"
        )
    # 216 MB in all, as the grid's slowest factors are the fastest in the files.
    for elevation in range(elevations):
        views = np.stack([models[name][elevation] for name in names], axis=1)
        yield views.reshape(azimuths * number, *facts.shape)


def _model(facts: DatasetInfo, data: bytes) -> UInt8[np.ndarray, "elevation azimuth c h w"]:
    assert facts.factors is not None
    elevations, azimuths, _ = facts.factors.sizes
    try:
        im = loadmat(io.BytesIO(data))["im"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise facts.other(f"a model without im ({error})") from error
    if im.ndim != 5 or im.shape[2:] != (facts.shape[0], azimuths, elevations):
        raise facts.other(f"im of {im.shape}")
    views = im.transpose(4, 3, 0, 1, 2).astype(np.uint8)
    size = (facts.shape[2], facts.shape[1])
    small = [
        np.asarray(Image.fromarray(view).resize(size, Image.Resampling.LANCZOS))
        for view in views.reshape(-1, *views.shape[2:])
    ]
    return np.stack(small).transpose(0, 3, 1, 2).reshape(elevations, azimuths, *facts.shape)


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


CARS3D = DatasetInfo(
    name="cars3d",
    title="Cars3D",
    homepage="http://www.scottreed.info",
    licence="none seen: for your own research; do not pass the images on",
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
    made="of 128×128 resized to 64×64, the models in list.txt's order",
    check="that list.txt names one model a line; that azimuth turns and elevation tilts",
)
