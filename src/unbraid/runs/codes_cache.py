"""Cache of codes in the run directory.

For every set of images and precision, `codes/` contains an .npz file of arrays, and a .json file
that identifies weights, configuration, images and device and has the checksum of the arrays. Files
that were written for another weight, image or device, and damaged files, are replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from unbraid.codes import Codes
from unbraid.data import cache
from unbraid.data.images import ImageTable
from unbraid.errors import UnbraidError
from unbraid.runs.encode import Trained, encode
from unbraid.runs.run import Run

# Larger codes are not stored. Mean and std of 737,280 images in ten dimensions are 59 MB.
MAX_BYTES = 64_000_000


def encode_once(
    run: Run,
    trained: Trained,
    table: ImageTable,
    *,
    precision: str = "fp32",
    index: Int[np.ndarray, " n"] | None = None,
    discrete: bool = True,
) -> Codes:
    """Return the codes of `encode`, from the run directory if they are stored there.

    Stored codes equal those of `encode` bit for bit: codes from a GPU are not used on a CPU, nor
    the reverse. Codes larger than 64 MB are not stored, nor codes of a run whose directory cannot
    be written.

    Parameters
    ----------
    run : Run
        Run directory.
    trained : Trained
        Networks of the run.
    table : ImageTable
        Dataset of the run.
    precision : {"fp32", "bf16"}, optional
        Precision of the networks, default "fp32".
    index : array of int, shape (n,), optional
        Items to encode, by default all.
    discrete : bool, optional
        Whether to compute the discrete code too, default True.

    Returns
    -------
    Codes
        Codes of the images.
    """
    images = "all" if index is None else _sha256(np.ascontiguousarray(index, np.int64))
    key = {
        "step": trained.step,
        "configuration": trained.config.identity(),
        "weights": _digest_of_weights(trained),
        "pictures": _sha256(table.bits if index is None else table.bits[index]),
        "index": images,
        "precision": precision,
        "discrete": discrete,
        "device": next(trained.parts.parameters()).device.type,
    }
    suffix = "" if discrete else "-continuous"
    path = run.codes_folder / f"{images[:12]}-{precision}{suffix}.npz"
    codes = _read(path, key)
    if codes is None:
        codes = encode(trained, table, precision=precision, index=index, discrete=discrete)
        # Without the cache the next evaluation is slower, but equally correct.
        with contextlib.suppress(UnbraidError):
            _write(path, codes, key)
    return codes


def _write(path: Path, codes: Codes, key: dict[str, Any]) -> None:
    arrays = {"mean": codes.mean}
    if codes.std is not None:
        arrays["std"] = codes.std
    if codes.category is not None:
        arrays["category"] = codes.category.astype(np.min_scalar_type(codes.categories))
    if sum(array.nbytes for array in arrays.values()) > MAX_BYTES:
        return
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    cache.store(path, iter([buffer.getvalue()]), {**key, "categories": codes.categories})


def _read(path: Path, key: dict[str, Any]) -> Codes | None:
    """Return the codes in a file, or None if it is missing, damaged or has another key."""
    try:
        metadata = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if {name: metadata.get(name) for name in key} != key:
            return None
        data = cache.restore(path, 1, "encode again")
    except (OSError, ValueError, AttributeError, UnbraidError):
        return None
    with np.load(io.BytesIO(data.tobytes())) as file:
        arrays = dict(file)
    category = arrays.get("category")
    return Codes(
        arrays["mean"],
        arrays.get("std"),
        None if category is None else category.astype(np.int64),
        metadata["categories"],
    )


def _digest_of_weights(trained: Trained) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(trained.parts.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().numpy())
    return digest.hexdigest()


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
