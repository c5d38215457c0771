"""3D chairs (Aubry et al. 2014): 1,393 chair models, each rendered from 62 sides."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from unbraid.data.dataset_info import Blocks, DatasetInfo, Reading
from unbraid.data.downloads import RemoteFile
from unbraid.data.factors import FactorTable
from unbraid.data.image_files import UnreadableError, decoded
from unbraid.errors import UserError

CROP = 400
# A chair's folder, then the view's number, elevation, azimuth and distance.
NAME = re.compile(r"(?:.*/)?([^/]+)/renders/image_\d+_p(\d+)_t(\d+)_r\d+\.png$")


def read(facts: DatasetInfo, files: Mapping[str, Path]) -> Reading:
    """Every rendering, by chair and view: cut square, resized (Lanczos), grey."""
    (path,) = files.values()
    try:
        with tarfile.open(path) as archive:
            names = sorted(name for name in archive.getnames() if name.endswith(".png"))
    except (OSError, EOFError, tarfile.TarError) as error:
        raise UserError(f"{path}: cut short or damaged ({error}); download it again") from error
    views = [NAME.match(name) for name in names]
    strange = [name for name, view in zip(names, views, strict=True) if view is None]
    if strange:
        raise facts.other(f"{strange[0]} is not named as a rendering")
    columns = [
        np.unique([view[group] for view in views if view], return_inverse=True)[1]
        for group in (1, 2, 3)
    ]
    values = np.stack(columns, axis=1).astype(np.int64)
    return Reading(_blocks(facts, path, names), lambda: FactorTable(facts.labels, values, "chair"))


def _blocks(facts: DatasetInfo, path: Path, names: list[str]) -> Blocks:
    def files() -> Iterator[bytes]:
        for name in names:
            file = archive.extractfile(name)
            yield b"" if file is None else file.read()

    try:
        with tarfile.open(path) as archive:
            yield from decoded(files(), len(names), facts.shape, facts.name, CROP)
    except (OSError, EOFError, tarfile.TarError, UnreadableError) as error:
        raise UserError(f"{path}: cut short or damaged ({error}); download it again") from error


CHAIRS = DatasetInfo(
    name="chairs",
    title="3D chairs",
    homepage="https://www.di.ens.fr/willow/research/seeing3Dchairs/",
    licence="none seen: for your own research; do not pass the images on",
    files=(
        RemoteFile(
            "rendered_chairs.tar",
            ("https://www.di.ens.fr/willow/research/seeing3Dchairs/data/rendered_chairs.tar",),
        ),
    ),
    images=86_366,
    shape=(1, 64, 64),
    read=read,
    labels=("chair", "elevation", "azimuth"),
    made="grey, of 600×600, the middle 400×400 resized to 64×64",
    check="that names read …/CHAIR/renders/image_N_pP_tT_rR.png; 62 views of each of 1,393 chairs",
)
