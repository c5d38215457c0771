"""MPI3D (Gondal et al. 2019): a robot arm holding an object, rendered and photographed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unbraid.data import npz
from unbraid.data.dataset_info import Blocks, DatasetInfo, ParsedFiles
from unbraid.data.downloads import RemoteFile
from unbraid.data.factors import FactorSpace

MIRROR = "https://huggingface.co/datasets/waleedgondal/mpi3d/resolve/main/"
NAMES = (
    *("object_color", "object_shape", "object_size", "camera_height"),
    *("background_color", "horizontal_axis", "vertical_axis"),
)


def read(info: DatasetInfo, files: Mapping[str, Path]) -> ParsedFiles:
    """Read the array `images` (n×h×w×c, uint8), in the order of the grid.

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
        If the archive is damaged or has another layout.
    """
    (path,) = files.values()
    c, h, w = info.shape
    header = npz.read_headers(path).get("images")
    expected = npz.Header((info.images, h, w, c), np.dtype(np.uint8))
    if header != expected:
        actual = "no array images" if header is None else f"images {header.dtype} {header.shape}"
        raise info.layout_error(f"{actual}, expected {expected.dtype} {expected.shape}")
    return ParsedFiles(_blocks(info, path))


def _blocks(info: DatasetInfo, path: Path) -> Blocks:
    for block in npz.read_blocks(path, "images", info.name):
        yield np.ascontiguousarray(block.transpose(0, 3, 1, 2))


def _released(kind: str, md5: str) -> DatasetInfo:
    file = f"mpi3d_{kind}.npz"
    return DatasetInfo(
        name=f"mpi3d-{kind}",
        title=f"MPI3D, {kind}",
        homepage="https://github.com/rr-learning/disentanglement_dataset",
        licence="CC BY 4.0: cite Gondal et al. 2019",
        files=(RemoteFile(file, (MIRROR + file,), 0, f"md5:{md5}"),),
        images=1_036_800,
        shape=(3, 64, 64),
        read=read,
        factors=FactorSpace(NAMES, (6, 6, 2, 3, 3, 40, 40), "object_shape"),
        to_verify="the MD5, which is that of the first release, also fits the re-upload",
    )


TOY = _released("toy", "55889cb7c7dfc655d6e0277beee88868")
REALISTIC = _released("realistic", "59a6225b88b635365f70c91b3e52f70f")
REAL = _released("real", "0f33f609918fb5c97996692f91129802")
COMPLEX = dataclasses.replace(
    REAL,
    name="mpi3d-complex",
    title="MPI3D, complex",
    files=(
        RemoteFile(
            "real3d_complicated_shapes_ordered.npz",
            (
                "https://drive.usercontent.google.com/download"
                "?id=1Tp8eTdHxgUMtsZv5uAoYAbJR1BOa_OQm&export=download&confirm=t",
            ),
        ),
    ),
    images=460_800,
    factors=FactorSpace(NAMES, (4, 4, 2, 3, 3, 40, 40), "object_shape"),
    to_verify="everything, as no digest is published; Google Drive sends the file, not a web page",
)
