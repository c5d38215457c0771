"""Comparison of two runs: traversals of the same image, with matching dimensions side by side.

Index letters: `n` images, `z` continuous dimensions.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.report.style import draw_block, save_png
from unbraid.report.traversal import (
    COLUMNS,
    EXTENT,
    Traversal,
    category_names,
    draw_reconstructions,
    row_labels,
    traverse,
)
from unbraid.runs.encode import Trained


class Pair(NamedTuple):
    """A dimension of one run and its match in the other.

    Parameters
    ----------
    left, right : int or None
        Number of the dimension in each run; None if that run has no dimension left.
    correlation : float
        Pearson correlation of their posterior means; 0 without a match.
    """

    left: int | None
    right: int | None
    correlation: float


def match(left: Float[np.ndarray, "n z"], right: Float[np.ndarray, "n _"]) -> list[Pair]:
    """Match the dimensions of two codes so that the sum of |correlation| is greatest.

    Each dimension is in at most one pair. A constant dimension has correlation 0 with all others.

    Parameters
    ----------
    left, right : arrays of shape (n, z) and (n, any)
        Posterior means of the same n images.

    Returns
    -------
    list of Pair
        Every dimension of `left` in order, then the unmatched ones of `right`.

    References
    ----------
    Kuhn, "The Hungarian method for the assignment problem", 1955.

    Examples
    --------
    >>> import numpy as np
    >>> left = np.random.default_rng(0).normal(size=(100, 2))
    >>> pairs = match(left, -left[:, ::-1])
    >>> [(pair.left, pair.right, round(pair.correlation)) for pair in pairs]
    [(0, 1, -1), (1, 0, -1)]
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
    unmatched = [j for j in range(right.shape[1]) if j not in partner.values()]
    return pairs + [Pair(None, j, 0.0) for j in unmatched]


class Comparison(NamedTuple):
    """Traversals of one image by two runs, and the matching of their dimensions.

    Parameters
    ----------
    left, right : Traversal
        Traversals of each run.
    pairs : list of Pair
        Matching dimensions.
    titles : tuple of str
        Method, seed and step of each run.
    """

    left: Traversal
    right: Traversal
    pairs: list[Pair]
    titles: tuple[str, str]


def compare(
    left: Trained,
    right: Trained,
    table: ImageTable,
    *,
    extent: float = EXTENT,
    columns: int = COLUMNS,
    seed: int = 0,
) -> Comparison:
    """Traverse two runs around the same image and match their dimensions.

    Parameters
    ----------
    left, right : Trained
        Networks of two runs on the same dataset.
    table : ImageTable
        The dataset.
    extent : float, default 2
        Half the range of a dimension, in prior standard deviations.
    columns : int, default 11
        Number of positions.
    seed : int, default 0
        Seed for sampling the images: the one to start at, and up to 10,000 to match by.

    Returns
    -------
    Comparison
        Both traversals and the matching dimensions.

    Raises
    ------
    UserError
        If the runs were trained on different datasets.
    ArgumentError
        If `extent` is not positive or `columns` less than 2.
    """
    if left.config.data != right.config.data:
        raise UserError(
            f"data {left.config.data} and {right.config.data}: both runs must have the same"
            " dataset; give two runs of one dataset"
        )
    traversals = [
        traverse(run, table, extent=extent, columns=columns, seed=seed) for run in (left, right)
    ]
    titles = [
        f"{run.config.method.title}, seed {run.config.seed}, step {run.step:,}"
        for run in (left, right)
    ]
    pairs = match(traversals[0].mean, traversals[1].mean)
    return Comparison(traversals[0], traversals[1], pairs, (titles[0], titles[1]))


def draw(path: Path, comparison: Comparison) -> None:
    """Draw reconstructions of the same images, then matching dimensions row by row.

    With a discrete code, d is the category of the image traversed. If a correlation is negative,
    the right row runs from high to low, so that both rows change the same way.

    Parameters
    ----------
    path : Path
        PNG file to write.
    comparison : Comparison
        Traversals to draw.

    Raises
    ------
    UserError or StorageError
        If the file cannot be written.
    """
    pairs = comparison.pairs
    columns = comparison.left.images.shape[2]
    size = (2 * (2.0 + 0.62 * columns), 0.9 + 0.62 * (2 + len(pairs)) + 0.35)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(2, 2, height_ratios=[2, len(pairs)], squeeze=False)
    sides = ((comparison.left, 0), (comparison.right, 1))
    for (traversal, side), title in zip(sides, comparison.titles, strict=True):
        draw_reconstructions(axes[0, side], traversal, title)
        rows, labels = _rows(traversal, pairs, side)
        names = category_names(len(traversal.images))
        d = f"d = {names[traversal.category]}, " if traversal.discrete else ""
        heading = f"{d}each z from {traversal.from_to}; KL in nats"
        draw_block(axes[1, side], rows, labels, heading)
    save_png(path, figure)


def _rows(
    traversal: Traversal, pairs: list[Pair], side: int
) -> tuple[Float[np.ndarray, "rows columns h w *c"], list[str]]:
    """Return one run's rows in the order of the pairs; grey if it has no dimension left."""
    images = traversal.images[traversal.category]
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
