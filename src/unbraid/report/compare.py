"""Two runs side by side: the same images, and dimensions that match."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.report.traversal import KL_IMAGES, Traversal, draw_block, row_labels, traverse
from unbraid.runs.encode import Trained, encode


class Pair(NamedTuple):
    """A dimension of one run, the one of the other that matches, and their correlation.

    None where the other run has no dimension left.
    """

    left: int | None
    right: int | None
    correlation: float


def match(left: Float[np.ndarray, "n z"], right: Float[np.ndarray, "n _"]) -> list[Pair]:
    """Pair the dimensions of two codes so that Σ |correlation of their means| is greatest.

    Each dimension is in at most one pair (the Hungarian method); pairs come in the left's order,
    then what is left over. A constant dimension correlates with nothing: 0.
    """
    centred = [a.astype(np.float64) - a.mean(axis=0, dtype=np.float64) for a in (left, right)]
    scaled = [a / np.maximum(np.sqrt((a**2).sum(axis=0)), 1e-12) for a in centred]
    correlation = scaled[0].T @ scaled[1]
    rows, columns = linear_sum_assignment(-np.abs(correlation))
    partner = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    pairs = [
        Pair(i, partner.get(i), float(correlation[i, partner[i]]) if i in partner else 0.0)
        for i in range(left.shape[1])
    ]
    spare = [j for j in range(right.shape[1]) if j not in partner.values()]
    return pairs + [Pair(None, j, 0.0) for j in spare]


class Comparison(NamedTuple):
    """Both traversals of the same image, and how their dimensions match."""

    left: Traversal
    right: Traversal
    pairs: list[Pair]
    titles: tuple[str, str]


def compare(
    left: Trained,
    right: Trained,
    table: ImageTable,
    *,
    extent: float = 2.0,
    columns: int = 11,
    seed: int = 0,
) -> Comparison:
    """Traverse two runs around the same image, drawn by `seed`, and match by 10,000 images' means.

    UserError if they were trained on different data, or as `traverse`.
    """
    if left.config.data != right.config.data:
        raise UserError(
            f"data {left.config.data} and {right.config.data}: the same inputs are compared; give"
            " two runs of one dataset"
        )
    drawn = [
        traverse(run, table, extent=extent, columns=columns, seed=seed) for run in (left, right)
    ]
    rng = np.random.default_rng(seed)
    index = rng.choice(len(table), min(KL_IMAGES, len(table)), replace=False)
    means = [encode(run, table, index=index, discrete=False).mean for run in (left, right)]
    titles = [
        f"{run.config.method.title}, seed {run.config.seed}, step {run.step:,}"
        for run in (left, right)
    ]
    return Comparison(drawn[0], drawn[1], match(*means), (titles[0], titles[1]))


def draw(path: Path, comparison: Comparison) -> None:
    """Left and right: reconstructions of the same images, then matching dimensions row by row.

    With a discrete code, d is the category of the image traversed. Where the correlation is
    negative the right row runs from high to low, so that both rows change the same way.
    """
    pairs = comparison.pairs
    columns = comparison.left.images.shape[2]
    size = (2 * (2.0 + 0.62 * columns), 0.9 + 0.62 * (2 + len(pairs)) + 0.35)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(2, 2, height_ratios=[2, len(pairs)], squeeze=False)
    sides = ((comparison.left, 0), (comparison.right, 1))
    for (traversal, side), title in zip(sides, comparison.titles, strict=True):
        shown = np.stack([traversal.originals, traversal.reconstructions])[:, :columns]
        draw_block(axes[0, side], shown, ["original", "reconstruction"], title)
        rows, labels = _rows(traversal, pairs, side)
        ends = f"{traversal.values[0]:g} … {traversal.values[-1]:g}"
        d = f"d = category {traversal.category}, " if traversal.discrete else ""
        draw_block(axes[1, side], rows, labels, f"{d}each z from {ends}; KL in nats")
    with written_atomically(path) as file:
        figure.savefig(file, format="png", dpi=110)


def _rows(
    traversal: Traversal, pairs: list[Pair], side: int
) -> tuple[Float[np.ndarray, "rows columns h w *c"], list[str]]:
    """One run's rows in the pairs' order; grey where it has no dimension left."""
    images = traversal.images[traversal.category if traversal.discrete else 0]
    names = row_labels(traversal)
    rows, labels = [], []
    for pair in pairs:
        z = pair.right if side else pair.left
        if z is None:
            rows.append(np.full_like(images[0], 0.5))
            labels.append("—")
            continue
        flipped = side == 1 and pair.correlation < 0
        rows.append(images[z, ::-1] if flipped else images[z])
        matched = side == 1 and pair.left is not None
        labels.append(f"{names[z]}\nr {pair.correlation:+.2f}" if matched else names[z])
    return np.stack(rows), labels
