"""CelebA (Liu et al. 2015): 202,599 faces with 40 attributes."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unbraid.data.dataset_info import Blocks, DatasetInfo, Reading
from unbraid.data.downloads import RemoteFile
from unbraid.data.factors import FactorTable
from unbraid.data.image_files import UnreadableError, decoded
from unbraid.errors import UserError

ARCHIVE, ATTRIBUTES = "img_align_celeba.zip", "list_attr_celeba.txt"
FOLDER = "img_align_celeba/"
CROP = 178
DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="


def read(facts: DatasetInfo, files: Mapping[str, Path]) -> Reading:
    """The aligned pictures in the order of the attribute list: cut square, resized (Lanczos)."""
    names, pictures, values = _attributes(facts, files[ATTRIBUTES])
    return Reading(
        _blocks(facts, files[ARCHIVE], pictures), lambda: FactorTable(tuple(names), values)
    )


def _attributes(
    facts: DatasetInfo, path: Path
) -> tuple[list[str], list[str], Int[np.ndarray, "n f"]]:
    """Attribute names, file names, and 0 or 1 for the list's −1 or 1."""
    lines = path.read_text().splitlines()
    if len(lines) < 3 or not lines[0].strip().isdecimal():
        raise facts.other(f"{path.name} does not begin with its number of pictures")
    names, rows = lines[1].split(), [line.split() for line in lines[2:] if line.strip()]
    wrong = [row for row in rows if len(row) != 1 + len(names) or set(row[1:]) - {"-1", "1"}]
    if wrong or len(rows) != int(lines[0]):
        row = " ".join(wrong[0][:4]) if wrong else f"{len(rows):,} rows"
        raise facts.other(f"{path.name}: {row} where {lines[0].strip()} rows of ±1 should be")
    values = np.array([[flag == "1" for flag in row[1:]] for row in rows], np.int64)
    return names, [row[0] for row in rows], values


def _blocks(facts: DatasetInfo, path: Path, pictures: list[str]) -> Blocks:
    def files() -> Iterator[bytes]:
        for name in pictures:
            yield archive.read(FOLDER + name)

    try:
        with zipfile.ZipFile(path) as archive:
            yield from decoded(files(), len(pictures), facts.shape, facts.name, CROP)
    except KeyError as error:
        raise facts.other(f"{error.args[0]}") from error
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, UnreadableError) as error:
        raise UserError(f"{path}: cut short or damaged ({error}); download it again") from error


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
    made="of 178×218 cut square around the centre and resized to 64×64",
    check="that Google Drive gives the files and no page; faces upright and centred after the cut",
)
