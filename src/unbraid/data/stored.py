"""Tables in the cache: pixels, labels and the facts of both, written whole and verified."""

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
from unbraid.data.images import ImageTable, packed
from unbraid.errors import UserError
from unbraid.files import written_atomically


def save(
    path: Path,
    blocks: Iterable[UInt8[np.ndarray, "b c h w"]],
    facts: dict[str, Any],
    *,
    depth: int = 8,
    labels: Callable[[], FactorTable] | None = None,
) -> dict[str, Any]:
    """Write a table block by block; `labels` are asked for after the last one.

    The facts returned are those given, which may be added to until then, with the number of images,
    their shape and the checksums.
    UserError if there is no image, or if there are more or fewer labels than images.
    """
    facts |= {"images": 0, "depth": depth}

    def chunks() -> Iterator[bytes]:
        for block in blocks:
            facts["images"] += len(block)
            facts["shape"] = list(block.shape[1:])
            yield packed(block, depth).tobytes()
        if not facts["images"]:
            raise UserError(f"{facts['source']}: it holds no image; give one or more")
        if labels is not None and (given := labels()).names:
            facts["labels"] = _save_labels(path, given, facts)

    return {**cache.store(path, chunks(), facts), "path": str(path)}


def read(path: Path, name: str, remedy: str, factors: Factors | None = None) -> ImageTable:
    """A table as it was saved, verified, with its own labels or the `factors` given.

    UserError with `remedy` if a file is missing, cut short or changed.
    """
    try:
        facts = cache.facts_of(path)
        (channels, height, width), depth = facts["shape"], facts["depth"]
        if factors is None:
            factors = _read_labels(path, facts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {remedy}") from error
    bits = cache.restore(path, (channels * height * width * depth + 7) // 8, remedy)
    if len(bits) != len(factors):
        raise UserError(f"{path}: {len(bits):,} images, where there are {len(factors):,}; {remedy}")
    return ImageTable(name, bits, height, width, factors, channels, depth, fingerprint(facts))


def fingerprint(facts: dict[str, Any]) -> str:
    """What a stored table's images and labels are, in 64 hexadecimal digits."""
    told = {key: facts.get(key) for key in ("sha256", "shape", "depth", "labels")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _save_labels(path: Path, labels: FactorTable, facts: dict[str, Any]) -> dict[str, Any]:
    if len(labels) != facts["images"]:
        raise UserError(
            f"{facts['source']}: {len(labels):,} labels for {facts['images']:,} images: each image"
            " has its own; give as many"
        )
    values = labels.values
    for kind in (np.int32, np.int16, np.int8):
        if (values == values.astype(kind)).all():
            values = values.astype(kind)
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    with written_atomically(_labels_file(path)) as target:
        target.write(file.getvalue())
    return {"names": list(labels.names), "label": labels.label, "sha256": _digest(values)}


def _read_labels(path: Path, facts: dict[str, Any]) -> FactorTable:
    if not facts.get("labels"):
        return FactorTable.none(facts["images"])
    values = np.load(io.BytesIO(_labels_file(path).read_bytes()), allow_pickle=False)
    if _digest(values) != facts["labels"]["sha256"]:
        raise ValueError("its labels are not those that were written")
    return FactorTable(tuple(facts["labels"]["names"]), values, facts["labels"]["label"])


def _digest(values: Int[np.ndarray, "n f"]) -> str:
    """Of the values themselves, in however few bytes they are stored."""
    shape = f"{values.shape}".encode()
    return hashlib.sha256(shape + values.astype("<i8").tobytes()).hexdigest()


def _labels_file(path: Path) -> Path:
    return path.with_suffix(".labels.npy")
