"""Consistent categories for the parts of charts that overlap."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from tqdm import tqdm

from unbraid.methods._scipy import NearestNeighbours

# Number of nearest charts that each chart is matched with.
NUM_NEIGHBOURS = 12
# Share of the distances between two parts that is compared: the smallest, where charts overlap.
OVERLAP_SHARE = 0.2
# Upper limit of the passes over all charts that correct their categories.
MAX_PASSES = 20


class Chart(NamedTuple):
    """Images with neighbouring codes, split into parts.

    Attributes
    ----------
    centre : int
        Index of the image at the centre.
    items : array of int, shape (n,)
        Indices of the images.
    part : array of int, shape (n,)
        Part of each image, 0 to K − 1; −1 for none.
    """

    centre: int
    items: Int[np.ndarray, " n"]
    part: Int[np.ndarray, " n"]


class _Match(NamedTuple):
    """Permutation that maps the parts of a chart to those of a neighbour, and its certainty."""

    neighbour: int
    order: Int[np.ndarray, " k"]
    certainty: float


def match_charts(
    charts: list[Chart],
    images: Callable[[np.ndarray], np.ndarray],
    code_nz: Float[np.ndarray, "n z"],
    k: int,
    rng: np.random.Generator,
) -> tuple[list[Int[np.ndarray, " k"]], float]:
    """Assign a category to every part of every chart, consistently across charts.

    Categories are propagated along the most certain matches. Then the categories of each chart are
    replaced by those with the largest weighted vote of its neighbours, until nothing changes.

    Parameters
    ----------
    charts : list of Chart
        Charts, more than `NUM_NEIGHBOURS`.
    images : callable
        Function that returns the images of an array of indices.
    code_nz : array, shape (n, z)
        Code of each image of the dataset, in posterior standard deviations.
    k : int
        Number K of parts and of categories.
    rng : numpy.random.Generator
        Random numbers for the order of the corrections.

    Returns
    -------
    categories : list of array of int, shape (k,)
        Category of each part of each chart.
    agreement : float
        Share of matched pairs of charts that agree in all parts, 0 to 1.
    """
    orders = [np.array(order) for order in itertools.permutations(range(k))]
    matches: dict[tuple[int, int], _Match] = {}
    for i, j in tqdm(_neighbouring_pairs(charts, code_nz), desc="matching charts", unit="pair"):
        distances_ij = pixel_distances(images(charts[i].items), images(charts[j].items))
        order, certainty = _match_parts(distances_ij, charts[i].part, charts[j].part, orders)
        matches[i, j] = _Match(j, order, certainty)
    neighbours: list[list[_Match]] = [[] for _ in charts]
    for (i, j), match in matches.items():
        neighbours[i].append(match)
        neighbours[j].append(_Match(i, np.argsort(match.order), match.certainty))
    categories = _propagate(neighbours, k)
    _correct(categories, neighbours, orders, rng)
    agrees = [(categories[j][m.order] == categories[i]).all() for (i, j), m in matches.items()]
    return categories, float(np.mean(agrees))


def _neighbouring_pairs(
    charts: list[Chart], code_nz: Float[np.ndarray, "n z"]
) -> list[tuple[int, int]]:
    """Return the pairs i < j of charts of which one is a nearest neighbour of the other."""
    centres = code_nz[[chart.centre for chart in charts]]
    nearest = NearestNeighbours(centres).query(centres, NUM_NEIGHBOURS + 1)[:, 1:].tolist()
    pairs = {(min(i, j), max(i, j)) for i in range(len(charts)) for j in nearest[i] if i != j}
    return sorted(pairs)


def _propagate(neighbours: list[list[_Match]], k: int) -> list[Int[np.ndarray, " k"]]:
    """Assign categories chart by chart, always along the most certain match."""
    categories: list[np.ndarray | None] = [None] * len(neighbours)
    while any(category is None for category in categories):
        candidates = [
            (match, category)
            for i, category in enumerate(categories)
            if category is not None
            for match in neighbours[i]
            if categories[match.neighbour] is None
        ]
        if not candidates:
            # A first chart, also of charts that no match connects to the others.
            first = next(i for i, category in enumerate(categories) if category is None)
            categories[first] = np.arange(k)
            continue
        match, known = max(candidates, key=lambda candidate: candidate[0].certainty)
        category = np.empty(k, np.int64)
        category[match.order] = known
        categories[match.neighbour] = category
    return [category for category in categories if category is not None]


def _correct(
    categories: list[Int[np.ndarray, " k"]],
    neighbours: list[list[_Match]],
    orders: list[Int[np.ndarray, " k"]],
    rng: np.random.Generator,
) -> None:
    """Replace the categories of each chart by its neighbours' vote until none changes, in place."""
    for _ in range(MAX_PASSES):
        changed = False
        shuffled: list[int] = rng.permutation(len(categories)).tolist()
        for i in shuffled:
            votes = [
                sum(
                    m.certainty * (categories[m.neighbour][m.order] == order).mean()
                    for m in neighbours[i]
                )
                for order in orders
            ]
            best = orders[int(np.argmax(votes))]
            changed |= bool((best != categories[i]).any())
            categories[i] = best
        if not changed:
            break


def _match_parts(
    distances_ij: Float[np.ndarray, "i j"],
    part_i: Int[np.ndarray, " i"],
    part_j: Int[np.ndarray, " j"],
    orders: list[Int[np.ndarray, " k"]],
) -> tuple[Int[np.ndarray, " k"], float]:
    """Return the best permutation of parts, and log second-lowest over lowest cost."""
    k = len(orders[0])
    cost = np.empty((k, k))
    for p, q in itertools.product(range(k), range(k)):
        between = distances_ij[np.ix_(part_i == p, part_j == q)]
        cost[p, q] = _overlap_mean(between.min(axis=0)) + _overlap_mean(between.min(axis=1))
    totals = [float(cost[np.arange(k), order].sum()) for order in orders]
    ranking: list[int] = np.argsort(totals).tolist()
    best, second = ranking[:2]
    return orders[best], float(np.log((totals[second] + 1) / (totals[best] + 1)))


def _overlap_mean(distances: Float[np.ndarray, " n"]) -> float:
    return float(np.sort(distances)[: max(1, int(len(distances) * OVERLAP_SHARE))].mean())


def pixel_distances(
    images_i: Shaped[np.ndarray, "i ..."], images_j: Shaped[np.ndarray, "j ..."]
) -> Float[np.ndarray, "i j"]:
    """Compute squared Euclidean distances between the pixels of two sets of images.

    For binary images this is the number of pixels that differ, exactly.

    Parameters
    ----------
    images_i : array, shape (i, ...)
        Images of the first set.
    images_j : array, shape (j, ...)
        Images of the second set, of the same shape each.

    Returns
    -------
    array, shape (i, j)
        Squared distance of each pair.

    Examples
    --------
    >>> import numpy as np
    >>> pixel_distances(np.zeros((1, 8, 8)), np.ones((2, 8, 8)))
    array([[64., 64.]])
    """
    flat = [images.reshape(len(images), -1) for images in (images_i, images_j)]
    # Neighbours share most pixels, which add nothing to a distance.
    varies = np.any([(pixels != flat[0][0]).any(axis=0) for pixels in flat], axis=0)
    x, y = (torch.as_tensor(p.take(np.flatnonzero(varies), axis=1)).float() for p in flat)
    squares_i, squares_j = (x**2).sum(dim=1), (y**2).sum(dim=1)
    distances = squares_i[:, None] + squares_j[None] - 2 * x @ y.T
    return distances.clamp_(min=0).numpy().astype(np.float64)
