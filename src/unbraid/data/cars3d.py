"""Cars3D (Reed et al. 2015): 183 car models seen from 24 azimuths and 4 elevations."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from scipy.io import loadmat
from tqdm import tqdm

from unbraid.data.factors import FactorSpace
from unbraid.data.facts import Blocks, Facts, Reading
from unbraid.data.fetch import Remote
from unbraid.errors import UserError

FOLDER = "data/cars/"


def read(facts: Facts, files: Mapping[str, Path]) -> Reading:
    """The models of data/cars/list.txt in its order, each a .mat with `im`.

    That is h×w×c×azimuth×elevation. A grid of elevation, azimuth and model; pictures are resized
    (Lanczos).
    """
    (path,) = files.values()
    return Reading(_blocks(facts, path))


def _blocks(facts: Facts, path: Path) -> Blocks:
    assert facts.factors is not None
    elevations, azimuths, models = facts.factors.sizes
    c, h, w = facts.shape
    # 216 MB, as the grid's slowest factors are the fastest in the files.
    table = np.empty((elevations, azimuths, models, c, h, w), np.uint8)
    try:
        with tarfile.open(path) as archive:
            members = {m.name.removeprefix("./"): m for m in archive.getmembers()}
            if f"{FOLDER}list.txt" not in members:
                raise facts.other(f"no {FOLDER}list.txt in the archive")
            listed = _read(archive, members[f"{FOLDER}list.txt"]).decode().split()
            if len(listed) != models:
                raise facts.other(f"{len(listed)} models in list.txt, not {models}")
            for number, name in enumerate(tqdm(listed, desc=facts.name, unit="model")):
                file = FOLDER + Path(name).with_suffix(".mat").name
                if file not in members:
                    raise facts.other(f"no {file} in the archive")
                table[:, :, number] = _model(facts, _read(archive, members[file]))
    except (OSError, EOFError, tarfile.TarError) as error:
        raise UserError(f"{path}: cut short or damaged ({error}); download it again") from error
    yield from table.reshape(elevations, azimuths * models, c, h, w)


def _model(facts: Facts, data: bytes) -> UInt8[np.ndarray, "elevation azimuth c h w"]:
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


CARS3D = Facts(
    name="cars3d",
    title="Cars3D",
    homepage="http://www.scottreed.info",
    licence="none seen: for your own research; do not pass the images on",
    files=(
        Remote(
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
