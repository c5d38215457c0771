"""One's own images as arrays in an .npz, with labels or without."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8

from unbraid.data import cache, npz, stored
from unbraid.data.custom import LARGEST, SMALLEST, CustomDataset
from unbraid.data.factors import FactorTable
from unbraid.data.images import ImageTable
from unbraid.errors import UserError


def load(own: CustomDataset) -> ImageTable:
    """The archive's images, taken into the cache at the first call and whenever it is another.

    `images`: N×H×W or N×H×W×C, C 1 or 3, sides 28 to 256; uint8, bool, or floats of 0 to 1, which
    are rounded to 255ths. Bool, and uint8 of 0 and 1 alone, are stored as bits. If they are there:
    `factors`, N×F whole numbers, which need not form a grid; `names`, one a factor; `label`, the
    name of the factor that a discrete code is scored against, else `shape` or the only one.
    UserError for anything else.
    """
    listing = _listing(own)
    path = own.stored
    with cache.lock(path.stem):
        try:
            known = path.exists() and cache.facts_of(path).get("listing") == listing
        except (OSError, ValueError):
            known = False
        if not known:
            _make(own, listing)
        return stored.read(path, own.name, f"make it again: delete {path} first")


def report(own: CustomDataset) -> str:
    """What was made of the archive, in a few lines."""
    facts = cache.facts_of(own.stored)
    (channels, height, width), labels = facts["shape"], facts.get("labels")
    colour = "grey" if channels == 1 else "colour"
    told = "none" if not labels else ", ".join(labels["names"])
    label = "" if not labels or not labels["label"] else f"; d is scored against {labels['label']}"
    size = f"{height}×{width}, {'a bit' if facts['depth'] == 1 else 'a byte'} a value"
    return (
        f"{own.path}: {facts['images']:,} images, {colour}, {size}\nlabels: {told}{label}\n"
        f"in {own.stored}"
    )


def _listing(own: CustomDataset) -> str:
    try:
        facts = own.path.stat()
    except OSError as error:
        raise UserError(
            f"{own.name}: cannot be read ({error.strerror}); give the path of an .npz"
        ) from error
    return hashlib.sha256(f"{facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()


def _make(own: CustomDataset, listing: str) -> None:
    found = npz.headers(own.path)
    if "images" not in found:
        raise UserError(
            f"{own.name}: no array images in it, but {', '.join(found) or 'nothing'}; give images=…"
        )
    shape, dtype = found["images"]
    _require_images(own, shape, dtype)
    labels = _labels(own, found)
    scale = _scale(own.path, dtype)

    def blocks() -> Iterator[UInt8[np.ndarray, "b c h w"]]:
        for block in npz.blocks(own.path, "images", "taking images in"):
            pixels = block[..., None] if block.ndim == 3 else block
            yield np.ascontiguousarray(_bytes(own, pixels).transpose(0, 3, 1, 2))

    facts: dict[str, Any] = {"source": own.name, "listing": listing}
    given = FactorTable.none(shape[0]) if labels is None else labels
    stored.save(own.stored, blocks(), facts, depth=scale, labels=lambda: given)


def _require_images(own: CustomDataset, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)) or not shape[0]:
        raise UserError(
            f"{own.name}: images of shape {shape}: N×H×W or N×H×W×C with 1 or 3 channels; give it"
            " so"
        )
    if not all(SMALLEST <= side <= LARGEST for side in shape[1:3]):
        raise UserError(
            f"{own.name}: images of {shape[1]}×{shape[2]}: networks take sides of {SMALLEST} to"
            f" {LARGEST} pixels; resize them"
        )
    if dtype != np.uint8 and dtype.kind not in "bf":
        raise UserError(
            f"{own.name}: images of type {dtype}: uint8, bool or floats of 0 to 1; convert them"
        )


def _scale(archive: Path, dtype: np.dtype) -> int:
    """Bits a value: 1 if there are only 0 and 1."""
    if dtype.kind == "b":
        return 1
    if dtype.kind == "f":
        return 8
    most = (int(block.max()) for block in npz.blocks(archive, "images", "looking at images"))
    return 8 if any(value > 1 for value in most) else 1


def _bytes(
    own: CustomDataset, pixels: Shaped[np.ndarray, "b h w c"]
) -> UInt8[np.ndarray, "b h w c"]:
    if pixels.dtype.kind != "f":
        return pixels.astype(np.uint8)
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
        raise UserError(
            f"{own.name}: images from {pixels.min():g} to {pixels.max():g}: floats are 0 to 1;"
            " rescale them, or give uint8"
        )
    return np.round(pixels * 255).astype(np.uint8)


def _labels(own: CustomDataset, found: dict[str, npz.Header]) -> FactorTable | None:
    if "factors" not in found:
        return None
    shape, dtype = found["factors"]
    if len(shape) != 2 or shape[0] != found["images"].shape[0] or dtype.kind not in "iub":
        raise UserError(
            f"{own.name}: factors of shape {shape} and type {dtype}: whole numbers, a row an image,"
            " a column a factor; give each value's position, as"
            " np.unique(column, return_inverse=True)[1] does"
        )
    values = npz.array(own.path, "factors").astype(np.int64)
    names = tuple(f"factor {f}" for f in range(shape[1]))
    if "names" in found:
        names = tuple(str(name) for name in np.atleast_1d(npz.array(own.path, "names")))
    label = "shape" if "shape" in names else names[0] if len(names) == 1 else None
    if "label" in found:
        label = str(npz.array(own.path, "label"))
    return FactorTable(names, values, label)
