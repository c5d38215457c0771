"""Gradient-boosted trees for classification on binned columns.

Every round grows one tree of depth 3 per class on the residuals y − p. The trees of all classes
grow together: the sums that a split needs are products of one sparse one-hot matrix of the bins
with the residuals, so 40 classes cost little more than one.

Index letters: `n` items, `c` columns, `k` classes.

References
----------
Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", 2001, Algorithm 6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from unbraid.metrics._scipy import one_hot, softmax

DEPTH = 3
NODES, LEAVES = 2**DEPTH - 1, 2**DEPTH
MAX_BINS = 64
# Bin of a node that does not split: every item goes left.
NO_SPLIT = 255
# Least gain of a split, relative to the number of items: float32 sums leave a residue below it.
MIN_RELATIVE_GAIN = 1e-7

Grown = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Forest:
    """A fitted classifier: for every round and class a full tree, nodes in breadth-first order.

    Parameters
    ----------
    edges : list of c arrays
        Edges of the bins of every column.
    start : array of shape (k,)
        Initial score of every class.
    column, bin : integer array of shape (rounds, nodes, k)
        An item goes right at a node if its bin of the node's column exceeds the node's bin.
    leaf : array of shape (rounds, leaves, k)
        Increment of the score of a class.
    importance : array of shape (c,)
        Total gain of the splits on every column, as a share of all columns.
    """

    edges: list[Float[np.ndarray, " _"]]
    start: Float[np.ndarray, " k"]
    column: Int[np.ndarray, "rounds nodes k"]
    bin: UInt8[np.ndarray, "rounds nodes k"]
    leaf: Float[np.ndarray, "rounds leaves k"]
    importance: Float[np.ndarray, " c"]

    def predict(self, x: Float[np.ndarray, "n c"]) -> Int[np.ndarray, " n"]:
        """Return the class of the highest score of every item.

        Parameters
        ----------
        x : array of shape (n, c)
            Input of n items.

        Returns
        -------
        integer array of shape (n,)
            Classes.
        """
        binned = _to_bins(x, self.edges)
        scores = np.tile(self.start.astype(np.float32), (len(x), 1))
        for column, cut, leaf in zip(self.column, self.bin, self.leaf, strict=True):
            position = np.zeros(scores.shape, np.int64)
            for depth in range(DEPTH):
                position = 2 * position + _goes_right(binned, position, depth, column, cut)
            scores += np.take_along_axis(leaf, position, axis=0)
        return scores.argmax(axis=1)


def fit(
    x: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    classes: int,
    rounds: int = 100,
    rate: float = 0.1,
) -> Forest:
    """Fit boosted trees of depth 3.

    A split maximises n_l n_r/(n_l + n_r) (r̄_l − r̄_r)², the decrease of the squared residuals.
    Leaves have Friedman's Newton step (K − 1)/K Σ r / Σ |r|(1 − |r|). Columns are cut into at most
    64 bins of equal count, or one bin per value.

    Parameters
    ----------
    x : array of shape (n, c)
        Input of n items.
    labels : integer array of shape (n,)
        Class of every item, 0 … `classes` − 1.
    classes : int
        Number of classes.
    rounds : int, default 100
        Number of trees per class.
    rate : float, default 0.1
        Learning rate: the factor of every leaf.

    Returns
    -------
    Forest
        The classifier; its importances are 0 if nothing was split.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    >>> forest = fit(x, np.array([0, 0, 1, 1]), classes=2, rounds=10)
    >>> forest.predict(x).tolist(), forest.importance.tolist()
    ([0, 0, 1, 1], [1.0, 0.0])
    """
    edges = [_edges(column) for column in x.T]
    binned = _to_bins(x, edges)
    grower = _Grower(binned, max(len(e) + 1 for e in edges), classes)
    share = np.bincount(labels, minlength=classes) / len(labels)
    start = np.log(np.maximum(share, 1e-9))
    target = np.eye(classes, dtype=np.float32)[labels]
    scores = np.tile(start.astype(np.float32), (len(x), 1))
    grown: list[Grown] = []
    for _ in range(rounds):
        residual = target - softmax(scores)
        column, cut, position = grower.tree(residual)
        leaf = rate * _newton_step(residual, position)
        scores += np.take_along_axis(leaf, position, axis=0)
        grown.append((column, cut, leaf))
    column, cut, leaf = (np.stack(parts) for parts in zip(*grown, strict=True))
    gain = grower.gain
    total = gain.sum()
    return Forest(edges, start, column, cut, leaf, gain / total if total > 0 else gain)


class _Grower:
    """Grow trees on binned columns, one tree per class at a time."""

    def __init__(self, binned: UInt8[np.ndarray, "n c"], width: int, k: int):
        n, c = len(binned), int(binned.shape[1])
        self.binned, self.width, self.k = binned, width, k
        self.gain = np.zeros(c)
        # Columns that split equally well, such as copies, are chosen in random order: they share
        # the importance.
        self.column_order = np.random.default_rng(0)
        rows: Int[np.ndarray, " nc"] = np.ravel(binned + np.arange(c) * width)
        items: Int[np.ndarray, " nc"] = np.repeat(np.arange(n), c)
        self.one_hot = one_hot(rows, items, (c * width, n), np.float32)

    def tree(
        self, residual: Float[np.ndarray, "n k"]
    ) -> tuple[np.ndarray, np.ndarray, Int[np.ndarray, "n k"]]:
        """Return the columns and bins of one tree per class, and the leaf of every item."""
        position = np.zeros(residual.shape, np.int64)
        column = np.zeros((NODES, self.k), np.int64)
        cut = np.full((NODES, self.k), NO_SPLIT, np.uint8)
        sums: list[tuple[np.ndarray, np.ndarray]] = []
        for depth in range(DEPTH):
            sums = self._sums(residual, position, depth, sums)
            for i, (r_sum, count) in enumerate(sums):
                node = 2**depth - 1 + i
                column[node], cut[node] = self._best_split(r_sum, count)
            position = 2 * position + _goes_right(self.binned, position, depth, column, cut)
        return column, cut, position

    def _sums(
        self,
        residual: np.ndarray,
        position: np.ndarray,
        depth: int,
        parents: list[tuple[np.ndarray, np.ndarray]],
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Sum residuals and count items of every node, by bin of a column and class."""
        if depth == 0:
            count: np.ndarray = np.asarray(self.one_hot.sum(axis=1))[:, None]
            return [(self.one_hot @ residual, np.repeat(count, self.k, axis=1))]
        sums: list[tuple[np.ndarray, np.ndarray]] = []
        for i, (r_sum, count) in enumerate(parents):
            left = (position == 2 * i).astype(np.float32)
            r_left, n_left = self.one_hot @ (left * residual), self.one_hot @ left
            # The right child is the parent less the left child: half the products.
            sums += [(r_left, n_left), (r_sum - r_left, count - n_left)]
        return sums

    def _best_split(self, r_sum: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the column and bin of the greatest gain for every class."""
        shape = (-1, self.width, self.k)
        r_left = np.cumsum(r_sum.reshape(shape), axis=1, dtype=np.float64)
        n_left = np.cumsum(count.reshape(shape), axis=1, dtype=np.float64)
        r_all, n_all = r_left[:1, -1:], n_left[:1, -1:]
        n_right = n_all - n_left
        both = (n_left > 0.5) & (n_right > 0.5)
        safe_l, safe_r = np.where(both, n_left, 1), np.where(both, n_right, 1)
        difference = r_left / safe_l - (r_all - r_left) / safe_r
        gain = np.where(both, safe_l * safe_r / (safe_l + safe_r) * difference**2, 0.0)
        order = self.column_order.permutation(len(gain))
        flat = gain[order].reshape(-1, self.k)
        best = flat.argmax(axis=0)
        best_gain = flat[best, np.arange(self.k)]
        column = order[best // self.width]
        splits = best_gain > MIN_RELATIVE_GAIN * n_all[0, 0]
        np.add.at(self.gain, column[splits], best_gain[splits])
        return column, np.where(splits, best % self.width, NO_SPLIT).astype(np.uint8)


def _newton_step(
    residual: Float[np.ndarray, "n k"], position: Int[np.ndarray, "n k"]
) -> Float[np.ndarray, "leaves k"]:
    k = int(residual.shape[1])
    flat: Int[np.ndarray, " nk"] = np.ravel(position * k + np.arange(k))
    size = np.abs(residual)
    numerator = np.bincount(flat, residual.ravel(), LEAVES * k)
    denominator = np.bincount(flat, (size * (1 - size)).ravel(), LEAVES * k)
    step = np.where(denominator > 1e-12, numerator / np.maximum(denominator, 1e-12), 0.0)
    return ((k - 1) / k * step).reshape(LEAVES, k).astype(np.float32)


def _goes_right(
    binned: UInt8[np.ndarray, "n c"],
    position: Int[np.ndarray, "n k"],
    depth: int,
    column: Int[np.ndarray, "nodes k"],
    cut: UInt8[np.ndarray, "nodes k"],
) -> np.ndarray:
    """Return whether every item goes right at its node of this depth, for every class."""
    first = 2**depth - 1
    right = binned[:, column[first]] > cut[first]
    for i in range(1, 2**depth):
        node = first + i
        at_node = binned[:, column[node]] > cut[node]
        right = np.where(position == i, at_node, right)
    return right


def _edges(column: Float[np.ndarray, " n"]) -> Float[np.ndarray, " _"]:
    """Return cuts half-way between values, at most 63, of equal count."""
    values = np.unique(column)
    if len(values) > MAX_BINS:
        values = np.unique(np.quantile(column, np.linspace(0, 1, MAX_BINS)))
    return (values[1:] + values[:-1]) / 2


def _to_bins(
    x: Float[np.ndarray, "n c"], edges: list[Float[np.ndarray, " _"]]
) -> UInt8[np.ndarray, "n c"]:
    columns: list[Int[np.ndarray, " n"]]
    columns = [np.searchsorted(e, column) for e, column in zip(edges, x.T, strict=True)]
    return np.stack(columns, axis=1).astype(np.uint8)
