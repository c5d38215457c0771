"""3D Shapes (Burgess & Kim 2018): 480,000 images of a solid in a room, six factors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unbraid.data.dataset_info import Blocks, DatasetInfo, ParsedFiles
from unbraid.data.downloads import RemoteFile
from unbraid.data.factors import FactorSpace
from unbraid.errors import UserError

ROWS = 1_000


def read(info: DatasetInfo, files: Mapping[str, Path]) -> ParsedFiles:
    """Read the dataset `images` (n×h×w×c, uint8), in the order of the grid.

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
        If the archive is damaged or has another layout, or if h5py is not installed.
    """
    (path,) = files.values()
    return ParsedFiles(_blocks(info, path))


def _blocks(info: DatasetInfo, path: Path) -> Blocks:
    try:
        import h5py
    except ImportError as error:
        raise UserError(
            f"{path}: h5py is required to read it; install it with pip install 'unbraid[datasets]'"
        ) from error
    try:
        with h5py.File(path) as file:
            images = file.get("images")
            c, h, w = info.shape
            expected = (info.images, h, w, c)
            if not isinstance(images, h5py.Dataset) or images.shape != expected:
                actual = images.shape if isinstance(images, h5py.Dataset) else list(file)
                raise info.layout_error(f"{actual}, expected images of shape {expected}")
            _require_grid(info, file.get("labels"))
            for start in tqdm(range(0, len(images), ROWS), desc=info.name, unit="block"):
                block = np.asarray(images[start : start + ROWS], np.uint8)
                yield np.ascontiguousarray(block.transpose(0, 3, 1, 2))
    except OSError as error:
        raise UserError(f"{path}: truncated or damaged ({error}); download it again") from error


def _require_grid(info: DatasetInfo, labels: object) -> None:
    """Raise `UserError` unless the labels, which are values, run through the grid in order."""
    values = np.asarray(labels)
    assert info.factors is not None
    if values.shape != (info.images, len(info.factors.names)):
        raise info.layout_error(f"labels of shape {values.shape}")
    index = [np.unique(column, return_inverse=True)[1] for column in values.T]
    grid = info.factors.factors_of(np.arange(info.images))
    if (np.stack(index, axis=1) != grid).any():
        raise info.layout_error(
            "labels that do not run through the grid with the last factor fastest"
        )


SHAPES3D = DatasetInfo(
    name="shapes3d",
    title="3D Shapes",
    homepage="https://github.com/google-deepmind/3d-shapes",
    licence="Apache-2.0, Google DeepMind",
    files=(
        RemoteFile(
            "3dshapes.h5",
            ("https://storage.googleapis.com/3d-shapes/3dshapes.h5",),
            267_573_662,
            "sha256:0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785",
        ),
    ),
    images=480_000,
    shape=(3, 64, 64),
    read=read,
    factors=FactorSpace(
        ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"),
        (10, 10, 10, 8, 4, 15),
        "shape",
    ),
    to_verify="`labels` run through the grid (the reader checks it); an image of each shape",
)
