"""Mutual information between the dimensions of a code and the factors, in nats.

One table of joint masses per (dimension, factor), kept apart for g groups of items, so that a score
and its jackknife come from one pass over the items.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num
from scipy import sparse
from scipy.special import digamma, ndtr

from unbraid.codes import Codes
from unbraid.entropy import entropy

# Joint masses of one dimension and one factor: group, bin or category, value of the factor.
Joint = Num[np.ndarray, "_ _ _"]


def discretise(column: Float[np.ndarray, " n"], bins: int) -> Int[np.ndarray, " n"]:
    """The bin of every value, of `bins` of equal width from the least value to the greatest."""
    low, high = float(column.min()), float(column.max())
    if low == high:
        return np.zeros(len(column), np.int64)
    # In float64 and by one product: the greatest value alone reaches `bins`.
    scaled = (column.astype(np.float64) - low) * (bins / (high - low))
    return np.minimum(scaled.astype(np.int64), bins - 1)


def code_classes(codes: Codes, bins: int) -> Int[np.ndarray, "n d"]:
    """Every dimension's bin, then the category of the discrete code."""
    labels = [discretise(column, bins) for column in codes.mean.T]
    if codes.category is not None:
        labels.append(codes.category)
    return np.stack(labels, axis=1).astype(np.int64)


def contingency(
    code: Int[np.ndarray, "n d"], factors: Int[np.ndarray, "n f"], group: Int[np.ndarray, " n"]
) -> list[list[Joint]]:
    """Joint counts of every dimension and every factor, group by group."""
    number = int(group.max()) + 1
    sizes_d, sizes_f = code.max(axis=0) + 1, factors.max(axis=0) + 1
    rows: list[list[Joint]] = []
    for column, k in zip(code.T, sizes_d, strict=True):
        prefix = group * k + column
        row: list[Joint] = []
        for labels, v in zip(factors.T, sizes_f, strict=True):
            counts = np.bincount(prefix * v + labels, minlength=number * k * v)
            row.append(counts.reshape(number, k, v))
        rows.append(row)
    return rows


def posterior_joint(
    mean: Float[np.ndarray, " n"],
    std: Float[np.ndarray, " n"],
    edges: Float[np.ndarray, " e"],
    factors: Int[np.ndarray, "n f"],
    group: Int[np.ndarray, " n"],
) -> list[Joint]:
    """Joint masses of one dimension, its code drawn from N(mean, std²), and every factor.

    The mass of a bin is Φ((b − μ)/σ) − Φ((a − μ)/σ); what lies outside the edges counts to the
    outermost bins.
    """
    number, bins = int(group.max()) + 1, len(edges) - 1
    sizes = factors.max(axis=0) + 1
    joints = [np.zeros((number * v, bins)) for v in sizes]
    for start in range(0, len(mean), 4096):
        part = slice(start, start + 4096)
        below = ndtr((edges[1:-1] - mean[part, None]) / std[part, None])
        ends = np.zeros((len(below), 1)), np.ones((len(below), 1))
        mass = np.diff(np.concatenate([ends[0], below, ends[1]], axis=1), axis=1)
        items = np.arange(len(mass))
        for joint, labels, v in zip(joints, factors[part].T, sizes, strict=True):
            rows = group[part] * v + labels
            # A product with a sparse one-hot matrix adds up each group's and value's items.
            joint += sparse.csr_array(
                (np.ones(len(items)), (rows, items)), shape=(number * v, len(items))
            ) @ mass.astype(np.float64)
    shaped = zip(joints, sizes, strict=True)
    return [joint.reshape(number, v, bins).transpose(0, 2, 1) for joint, v in shaped]


def information(joint: Num[np.ndarray, "k v"]) -> float:
    """I(a; b) = Σ p(a, b) log p(a, b)/(p(a) p(b)), nats, of counts or masses."""
    if joint.sum() <= 0:
        return 0.0
    p = joint / joint.sum()
    independent = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
    seen = p > 0
    return max(0.0, float(np.sum(p[seen] * np.log(p[seen] / independent[seen]))))


def tables(
    joints: list[list[Joint]],
) -> tuple[Float[np.ndarray, "g1 d f"], Float[np.ndarray, "g1 f"]]:
    """I(d; f) and H(f) of all items, and then without each group, nats."""
    informations, entropies = [], []
    for left_out in range(-1, len(joints[0][0])):

        def kept(joint: Joint, left_out: int = left_out) -> Num[np.ndarray, "k v"]:
            whole = joint.sum(axis=0)
            return whole if left_out < 0 else whole - joint[left_out]

        informations.append([[information(kept(joint)) for joint in row] for row in joints])
        entropies.append([entropy(kept(joint).sum(axis=0)) for joint in joints[0]])
    return np.array(informations), np.array(entropies)


def knn_mi(
    column: Float[np.ndarray, " n"], labels: Int[np.ndarray, " n"], neighbours: int = 3
) -> float:
    """I(column; labels) from nearest neighbours, nats (Ross 2014); no bins.

    ψ(N) + ψ(k) − ⟨ψ(N_v)⟩ − ⟨ψ(m)⟩: m items lie nearer than the k-th neighbour of the same value.
    Where that one lies at distance 0, k is how many of the value do (Gao et al. 2017), so that a
    column of few numbers is counted. Values seen once are left out; a constant column has 0.
    """
    order = np.argsort(column, kind="stable")
    x, y = column[order].astype(np.float64), labels[order]
    x -= x.mean()
    radius, size, k = np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(x))
    for value in np.unique(y):
        place = np.flatnonzero(y == value)
        size[place] = len(place)
        if len(place) > 1:
            k[place] = min(neighbours, len(place) - 1)
            radius[place] = _distance(x[place], int(k[place[0]]))
            k[place] = np.where(radius[place] > 0, k[place], _equal(x[place]))
    used = k > 0
    if not used.any() or x[0] == x[-1]:
        return 0.0
    x, k, size = x[used], k[used], size[used]
    # Strictly nearer than the k-th neighbour, itself included; a margin that outlives rounding.
    radius = radius[used] * (1 - 1e-6)
    within = np.searchsorted(x, x + radius, "right") - np.searchsorted(x, x - radius, "left")
    terms = digamma(len(x)) + digamma(k) - digamma(size) - digamma(np.maximum(within, 1))
    return max(0.0, float(terms.mean()))


def _equal(x: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """How many of the sorted numbers equal each, itself included."""
    return np.searchsorted(x, x, "right") - np.searchsorted(x, x, "left")


def _distance(x: Float[np.ndarray, " n"], k: int) -> Float[np.ndarray, " n"]:
    """Distance of each sorted value to its k-th neighbour: the best of k + 1 windows on it."""
    padded = np.concatenate([np.full(k, -np.inf), x, np.full(k, np.inf)])
    best = np.full(len(x), np.inf)
    for left in range(k + 1):
        low, high = padded[k - left : k - left + len(x)], padded[2 * k - left :][: len(x)]
        best = np.minimum(best, np.maximum(x - low, high - x))
    return best
