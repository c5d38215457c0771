"""Custom datasets from arrays: an .npz archive of images, with or without labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8

from unbraid.data import cache, npz, stored
from unbraid.data.custom import MAX_SIDE, MIN_SIDE, CustomDataset
from unbraid.data.factors import FactorTable
from unbraid.data.images import ImageTable
from unbraid.errors import UserError


def load(custom: CustomDataset) -> ImageTable:
    """Load the images of an archive, which are copied to the cache at the first call.

    They are copied again whenever the size or the modification time of the archive has changed.
    The archive contains these arrays:

    * `images`: N×H×W or N×H×W×C with C 1 or 3 and sides of 28 to 256 pixels; uint8, bool, or floats
      in [0, 1], which are rounded to multiples of 1/255. If all values are 0 or 1 (except floats),
      one bit per value is stored.
    * `factors` (optional): N×F integers, in any combinations.
    * `names` (optional): one name per factor. Default: factor 0, factor 1, ….
    * `label` (optional): name of the factor that a discrete code is scored against. Default:
      `shape` if there is such a factor, else the only factor.

    Parameters
    ----------
    custom : CustomDataset
        Parsed name of the dataset.

    Returns
    -------
    ImageTable
        The images and their factors.

    Raises
    ------
    UserError
        If the archive cannot be read, or if an array has the wrong shape, type or range.
    """
    listing = _listing(custom)
    path = custom.table_path
    with cache.table_lock(path.stem):
        try:
            current = path.exists() and cache.read_metadata(path).get("listing") == listing
        except (OSError, ValueError):
            current = False
        if not current:
            _store(custom, listing)
        return stored.read(path, custom.name, f"delete {path} to copy the images again")


def describe(custom: CustomDataset) -> str:
    """Describe a loaded archive in a few lines.

    Parameters
    ----------
    custom : CustomDataset
        Parsed name of the dataset.

    Returns
    -------
    str
        Number, size and labels of the images, and the file in the cache.
    """
    metadata = cache.read_metadata(custom.table_path)
    (channels, height, width), labels = metadata["shape"], metadata.get("labels")
    colour = "grey" if channels == 1 else "colour"
    names = "none" if not labels else ", ".join(labels["names"])
    if labels and labels["label"]:
        names += f" (discrete codes are scored against {labels['label']})"
    unit = "bit" if metadata["depth"] == 1 else "byte"
    return (
        f"{custom.path}: {metadata['images']:,} images, {colour}, {height}×{width}, one {unit} per"
        f" value\nlabels: {names}\nstored in {custom.table_path}"
    )


def _listing(custom: CustomDataset) -> str:
    """Digest of the archive's size and modification time."""
    try:
        status = custom.path.stat()
    except OSError as error:
        raise UserError(
            f"{custom.name}: cannot be read ({error.strerror}); set `data` to array:FILE.npz with"
            " an existing file"
        ) from error
    return hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode()).hexdigest()


def _store(custom: CustomDataset, listing: str) -> None:
    """Copy the images and labels of an archive to the cache."""
    headers = npz.read_headers(custom.path)
    if "images" not in headers:
        raise UserError(
            f"{custom.name}: must contain an array named images; it contains"
            f" {', '.join(headers) or 'none'}"
        )
    shape, dtype = headers["images"]
    _require_images(custom, shape, dtype)
    labels = _labels(custom, headers)
    depth = _depth(custom.path, dtype)

    def blocks() -> Iterator[UInt8[np.ndarray, "b c h w"]]:
        for block in npz.read_blocks(custom.path, "images", "storing images"):
            pixels = block[..., None] if block.ndim == 3 else block
            yield np.ascontiguousarray(_to_bytes(custom, pixels).transpose(0, 3, 1, 2))

    metadata: dict[str, Any] = {"source": custom.name, "listing": listing}
    factors = FactorTable.none(shape[0]) if labels is None else labels
    stored.save(custom.table_path, blocks(), metadata, depth=depth, labels=lambda: factors)


def _require_images(custom: CustomDataset, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)) or not shape[0]:
        raise UserError(
            f"{custom.name}: images must be of shape N×H×W or N×H×W×C with 1 or 3 channels;"
            f" reshape them from {shape}"
        )
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in shape[1:3]):
        raise UserError(
            f"{custom.name}: the sides of images must be {MIN_SIDE} to {MAX_SIDE} pixels; resize"
            f" them from {shape[1]}×{shape[2]}"
        )
    if dtype != np.uint8 and dtype.kind not in "bf":
        raise UserError(
            f"{custom.name}: images must be uint8, bool or floats in [0, 1]; convert them from"
            f" {dtype}"
        )


def _depth(archive: Path, dtype: np.dtype) -> int:
    """Bits per value: 1 if all values are 0 or 1."""
    if dtype.kind == "b":
        return 1
    if dtype.kind == "f":
        return 8
    blocks = npz.read_blocks(archive, "images", "reading images")
    return 8 if any(int(block.max()) > 1 for block in blocks) else 1


def _to_bytes(
    custom: CustomDataset, pixels: Shaped[np.ndarray, "b h w c"]
) -> UInt8[np.ndarray, "b h w c"]:
    if pixels.dtype.kind != "f":
        return pixels.astype(np.uint8)
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
        raise UserError(
            f"{custom.name}: floating-point images must be in [0, 1]; rescale them from"
            f" [{pixels.min():g}, {pixels.max():g}], or save them as uint8"
        )
    return np.round(pixels * 255).astype(np.uint8)


def _labels(custom: CustomDataset, headers: dict[str, npz.Header]) -> FactorTable | None:
    if "factors" not in headers:
        return None
    shape, dtype = headers["factors"]
    images = headers["images"].shape[0]
    if len(shape) != 2 or shape[0] != images or dtype.kind not in "iub":
        raise UserError(
            f"{custom.name}: factors must be integers of shape {images}×F, not {dtype} of shape"
            f" {shape}; number the values of each factor, for example with"
            " np.unique(column, return_inverse=True)[1]"
        )
    values = npz.read_array(custom.path, "factors").astype(np.int64)
    names = tuple(f"factor {f}" for f in range(shape[1]))
    if "names" in headers:
        names = tuple(str(name) for name in np.atleast_1d(npz.read_array(custom.path, "names")))
    label = "shape" if "shape" in names else names[0] if len(names) == 1 else None
    if "label" in headers:
        label = str(npz.read_array(custom.path, "label"))
    return FactorTable(names, values, label)
