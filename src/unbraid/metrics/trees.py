"""Gradient-boosted trees for classification on binned columns (Friedman 2001, Algorithm 6).

Each round grows one small tree per class on the residuals y − p. A class's trees are grown side by
side: the sums that every candidate split needs are products of one sparse one-hot matrix of the
bins with the residuals, so 40 classes cost little more than one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy import sparse
from scipy.special import softmax

DEPTH = 3
NODES, LEAVES = 2**DEPTH - 1, 2**DEPTH
MOST_BINS = 64


@dataclass(frozen=True)
class Forest:
    """A fitted classifier.

    Per round and class a full tree of depth 3, its nodes in breadth-first order: an item goes right
    if its bin of the node's column lies above the node's; leaves hold what is added to its score.
    """

    edges: list[Float[np.ndarray, " _"]]
    start: Float[np.ndarray, " k"]
    column: Int[np.ndarray, "rounds nodes k"]
    bin: UInt8[np.ndarray, "rounds nodes k"]
    leaf: Float[np.ndarray, "rounds leaves k"]
    importance: Float[np.ndarray, " c"]

    def predicted(self, x: Float[np.ndarray, "n c"]) -> Int[np.ndarray, " n"]:
        """The class of the highest score of every item."""
        binned = _binned(x, self.edges)
        scores = np.tile(self.start.astype(np.float32), (len(x), 1))
        for column, cut, leaf in zip(self.column, self.bin, self.leaf, strict=True):
            place = np.zeros(scores.shape, np.int64)
            for depth in range(DEPTH):
                place = 2 * place + _right(binned, place, depth, column, cut)
            scores += np.take_along_axis(leaf, place, axis=0)
        return scores.argmax(axis=1)


def fit(
    x: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    classes: int,
    rounds: int = 100,
    rate: float = 0.1,
) -> Forest:
    """Trees of depth 3, `rounds` for each class, each step weighed by `rate`.

    A split is the one of most gain n_l n_r/(n_l + n_r) (r̄_l − r̄_r)², the decrease of the squared
    residuals; leaves take Friedman's Newton step (K − 1)/K Σ r / Σ |r|(1 − |r|). A column's
    importance is its splits' total gain over that of all columns; all 0 if nothing was split.
    Columns are cut into at most 64 bins of equal count, or one per value.
    """
    edges = [_edges(column) for column in x.T]
    binned = _binned(x, edges)
    widths = np.array([len(e) + 1 for e in edges])
    grower = _Grower(binned, widths, classes)
    share = np.bincount(labels, minlength=classes) / len(labels)
    start = np.log(np.maximum(share, 1e-9))
    target = np.eye(classes, dtype=np.float32)[labels]
    scores = np.tile(start.astype(np.float32), (len(x), 1))
    grown = []
    for _ in range(rounds):
        residual = target - softmax(scores, axis=1)
        column, cut, place = grower.tree(residual)
        leaf = rate * _newton(residual, place)
        scores += np.take_along_axis(leaf, place, axis=0)
        grown.append((column, cut, leaf))
    column, cut, leaf = (np.stack(part) for part in zip(*grown, strict=True))
    gain = grower.gain
    total = gain.sum()
    return Forest(edges, start, column, cut, leaf, gain / total if total > 0 else gain)


class _Grower:
    """The columns' bins as a sparse matrix, and the trees that are grown on them."""

    def __init__(self, binned: UInt8[np.ndarray, "n c"], widths: Int[np.ndarray, " c"], k: int):
        n, c = binned.shape
        self.binned, self.width, self.k = binned, int(widths.max()), k
        self.gain = np.zeros(c)
        # Columns that split alike, such as copies, take turns: none gets all the importance.
        self.turns = np.random.default_rng(0)
        rows = (binned + np.arange(c) * self.width).ravel()
        items = np.repeat(np.arange(n), c)
        ones = np.ones(n * c, np.float32)
        self.one_hot = sparse.csr_array((ones, (rows, items)), shape=(c * self.width, n))

    def tree(
        self, residual: Float[np.ndarray, "n k"]
    ) -> tuple[np.ndarray, np.ndarray, Int[np.ndarray, "n k"]]:
        """Columns and bins of one tree's nodes for every class, and the leaf of every item."""
        place = np.zeros(residual.shape, np.int64)
        column = np.zeros((NODES, self.k), np.int64)
        cut = np.full((NODES, self.k), 255, np.uint8)
        sums: list[tuple[np.ndarray, np.ndarray]] = []
        for depth in range(DEPTH):
            sums = self._sums(residual, place, depth, sums)
            for i, (r_sum, count) in enumerate(sums):
                node = 2**depth - 1 + i
                column[node], cut[node] = self._best(r_sum, count)
            place = 2 * place + _right(self.binned, place, depth, column, cut)
        return column, cut, place

    def _sums(
        self,
        residual: np.ndarray,
        place: np.ndarray,
        depth: int,
        above: list[tuple[np.ndarray, np.ndarray]],
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per node of this depth, residuals and items by column's bin and class."""
        if depth == 0:
            count = np.asarray(self.one_hot.sum(axis=1))[:, None]
            return [(self.one_hot @ residual, np.repeat(count, self.k, axis=1))]
        sums = []
        for i, (r_sum, count) in enumerate(above):
            left = (place == 2 * i).astype(np.float32)
            r_left, n_left = self.one_hot @ (left * residual), self.one_hot @ left
            # What is not left is right: half the products.
            sums += [(r_left, n_left), (r_sum - r_left, count - n_left)]
        return sums

    def _best(self, r_sum: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The split of most gain for every class; bin 255 sends all items left."""
        shape = (-1, self.width, self.k)
        r_left = np.cumsum(r_sum.reshape(shape), axis=1, dtype=np.float64)
        n_left = np.cumsum(count.reshape(shape), axis=1, dtype=np.float64)
        r_all, n_all = r_left[:1, -1:], n_left[:1, -1:]
        n_right = n_all - n_left
        both = (n_left > 0.5) & (n_right > 0.5)
        safe_l, safe_r = np.where(both, n_left, 1), np.where(both, n_right, 1)
        difference = r_left / safe_l - (r_all - r_left) / safe_r
        gain = np.where(both, safe_l * safe_r / (safe_l + safe_r) * difference**2, 0.0)
        order = self.turns.permutation(len(gain))
        flat = gain[order].reshape(-1, self.k)
        best = flat.argmax(axis=0)
        most = flat[best, np.arange(self.k)]
        column = order[best // self.width]
        # float32 sums leave a residue where nothing is left to split.
        splits = most > 1e-7 * n_all[0, 0]
        np.add.at(self.gain, column[splits], most[splits])
        return column, np.where(splits, best % self.width, 255).astype(np.uint8)


def _newton(
    residual: Float[np.ndarray, "n k"], place: Int[np.ndarray, "n k"]
) -> Float[np.ndarray, "leaves k"]:
    k = residual.shape[1]
    flat = (place * k + np.arange(k)).ravel()
    size = np.abs(residual)
    above = np.bincount(flat, residual.ravel(), LEAVES * k)
    below = np.bincount(flat, (size * (1 - size)).ravel(), LEAVES * k)
    step = np.where(below > 1e-12, above / np.maximum(below, 1e-12), 0.0)
    return ((k - 1) / k * step).reshape(LEAVES, k).astype(np.float32)


def _right(
    binned: UInt8[np.ndarray, "n c"],
    place: Int[np.ndarray, "n k"],
    depth: int,
    column: Int[np.ndarray, "nodes k"],
    cut: UInt8[np.ndarray, "nodes k"],
) -> np.ndarray:
    """Which items go right at their node of this depth."""
    first = 2**depth - 1
    right = binned[:, column[first]] > cut[first]
    for i in range(1, 2**depth):
        node = first + i
        here = binned[:, column[node]] > cut[node]
        right = np.where(place == i, here, right)
    return right


def _edges(column: Float[np.ndarray, " n"]) -> Float[np.ndarray, " _"]:
    """Cuts half-way between values, at most 63, of equal count."""
    values = np.unique(column)
    if len(values) > MOST_BINS:
        values = np.unique(np.quantile(column, np.linspace(0, 1, MOST_BINS)))
    return (values[1:] + values[:-1]) / 2


def _binned(
    x: Float[np.ndarray, "n c"], edges: list[Float[np.ndarray, " _"]]
) -> UInt8[np.ndarray, "n c"]:
    placed = [np.searchsorted(e, column) for e, column in zip(edges, x.T, strict=True)]
    return np.stack(placed, axis=1).astype(np.uint8)
