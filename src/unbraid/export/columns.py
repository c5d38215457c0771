"""The codes of a dataset as columns, an image a row, for programs that know nothing of unbraid."""

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
OF_A_CODE = re.compile(r"(mean|std)_\d+|category")


def write(
    run: Run,
    table: ImageTable,
    form: str = "npz",
    to: Path | None = None,
    *,
    precision: str | None = None,
) -> str:
    """Write `columns` of all images in one of `FORMATS`, in the run unless `to` names a file.

    Codes that the run directory keeps for its last checkpoint are used. UserError for Parquet
    without pyarrow, or as `encode_once`.
    """
    parquet = _parquet() if form == "parquet" else None
    to = to or run.path / f"codes.{form}"
    trained = load_trained(run, table)
    codes = encode_once(run, trained, table, precision=precision or trained.config.precision)
    held = columns(codes, table)
    with written_atomically(to) as file:
        if parquet is None:
            np.savez(file, allow_pickle=False, **held)
        else:
            pyarrow, writer = parquet
            writer.write_table(pyarrow.table(held), file)
    return f"{len(table):,} images, {len(held)} columns; written to {to}"


def columns(codes: Codes, table: ImageTable) -> dict[str, np.ndarray]:
    """mean_0 …, std_0 … (float32; no std for a code that is a point), category, then every factor.

    A factor whose name is one of a code's columns is called factor_NAME.
    """
    held = {f"mean_{i}": column for i, column in enumerate(codes.mean.T)}
    if codes.std is not None:
        held |= {f"std_{i}": column for i, column in enumerate(codes.std.T)}
    if codes.category is not None:
        held["category"] = codes.category.astype(np.min_scalar_type(codes.categories))
    factors = table.factors.factors_of(np.arange(len(table)))
    for name, column in zip(table.factors.names, factors.T, strict=True):
        clear = f"factor_{name}" if OF_A_CODE.fullmatch(name) else name
        held[clear] = column.astype(np.result_type(*map(np.min_scalar_type, _ends(column))))
    return held


def _ends(column: np.ndarray) -> tuple[int, int]:
    return int(column.min()), int(column.max())


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            "format parquet: it needs pyarrow; install it with pip install 'unbraid[parquet]', or"
            " give --format npz"
        ) from error
    return pyarrow, parquet
