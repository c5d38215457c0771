"""The traversal grid: one dimension across, the categories or another dimension down."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unbraid.errors import UserError
from unbraid.explore.opened_run import OpenedRun, Point
from unbraid.report.compare import Pair, match

COLUMNS = 11
ROWS = 5
CATEGORIES, NOTHING = "d", "nothing"


class Grid(NamedTuple):
    """Decoded pictures around one code, a name a row, and the values of the dimension across."""

    images: Float[np.ndarray, "rows columns c h w"]
    rows: list[str]
    values: Float[np.ndarray, " columns"]
    title: str


def traversal_grid(
    run: OpenedRun, point: Point, across: int, down: int | str, columns: int = COLUMNS
) -> Grid:
    """Move dimension `across`, and down the page `"d"`, another dimension or `"nothing"`.

    All else stays at `point`. UserError if there is no such dimension. Where a run has no discrete
    code, or both are one dimension, there is one row.
    """
    given = [across, down] if isinstance(down, int) else [across]
    for z in given:
        if not 0 <= z < len(run.dimensions):
            raise UserError(f"z{z + 1}: {run.name} has z1 to z{len(run.dimensions)}; give one")
    if down == CATEGORIES and run.discrete:
        steps = [(f"d = {name}", None, k) for k, name in enumerate(category_names(run))]
    elif isinstance(down, int) and down != across:
        dimension = run.dimensions[down]
        heights = np.linspace(dimension.low, dimension.high, ROWS)
        steps = [(f"{dimension.name} = {v:+.1f}", float(v), point.category) for v in heights]
    else:
        steps = [("", None, point.category)]
    moved = run.dimensions[across]
    values = np.linspace(moved.low, moved.high, columns).astype(np.float32)
    z = np.broadcast_to(point.z, (len(steps), columns, len(point.z))).copy()
    for row, (_, height, _) in enumerate(steps):
        if height is not None and isinstance(down, int):
            z[row, :, down] = height
        z[row, :, across] = values
    categories = np.repeat([k for _, _, k in steps], columns)
    images = run.decode(z.reshape(-1, z.shape[2]), categories)
    shaped = images.reshape(len(steps), columns, *images.shape[1:])
    return Grid(shaped, [name for name, _, _ in steps], values, moved.label)


def category_names(run: OpenedRun) -> list[str]:
    """The values of the discrete code: 100, 010, 001, or plain numbers where there are many."""
    k = run.discrete
    one_hot = ["".join(str(int(i == j)) for i in range(k)) for j in range(k)]
    return one_hot if k <= 5 else [str(j + 1) for j in range(k)]


def matching(left: OpenedRun, right: OpenedRun) -> dict[int, Pair]:
    """For each dimension of the left run the one of the right that moves with it, if there is."""
    pairs = match(left.codes.mean, right.codes.mean)
    return {pair.left: pair for pair in pairs if pair.left is not None}
