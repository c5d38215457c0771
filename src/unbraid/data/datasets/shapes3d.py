"""3D Shapes (Burgess & Kim 2018): 480,000 pictures of a solid in a room, six factors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unbraid.data.dataset_info import Blocks, DatasetInfo, Reading
from unbraid.data.downloads import RemoteFile
from unbraid.data.factors import FactorSpace
from unbraid.errors import UserError

ROWS = 1_000


def read(facts: DatasetInfo, files: Mapping[str, Path]) -> Reading:
    """The archive's `images`, n×h×w×c uint8, in the order of the grid."""
    (path,) = files.values()
    return Reading(_blocks(facts, path))


def _blocks(facts: DatasetInfo, path: Path) -> Blocks:
    try:
        import h5py
    except ImportError as error:
        raise UserError(
            f"{path}: HDF5 needs h5py; install it with pip install 'unbraid[datasets]'"
        ) from error
    try:
        with h5py.File(path) as file:
            images = file.get("images")
            c, h, w = facts.shape
            expected = (facts.images, h, w, c)
            if not isinstance(images, h5py.Dataset) or images.shape != expected:
                found = images.shape if isinstance(images, h5py.Dataset) else list(file)
                raise facts.other(f"{found} where images of {expected} should be")
            _require_grid(facts, file.get("labels"))
            for start in tqdm(range(0, len(images), ROWS), desc=facts.name, unit="block"):
                block = np.asarray(images[start : start + ROWS], np.uint8)
                yield np.ascontiguousarray(block.transpose(0, 3, 1, 2))
    except OSError as error:
        raise UserError(f"{path}: cut short or damaged ({error}); download it again") from error


def _require_grid(facts: DatasetInfo, labels: object) -> None:
    """The labels are values, in the order of the grid: as many distinct ones as it has."""
    values = np.asarray(labels)
    assert facts.factors is not None
    if values.shape != (facts.images, len(facts.factors.names)):
        raise facts.other(f"labels of {values.shape}")
    index = [np.unique(column, return_inverse=True)[1] for column in values.T]
    grid = facts.factors.factors_of(np.arange(facts.images))
    if (np.stack(index, axis=1) != grid).any():
        raise facts.other("labels that do not run through the grid, the last fastest")


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
    check="that `labels` run through the grid (the reader asks it); a picture of each shape",
)
