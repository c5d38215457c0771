"""Mutual information between the dimensions of a code and the factors, in nats.

A joint table counts items, or sums their probabilities, by group of items, class (bin or category)
of a dimension, and value of a factor. The groups allow a score and its jackknife to be computed in
one pass over the items.

Index letters: `n` items, `d` dimensions including the discrete code, `f` factors, `g` groups.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num

from unbraid.codes import Codes
from unbraid.entropy import entropy
from unbraid.metrics._scipy import digamma, normal_cdf, one_hot

Joint = Num[np.ndarray, "_ _ _"]

# Items smoothed at once; bounds the memory of their bins.
CHUNK = 4096
# Information below which rounding errors of float64 are all that is left, in nats.
MIN_INFORMATION = 1e-12


def discretise(column: Float[np.ndarray, " n"], bins: int) -> Int[np.ndarray, " n"]:
    """Assign values to bins of equal width between the minimum and the maximum.

    Parameters
    ----------
    column : array of shape (n,)
        Values of one dimension.
    bins : int
        Number of bins.

    Returns
    -------
    integer array of shape (n,)
        Bin of every value, 0 … `bins` − 1; 0 for a constant column.

    Examples
    --------
    >>> import numpy as np
    >>> discretise(np.array([0.0, 0.9, 1.0, 4.0]), 4).tolist()
    [0, 0, 1, 3]
    """
    low, high = float(column.min()), float(column.max())
    if low == high:
        return np.zeros(len(column), np.int64)
    # One product in float64, so that only the maximum reaches `bins`.
    scaled = (column.astype(np.float64) - low) * (bins / (high - low))
    return np.minimum(scaled.astype(np.int64), bins - 1)


def code_classes(codes: Codes, bins: int) -> Int[np.ndarray, "n d"]:
    """Discretise every dimension of a code; the category is the last column.

    Parameters
    ----------
    codes : Codes
        Codes of n items.
    bins : int
        Number of bins of a continuous dimension.

    Returns
    -------
    integer array of shape (n, d)
        Bins, then the category if there is a discrete code.
    """
    columns = [discretise(column, bins) for column in codes.mean.T]
    if codes.category is not None:
        columns.append(codes.category)
    return np.stack(columns, axis=1).astype(np.int64)


def contingency(
    code: Int[np.ndarray, "n d"], factors: Int[np.ndarray, "n f"], group: Int[np.ndarray, " n"]
) -> list[list[Joint]]:
    """Count the items of every (group, class of a dimension, value of a factor).

    Parameters
    ----------
    code : integer array of shape (n, d)
        Class of every dimension, from 0.
    factors : integer array of shape (n, f)
        Value of every factor, from 0.
    group : integer array of shape (n,)
        Group of every item, from 0.

    Returns
    -------
    list of lists of arrays
        `joints[d][f]` has shape (groups, classes of d, values of f).

    Examples
    --------
    >>> import numpy as np
    >>> bit = np.array([[0], [1], [1]])
    >>> contingency(bit, bit, np.zeros(3, int))[0][0].tolist()
    [[[1, 0], [0, 2]]]
    """
    groups = int(group.max()) + 1
    num_classes, num_values = code.max(axis=0) + 1, factors.max(axis=0) + 1
    joints: list[list[Joint]] = []
    for column, k in zip(code.T, num_classes, strict=True):
        prefix = group * k + column
        row: list[Joint] = []
        for values, v in zip(factors.T, num_values, strict=True):
            counts = np.bincount(prefix * v + values, minlength=groups * k * v)
            row.append(counts.reshape(groups, k, v))
        joints.append(row)
    return joints


def posterior_joint(
    mean: Float[np.ndarray, " n"],
    std: Float[np.ndarray, " n"],
    edges: Float[np.ndarray, " e"],
    factors: Int[np.ndarray, "n f"],
    group: Int[np.ndarray, " n"],
) -> list[Joint]:
    """Compute joint masses of one dimension, sampled from N(mean, std²), and every factor.

    An item adds the mass Φ((b − μ)/σ) − Φ((a − μ)/σ) to a bin from a to b; its mass beyond the
    edges is added to the outermost bins.

    Parameters
    ----------
    mean, std : array of shape (n,)
        Posterior means and standard deviations of the dimension.
    edges : array of shape (e,)
        Edges of the bins, ascending.
    factors : integer array of shape (n, f)
        Value of every factor, from 0.
    group : integer array of shape (n,)
        Group of every item, from 0.

    Returns
    -------
    list of f arrays
        `joints[f]` has shape (groups, e − 1, values of f).
    """
    groups, bins = int(group.max()) + 1, len(edges) - 1
    num_values = [int(largest) + 1 for largest in factors.max(axis=0)]
    joints: list[np.ndarray] = [np.zeros((groups * v, bins)) for v in num_values]
    for start in range(0, len(mean), CHUNK):
        chunk = slice(start, start + CHUNK)
        below = normal_cdf((edges[1:-1] - mean[chunk, None]) / std[chunk, None])
        zeros, ones = np.zeros((len(below), 1)), np.ones((len(below), 1))
        mass = np.diff(np.concatenate([zeros, below, ones], axis=1), axis=1)
        items: Int[np.ndarray, " items"] = np.arange(len(mass))
        for joint, values, v in zip(joints, factors[chunk].T, num_values, strict=True):
            # The product with a sparse one-hot matrix sums over the items of a group and value.
            membership = one_hot(group[chunk] * v + values, items, (groups * v, len(items)))
            joint += membership @ mass.astype(np.float64)
    shaped = zip(joints, num_values, strict=True)
    return [joint.reshape(groups, v, bins).transpose(0, 2, 1) for joint, v in shaped]


def information(joint: Num[np.ndarray, "k v"]) -> float:
    """Compute the mutual information I(a; b) = Σ p(a, b) ln p(a, b)/(p(a) p(b)).

    Parameters
    ----------
    joint : array of shape (k, v)
        Joint counts or probabilities.

    Returns
    -------
    float
        Mutual information in nats, 0 or more; exactly 0 for independent variables, and if all
        masses are 0.

    Examples
    --------
    >>> import numpy as np
    >>> round(information(np.array([[5, 0], [0, 5]])), 3)  # ln 2
    0.693
    """
    if joint.sum() <= 0:
        return 0.0
    p = joint / joint.sum()
    independent = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
    positive = p > 0
    terms = p[positive] * np.log(p[positive] / independent[positive])
    value = float(np.sum(terms))
    return value if value > MIN_INFORMATION else 0.0


def tables(
    joints: list[list[Joint]],
) -> tuple[Float[np.ndarray, "g1 d f"], Float[np.ndarray, "g1 f"]]:
    """Compute I(d; f) and H(f) from all items, and without every group for the jackknife.

    Parameters
    ----------
    joints : list of lists of arrays
        Joint tables of every dimension and factor, as returned by `contingency`.

    Returns
    -------
    information : array of shape (g + 1, d, f)
        Mutual information in nats: of all items, then without group 0, 1, …
    entropies : array of shape (g + 1, f)
        Entropy of every factor in nats, in the same order.
    """
    informations: list[list[list[float]]] = []
    entropies: list[list[float]] = []
    for left_out in range(-1, len(joints[0][0])):

        def remaining(joint: Joint, left_out: int = left_out) -> Num[np.ndarray, "k v"]:
            total = joint.sum(axis=0)
            return total if left_out < 0 else total - joint[left_out]

        informations.append([[information(remaining(joint)) for joint in row] for row in joints])
        entropies.append([entropy(remaining(joint).sum(axis=0)) for joint in joints[0]])
    return np.array(informations), np.array(entropies)


def knn_mi(
    column: Float[np.ndarray, " n"], labels: Int[np.ndarray, " n"], neighbours: int = 3
) -> float:
    """Estimate I(column; labels) from nearest neighbours, without bins.

    The estimate is ψ(N) + ψ(k) − ⟨ψ(N_v)⟩ − ⟨ψ(m)⟩, where m items are nearer than the k-th
    neighbour of the same label, and N_v items have that label. If the k-th neighbour is at
    distance 0, k is the number of items of the label with the same value. Labels that occur once
    are ignored.

    Parameters
    ----------
    column : array of shape (n,)
        Values of one dimension.
    labels : integer array of shape (n,)
        Values of one factor.
    neighbours : int, default 3
        Number of neighbours k.

    Returns
    -------
    float
        Mutual information in nats, 0 or more; 0 for a constant column.

    References
    ----------
    Ross, "Mutual Information between Discrete and Continuous Data Sets", 2014; ties: Gao et al.,
    "Estimating Mutual Information for Discrete-Continuous Mixtures", 2017.
    """
    order = np.argsort(column, kind="stable")
    x, y = column[order].astype(np.float64), labels[order]
    x -= x.mean()
    radius, size, k = np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(x))
    for value in np.unique(y):
        index = np.flatnonzero(y == value)
        same_label = x[index]
        size[index] = len(index)
        if len(index) > 1:
            k[index] = min(neighbours, len(index) - 1)
            radius[index] = _kth_distance(same_label, int(k[index[0]]))
            num_equal = _num_between(same_label, same_label, same_label)
            k[index] = np.where(radius[index] > 0, k[index], num_equal)
    used = k > 0
    if not used.any() or x[0] == x[-1]:
        return 0.0
    x, k, size = x[used], k[used], size[used]
    # Count items strictly nearer than the k-th neighbour, including the item itself; the margin is
    # larger than rounding errors.
    radius = radius[used] * (1 - 1e-6)
    within = _num_between(x, x - radius, x + radius)
    terms = digamma(len(x)) + digamma(k) - digamma(size) - digamma(np.maximum(within, 1))
    return max(0.0, float(terms.mean()))


def _num_between(
    x: Float[np.ndarray, " n"], low: Float[np.ndarray, " n"], high: Float[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Count the sorted values from `low` to `high`, both included."""
    return np.searchsorted(x, high, "right") - np.searchsorted(x, low, "left")


def _kth_distance(x: Float[np.ndarray, " n"], k: int) -> Float[np.ndarray, " n"]:
    """Compute the distance of every sorted value to its k-th neighbour, over k + 1 windows."""
    padded = np.concatenate([np.full(k, -np.inf), x, np.full(k, np.inf)])
    best = np.full(len(x), np.inf)
    for left in range(k + 1):
        low, high = padded[k - left : k - left + len(x)], padded[2 * k - left :][: len(x)]
        best = np.minimum(best, np.maximum(x - low, high - x))
    return best
