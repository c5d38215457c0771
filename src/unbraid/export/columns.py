"""Codes of a dataset as columns with a row per image, for programs other than unbraid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.codes import Codes
from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.runs import Run
from unbraid.runs.codes_cache import encode_once
from unbraid.runs.encode import load_trained

FORMATS = ("npz", "parquet")
CODE_COLUMN = re.compile(r"(mean|std)_\d+|category")


def write(
    run: Run,
    table: ImageTable,
    form: str = "npz",
    to: Path | None = None,
    *,
    precision: str | None = None,
) -> str:
    """Write the `columns` of all images and return a one-line summary.

    `form` is one of `FORMATS`, `to` a file (default: in the run directory) and `precision` that of
    encoding (default: the run's). Cached codes of the last checkpoint are reused. Raises UserError
    for Parquet without pyarrow, or if the run cannot be loaded.
    """
    parquet = _parquet() if form == "parquet" else None
    to = to or run.exported_codes_file(form)
    trained = load_trained(run, table)
    codes = encode_once(run, trained, table, precision=precision or trained.config.precision)
    arrays = columns(codes, table)
    with written_atomically(to) as file:
        if parquet is None:
            np.savez(file, allow_pickle=False, **arrays)
        else:
            pyarrow, writer = parquet
            writer.write_table(pyarrow.table(arrays), file)
    return f"{len(table):,} images, {len(arrays)} columns; written to {to}"


def columns(codes: Codes, table: ImageTable) -> dict[str, np.ndarray]:
    """Return mean_0 …, std_0 … (float32), category, then every factor.

    There is no std for a deterministic encoder and no category without a discrete code. A factor
    with the name of a code's column is called factor_NAME.
    """
    arrays = {f"mean_{i}": column for i, column in enumerate(codes.mean.T)}
    if codes.std is not None:
        arrays |= {f"std_{i}": column for i, column in enumerate(codes.std.T)}
    if codes.category is not None:
        arrays["category"] = codes.category.astype(np.min_scalar_type(codes.categories))
    factors = table.factors.factors_of(np.arange(len(table)))
    for name, column in zip(table.factors.names, factors.T, strict=True):
        unique = f"factor_{name}" if CODE_COLUMN.fullmatch(name) else name
        arrays[unique] = column.astype(_smallest_dtype(column))
    return arrays


def _smallest_dtype(column: np.ndarray) -> np.dtype[Any]:
    ends = int(column.min()), int(column.max())
    return np.result_type(*map(np.min_scalar_type, ends))


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            "format=parquet: requires pyarrow; install it with pip install 'unbraid[parquet]', or"
            " set `format` to npz"
        ) from error
    return pyarrow, parquet
