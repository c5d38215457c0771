"""CelebA (Liu et al. 2015): 202,599 faces with 40 attributes."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unbraid.data.dataset_info import Blocks, DatasetInfo, ParsedFiles
from unbraid.data.downloads import RemoteFile
from unbraid.data.factors import FactorTable
from unbraid.data.image_files import UnreadableError, decode_all
from unbraid.errors import UserError

ARCHIVE, ATTRIBUTES = "img_align_celeba.zip", "list_attr_celeba.txt"
FOLDER = "img_align_celeba/"
CROP = 178
DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="


def read(info: DatasetInfo, files: Mapping[str, Path]) -> ParsedFiles:
    """Read the aligned images in the order of the attribute list, cropped and resized (Lanczos).

    Parameters
    ----------
    info : DatasetInfo
        The dataset.
    files : mapping of str to Path
        The official files by their name.

    Returns
    -------
    ParsedFiles
        Blocks of images, and 40 attributes of values 0 and 1.

    Raises
    ------
    UserError
        If an archive is damaged or has another layout.
    """
    names, images, values = _attributes(info, files[ATTRIBUTES])
    return ParsedFiles(
        _blocks(info, files[ARCHIVE], images), lambda: FactorTable(tuple(names), values)
    )


def _attributes(
    info: DatasetInfo, path: Path
) -> tuple[list[str], list[str], Int[np.ndarray, "n f"]]:
    """Attribute names, file names, and values with 0 for −1."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) < 3 or not lines[0].strip().isdecimal():
        raise info.layout_error(f"{path.name} does not begin with the number of images")
    names, rows = lines[1].split(), [line.split() for line in lines[2:] if line.strip()]
    wrong = [row for row in rows if len(row) != 1 + len(names) or set(row[1:]) - {"-1", "1"}]
    if wrong or len(rows) != int(lines[0]):
        row = " ".join(wrong[0][:4]) if wrong else f"{len(rows):,} rows"
        raise info.layout_error(f"{path.name}: {row}, expected {lines[0].strip()} rows of ±1")
    values = np.array([[flag == "1" for flag in row[1:]] for row in rows], np.int64)
    return names, [row[0] for row in rows], values


def _blocks(info: DatasetInfo, path: Path, images: list[str]) -> Blocks:
    def files() -> Iterator[bytes]:
        for name in images:
            yield archive.read(FOLDER + name)

    try:
        with zipfile.ZipFile(path) as archive:
            yield from decode_all(files(), len(images), info.shape, info.name, CROP)
    except KeyError as error:
        raise info.layout_error(f"{error.args[0]}") from error
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, UnreadableError) as error:
        raise UserError(f"{path}: truncated or damaged ({error}); download it again") from error


CELEBA = DatasetInfo(
    name="celeba",
    title="CelebA",
    homepage="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    licence="NON-COMMERCIAL research only: no redistribution, no commercial use of derived data",
    files=(
        RemoteFile(
            ARCHIVE,
            (f"{DRIVE}0B7EVK8r0v71pZjFTYXZWM3FlRnM",),
            1_443_490_838,
            "sha256:46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74",
        ),
        RemoteFile(
            ATTRIBUTES,
            (f"{DRIVE}0B7EVK8r0v71pblRyaVFSWGxPY0U",),
            26_721_026,
            "md5:75e246fa4810816ffd6ee81facbd244c",
        ),
    ),
    images=202_599,
    shape=(3, 64, 64),
    read=read,
    labels=("40 attributes",),
    preprocessing="cropped from 178×218 to the centred 178×178 and resized to 64×64",
    to_verify="Google Drive sends files, not web pages; faces are upright and centred when cropped",
)
