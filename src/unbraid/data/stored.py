"""Image tables in the cache: pixels, labels and metadata, written atomically and verified."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from unbraid.data import cache
from unbraid.data.factors import Factors, FactorTable
from unbraid.data.images import ImageTable, pack
from unbraid.errors import UserError
from unbraid.files import written_atomically


def save(
    path: Path,
    blocks: Iterable[UInt8[np.ndarray, "b c h w"]],
    metadata: dict[str, Any],
    *,
    depth: int = 8,
    labels: Callable[[], FactorTable] | None = None,
) -> dict[str, Any]:
    """Write a table block by block.

    Parameters
    ----------
    path : Path
        File of the table.
    blocks : iterable of uint8 arrays of shape (b, c, h, w)
        Images in order.
    metadata : dict
        Metadata to store, with the key `source`. The iterator may add entries until its last block.
    depth : {1, 8}, default 8
        Bits per pixel value.
    labels : callable, optional
        Function that returns the labels, called after the last block. Default: no labels.

    Returns
    -------
    dict
        The metadata, with the number of images, their shape and depth, the names of the labels,
        and digests.

    Raises
    ------
    UserError
        If there are no images, or if labels and images differ in number.
    """
    metadata |= {"images": 0, "depth": depth}

    def chunks() -> Iterator[bytes]:
        for block in blocks:
            metadata["images"] += len(block)
            metadata["shape"] = list(block.shape[1:])
            yield pack(block, depth).tobytes()
        if not metadata["images"]:
            raise UserError(f"{metadata['source']}: no images; provide at least one")
        if labels is not None and (factors := labels()).names:
            metadata["labels"] = _save_labels(path, factors, metadata)

    return {**cache.store(path, chunks(), metadata), "path": str(path)}


def read(path: Path, name: str, remedy: str, factors: Factors | None = None) -> ImageTable:
    """Open a stored table after verifying it.

    Parameters
    ----------
    path : Path
        File of the table.
    name : str
        Name of the dataset.
    remedy : str
        What the user can do if the table is damaged, for the error message.
    factors : FactorSpace or FactorTable, optional
        Factors of the items. Default: the stored labels.

    Returns
    -------
    ImageTable
        The table as a memory map.

    Raises
    ------
    UserError
        If a file is missing, truncated or changed.
    """
    try:
        metadata = cache.read_metadata(path)
        (channels, height, width), depth = metadata["shape"], metadata["depth"]
        if factors is None:
            factors = _read_labels(path, metadata)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {remedy}") from error
    bits = cache.restore(path, (channels * height * width * depth + 7) // 8, remedy)
    if len(bits) != len(factors):
        raise UserError(f"{path}: {len(bits):,} images, expected {len(factors):,}; {remedy}")
    return ImageTable(name, bits, height, width, factors, channels, depth, fingerprint(metadata))


def fingerprint(metadata: dict[str, Any]) -> str:
    """Compute the digest of the images and labels of a stored table.

    Parameters
    ----------
    metadata : dict
        Metadata of the table.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    content = {key: metadata.get(key) for key in ("sha256", "shape", "depth", "labels")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _save_labels(path: Path, labels: FactorTable, metadata: dict[str, Any]) -> dict[str, Any]:
    if len(labels) != metadata["images"]:
        raise UserError(
            f"{metadata['source']}: {len(labels):,} labels for {metadata['images']:,} images;"
            " provide one label for each image"
        )
    values = labels.values
    for dtype in (np.int32, np.int16, np.int8):
        if (values == values.astype(dtype)).all():
            values = values.astype(dtype)
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    with written_atomically(_labels_file(path)) as file:
        file.write(buffer.getvalue())
    return {"names": list(labels.names), "label": labels.label, "sha256": _digest(values)}


def _read_labels(path: Path, metadata: dict[str, Any]) -> FactorTable:
    if not metadata.get("labels"):
        return FactorTable.none(metadata["images"])
    values = np.load(io.BytesIO(_labels_file(path).read_bytes()), allow_pickle=False)
    if _digest(values) != metadata["labels"]["sha256"]:
        raise ValueError("the labels were changed after they were written")
    return FactorTable(tuple(metadata["labels"]["names"]), values, metadata["labels"]["label"])


def _digest(values: Int[np.ndarray, "n f"]) -> str:
    """Digest of the values, which does not depend on the type that they are stored in."""
    shape = f"{values.shape}".encode()
    return hashlib.sha256(shape + values.astype("<i8").tobytes()).hexdigest()


def _labels_file(path: Path) -> Path:
    return path.with_suffix(".labels.npy")
