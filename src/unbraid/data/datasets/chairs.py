"""3D chairs (Aubry et al. 2014): 1,393 chair models, each rendered from 62 viewpoints."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from unbraid.data.dataset_info import Blocks, DatasetInfo, ParsedFiles
from unbraid.data.downloads import RemoteFile
from unbraid.data.factors import FactorTable
from unbraid.data.image_files import UnreadableError, decode_all
from unbraid.errors import UserError

CROP = 400
# Folder of the chair, then number, elevation, azimuth and distance of the view.
NAME = re.compile(r"(?:.*/)?([^/]+)/renders/image_\d+_p(\d+)_t(\d+)_r\d+\.png$")


def read(info: DatasetInfo, files: Mapping[str, Path]) -> ParsedFiles:
    """Read every rendering by chair and view, in grey, cropped and resized (Lanczos).

    Parameters
    ----------
    info : DatasetInfo
        The dataset.
    files : mapping of str to Path
        The official files by their name.

    Returns
    -------
    ParsedFiles
        Blocks of images, and the factors chair, elevation and azimuth.

    Raises
    ------
    UserError
        If an archive is damaged or has another layout.
    """
    (path,) = files.values()
    try:
        with tarfile.open(path) as archive:
            names = sorted(name for name in archive.getnames() if name.endswith(".png"))
    except (OSError, EOFError, tarfile.TarError) as error:
        raise UserError(f"{path}: truncated or damaged ({error}); download it again") from error
    views = [NAME.match(name) for name in names]
    unmatched = [name for name, view in zip(names, views, strict=True) if view is None]
    if unmatched:
        raise info.layout_error(f"unexpected file name {unmatched[0]}")
    columns = [
        np.unique([view[group] for view in views if view], return_inverse=True)[1]
        for group in (1, 2, 3)
    ]
    values = np.stack(columns, axis=1).astype(np.int64)
    return ParsedFiles(
        _blocks(info, path, names), lambda: FactorTable(info.labels, values, "chair")
    )


def _blocks(info: DatasetInfo, path: Path, names: list[str]) -> Blocks:
    def files() -> Iterator[bytes]:
        for name in names:
            file = archive.extractfile(name)
            yield b"" if file is None else file.read()

    try:
        with tarfile.open(path) as archive:
            yield from decode_all(files(), len(names), info.shape, info.name, CROP)
    except (OSError, EOFError, tarfile.TarError, UnreadableError) as error:
        raise UserError(f"{path}: truncated or damaged ({error}); download it again") from error


CHAIRS = DatasetInfo(
    name="chairs",
    title="3D chairs",
    homepage="https://www.di.ens.fr/willow/research/seeing3Dchairs/",
    licence="none published: for your own research; do not redistribute the images",
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
    preprocessing="grey, cropped from 600×600 to the centred 400×400 and resized to 64×64",
    to_verify="names are …/CHAIR/renders/image_N_pP_tT_rR.png; 62 views of each of 1,393 chairs",
)
