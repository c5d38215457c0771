"""Categories of images without labels: small steps lead from an image to others of its category.

Two images that differ by a small step of a continuous factor differ in few pixels; two categories
of one place and size differ in more. A chart is the images whose codes lie nearest to one image's;
the longest edges of its minimum spanning tree over pixel distances are cut until K parts stand.
Charts that lie close are then matched part to part, so that the same part has one name in all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial import KDTree
from tqdm import tqdm

# Charts that each is matched with.
NEIGHBOURS = 12
# A part holds this share of its chart at least; below, it is a few odd images.
LEAST = 0.12
# Of the distances from a part to another, how many are compared: where the two charts overlap.
NEAREST = 0.2


class Chart(NamedTuple):
    """Images of neighbouring codes, each with its part, −1 for none."""

    centre: int
    items: Int[np.ndarray, " n"]
    part: Int[np.ndarray, " n"]


class PseudoLabels(NamedTuple):
    """The images that some chart names a category of, their categories, and how it went.

    `clear` charts fell into K parts; `agreement` is the share of neighbouring charts whose match
    gives every part of the two the same name.
    """

    item: Int[np.ndarray, " i"]
    category: Int[np.ndarray, " i"]
    clear: int
    agreement: float


def categories(
    images: Callable[[np.ndarray], np.ndarray],
    place_nz: Float[np.ndarray, "n z"],
    k: int,
    rng: np.random.Generator,
    *,
    charts: int,
    size: int,
    gap: float,
) -> PseudoLabels:
    """Names a category of the images of `charts` random charts of `size` images, where it is clear.

    `images` gives the images of an index; `place_nz` is each image's code in posterior stds,
    without the dimensions that are not used. A chart counts if its shortest edge cut is `gap` times
    the longest one kept. No image is named if there are too few to match.
    """
    items, size = len(place_nz), min(size, len(place_nz))
    tree = KDTree(place_nz)
    found = []
    for centre in tqdm(rng.integers(0, items, charts), desc="charts", unit="chart"):
        index = np.sort(tree.query(place_nz[centre], size)[1].reshape(-1))
        seen = images(index)
        part = parts_of(distance(seen, seen), k, gap)
        if part is not None:
            found.append(Chart(int(centre), index, part))
    if len(found) <= NEIGHBOURS:
        nothing = np.empty(0, np.int64)
        return PseudoLabels(nothing, nothing, len(found), 0.0)
    names, agreement = _named(found, images, place_nz, k, rng)
    votes_nk = np.zeros((items, k), np.int32)
    for chart, name in zip(found, names, strict=True):
        held = chart.part >= 0
        np.add.at(votes_nk, (chart.items[held], name[chart.part[held]]), 1)
    index = np.flatnonzero(votes_nk.any(axis=1))
    return PseudoLabels(index, votes_nk[index].argmax(axis=1), len(found), agreement)


def parts_of(
    distance: Float[np.ndarray, "n n"], k: int, gap: float
) -> Int[np.ndarray, " n"] | None:
    """Each item's part, −1 for none, once the longest edges are cut; None if that is not clear."""
    n = len(distance)
    # An edge of length 0 would be none to scipy.
    tree = minimum_spanning_tree(csr_matrix(distance + 1e-3)).tocoo()
    order = np.argsort(-tree.data)
    for cut in range(1, n // 3):
        kept = order[cut:]
        edges = csr_matrix((tree.data[kept], (tree.row[kept], tree.col[kept])), shape=(n, n))
        part = connected_components(edges, directed=False)[1]
        sizes = np.bincount(part)
        if (sizes >= LEAST * n).sum() < k:
            continue
        if tree.data[order[cut - 1]] < gap * tree.data[order[cut]]:
            return None
        named = np.full(len(sizes), -1)
        named[np.argsort(-sizes)[:k]] = np.arange(k)
        return named[part]
    return None


def _named(
    charts: list[Chart],
    images: Callable[[np.ndarray], np.ndarray],
    place_nz: Float[np.ndarray, "n z"],
    k: int,
    rng: np.random.Generator,
) -> tuple[list[np.ndarray], float]:
    """For each chart the category of every part, and how many pairs of charts agree in all parts.

    Names spread along the surest matches; then each chart takes what its neighbours weigh most for.
    """
    orders = [np.array(order) for order in itertools.permutations(range(k))]
    centres = place_nz[[chart.centre for chart in charts]]
    near = np.asarray(KDTree(centres).query(centres, NEIGHBOURS + 1)[1])[:, 1:]
    pairs = {tuple(sorted((i, int(j)))) for i in range(len(charts)) for j in near[i] if i != j}
    matches = {}
    for i, j in tqdm(sorted(pairs), desc="matching charts", unit="pair"):
        apart = distance(images(charts[i].items), images(charts[j].items))
        matches[i, j] = _match(apart, charts[i].part, charts[j].part, orders)
    around: list[list[tuple[int, np.ndarray, float]]] = [[] for _ in charts]
    for (i, j), (order, sure) in matches.items():
        around[i].append((j, order, sure))
        around[j].append((i, np.argsort(order), sure))
    names: list[np.ndarray | None] = [None] * len(charts)
    while any(name is None for name in names):
        border = [
            (sure, j, order, i)
            for i, name in enumerate(names)
            if name is not None
            for j, order, sure in around[i]
            if names[j] is None
        ]
        if not border:
            names[next(i for i, n in enumerate(names) if n is None)] = np.arange(k)
            continue
        _, j, order, i = max(border, key=lambda edge: edge[0])
        known, name = names[i], np.empty(k, np.int64)
        assert known is not None
        name[order] = known
        names[j] = name
    settled = [name for name in names if name is not None]
    for _ in range(20):
        moved = False
        for i in rng.permutation(len(charts)):
            weight = [
                sum(sure * (settled[j][order] == name).mean() for j, order, sure in around[i])
                for name in orders
            ]
            best = orders[int(np.argmax(weight))]
            moved |= bool((best != settled[i]).any())
            settled[i] = best
        if not moved:
            break
    agree = [(settled[j][order] == settled[i]).all() for (i, j), (order, _) in matches.items()]
    return settled, float(np.mean(agree))


def _match(
    apart: Float[np.ndarray, "i j"],
    one: Int[np.ndarray, " i"],
    other: Int[np.ndarray, " j"],
    orders: list[np.ndarray],
) -> tuple[Int[np.ndarray, " k"], float]:
    """Which part of `other` each part of `one` is, and how sure: log second best over best cost."""
    k = len(orders[0])
    cost = np.empty((k, k))
    for p, q in itertools.product(range(k), range(k)):
        between = apart[np.ix_(one == p, other == q)]
        cost[p, q] = _low(between.min(axis=0)) + _low(between.min(axis=1))
    totals = [cost[np.arange(k), order].sum() for order in orders]
    best, second = np.argsort(totals)[:2]
    return orders[best], float(np.log((totals[second] + 1) / (totals[best] + 1)))


def _low(distances: Float[np.ndarray, " n"]) -> float:
    return float(np.sort(distances)[: max(1, int(len(distances) * NEAREST))].mean())


def distance(
    one: Shaped[np.ndarray, "i ..."], other: Shaped[np.ndarray, "j ..."]
) -> Float[np.ndarray, "i j"]:
    """Squared distances, of every image of one from every image of the other.

    Of images of 0 and 1 it is how many pixels differ, exactly.
    """
    flat = [images.reshape(len(images), -1) for images in (one, other)]
    # Neighbours share most pixels, and what all share adds nothing.
    varies = np.any([(pixels != flat[0][0]).any(axis=0) for pixels in flat], axis=0)
    x, y = (torch.from_numpy(p.take(np.flatnonzero(varies), axis=1)).float() for p in flat)
    square, square_too = (x**2).sum(dim=1), (y**2).sum(dim=1)
    apart = square[:, None] + square_too[None] - 2 * x @ y.T
    return apart.clamp_(min=0).numpy().astype(np.float64)
