"""Codes that are encoded once: kept in the run directory for whoever asks for them again.

`codes/` holds, for every set of images and precision, an .npz of plain arrays and beside it, as
JSON, what the codes are of: weights, configuration, pictures, and the file's SHA-256. A file that
is of anything else, or damaged, is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.codes import Codes
from unbraid.data import cache
from unbraid.data.images import ImageTable
from unbraid.runs.encode import Trained, encode
from unbraid.runs.run import Run
from unbraid.errors import UnbraidError, UserError

# 737,280 images with mean and std of ten dimensions are 59 MB; larger codes are not kept.
LARGEST = 64_000_000


def encode_once(
    run: Run,
    trained: Trained,
    table: ImageTable,
    *,
    precision: str = "fp32",
    index: np.ndarray | None = None,
    discrete: bool = True,
) -> Codes:
    """The codes that `encode` gives, from the run directory if they were kept there, else kept.

    They are the same bits: a GPU's are not taken for a processor's. A directory that cannot be
    written to keeps nothing; codes of more than 64 MB are not kept. UserError as `encode`.
    """
    chosen = "all" if index is None else _sha256(np.ascontiguousarray(index, np.int64))
    facts = {
        "step": trained.step,
        "configuration": trained.config.identity(),
        "weights": _weights(trained),
        "pictures": _sha256(table.bits if index is None else table.bits[index]),
        "index": chosen,
        "precision": precision,
        "discrete": discrete,
        "device": next(trained.parts.parameters()).device.type,
    }
    kind = "" if discrete else "-continuous"
    path = run.codes_folder / f"{chosen[:12]}-{precision}{kind}.npz"
    kept = _read(path, facts)
    if kept is not None:
        return kept
    codes = encode(trained, table, precision=precision, index=index, discrete=discrete)
    # Without a cache the next evaluation is slower, and this one is as right.
    with contextlib.suppress(UnbraidError):
        _write(path, codes, facts)
    return codes


def _write(path: Path, codes: Codes, facts: dict[str, Any]) -> None:
    arrays = {"mean": codes.mean}
    if codes.std is not None:
        arrays["std"] = codes.std
    if codes.category is not None:
        arrays["category"] = codes.category.astype(np.min_scalar_type(codes.categories))
    if sum(array.nbytes for array in arrays.values()) > LARGEST:
        return
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    cache.store(path, iter([buffer.getvalue()]), {**facts, "categories": codes.categories})


def _read(path: Path, facts: dict[str, Any]) -> Codes | None:
    """The codes at `path`, or None if they are missing, damaged or of something else."""
    try:
        found = json.loads(path.with_suffix(".json").read_text())
        if {name: found.get(name) for name in facts} != facts:
            return None
        data = cache.restore(path, 1, "encode again")
    except (OSError, ValueError, AttributeError, UserError):
        return None
    with np.load(io.BytesIO(data.tobytes())) as arrays:
        held = dict(arrays)
    category = held.get("category")
    return Codes(
        held["mean"],
        held.get("std"),
        None if category is None else category.astype(np.int64),
        found["categories"],
    )


def _weights(trained: Trained) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(trained.parts.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().numpy())
    return digest.hexdigest()


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
