"""Codes of a sample of the images, by which the members of a population are compared."""

from __future__ import annotations

import io
import zipfile

import numpy as np

from unbraid.codes import Codes
from unbraid.files import written_atomically
from unbraid.runs import Run

MAX_IMAGES = 2_500


def save_sample(run: Run, codes: Codes) -> None:
    """Write codes of the sample in half precision, evenly thinned to at most `MAX_IMAGES` images.

    Parameters
    ----------
    run : Run
        Run directory.
    codes : Codes
        Codes of the sample by the last checkpoint.
    """
    thinned = slice(None, None, -(-len(codes.mean) // MAX_IMAGES))
    arrays = {"mean": codes.mean[thinned].astype(np.float16)}
    if codes.std is not None:
        arrays["std"] = codes.std[thinned].astype(np.float16)
    if codes.category is not None:
        category = codes.category[thinned].astype(np.min_scalar_type(codes.categories))
        arrays |= {"category": category, "categories": np.array(codes.categories)}
    with written_atomically(run.sample_file) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_sample(run: Run) -> Codes | None:
    """Return the codes of the sample, or None if the file is missing or damaged.

    Parameters
    ----------
    run : Run
        Run directory.
    """
    try:
        with np.load(io.BytesIO(run.sample_file.read_bytes())) as file:
            arrays = dict(file)
        mean = arrays["mean"].astype(np.float32)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    std, category = arrays.get("std"), arrays.get("category")
    return Codes(
        mean,
        None if std is None else std.astype(np.float32),
        None if category is None else category.astype(np.int64),
        int(arrays.get("categories", 0)),
    )
