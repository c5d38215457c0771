"""The traversal grid: one dimension across, the categories or a second dimension down."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unbraid.errors import UserError
from unbraid.explore.opened_run import OpenedRun, Point
from unbraid.report.compare import Pair, match
from unbraid.report.traversal import COLUMNS, category_names

ROWS = 5
CATEGORIES, NOTHING = "d", "nothing"


class Grid(NamedTuple):
    """Decoded images around one code; `values` are those of the dimension across."""

    images: Float[np.ndarray, "rows columns c h w"]
    rows: list[str]
    values: Float[np.ndarray, " columns"]
    title: str


class _Row(NamedTuple):
    label: str
    value: float | None
    category: int


def traversal_grid(
    run: OpenedRun, point: Point, across: int, down: int | str, columns: int = COLUMNS
) -> Grid:
    """Decode a grid in which dimension `across` varies over the columns, and `down` over the rows.

    `down` is "d" for the categories, another dimension, or "nothing" for a single row; there is
    also a single row if the run has no discrete code or both are the same dimension. All else
    stays at `point`. Raises UserError if there is no such dimension.
    """
    for z in [across, down] if isinstance(down, int) else [across]:
        if not 0 <= z < len(run.dimensions):
            raise UserError(
                f"z{z + 1}: not a dimension of {run.name}; choose one of z1 to"
                f" z{len(run.dimensions)}"
            )
    rows = _rows(run, point, across, down)
    dimension = run.dimensions[across]
    values = np.linspace(dimension.low, dimension.high, columns).astype(np.float32)
    z = np.broadcast_to(point.z, (len(rows), columns, len(point.z))).copy()
    for row, (_, value, _) in enumerate(rows):
        if value is not None and isinstance(down, int):
            z[row, :, down] = value
        z[row, :, across] = values
    category = np.repeat([row.category for row in rows], columns)
    images = run.decode(z.reshape(-1, z.shape[2]), category)
    shaped = images.reshape(len(rows), columns, *images.shape[1:])
    return Grid(shaped, [row.label for row in rows], values, dimension.label)


def _rows(run: OpenedRun, point: Point, across: int, down: int | str) -> list[_Row]:
    if down == CATEGORIES and run.categories:
        names = category_names(run.categories)
        return [_Row(f"d = {name}", None, k) for k, name in enumerate(names)]
    if isinstance(down, int) and down != across:
        dimension = run.dimensions[down]
        values = np.linspace(dimension.low, dimension.high, ROWS)
        return [_Row(f"{dimension.name} = {v:+.1f}", float(v), point.category) for v in values]
    return [_Row("", None, point.category)]


def matching_dimensions(left: OpenedRun, right: OpenedRun) -> dict[int, Pair]:
    """Match each dimension of the left run with the most correlated one of the right run."""
    pairs = match(left.codes.mean, right.codes.mean)
    return {pair.left: pair for pair in pairs if pair.left is not None}
