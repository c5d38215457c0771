"""Linear support vector machines on one number, one class against the others, as in liblinear.

A machine minimises ½(w² + b²) + C Σ_i c_i max(0, 1 − s_i(w x_i + b))² over w and b, with s_i = ±1:
a squared hinge loss and a penalised intercept. Classes are balanced as in liblinear: items of the
class have the weight c = n/(classes · n_class) and all others 1; with two classes both have
n/(2 n_class). On sorted numbers the items inside a margin are contiguous, so a Newton step costs a
few look-ups in cumulative sums for any n. The machines of all classes of all factors step together.

Index letters: `n` training items, `m` test items, `f` factors, `g` machines, `k` classes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

Machines = tuple[Int[np.ndarray, " k"], Float[np.ndarray, "k 2"]]


def accuracy(
    x: Float[np.ndarray, " n"],
    labels: Int[np.ndarray, "n f"],
    x_test: Float[np.ndarray, " m"],
    y_test: Int[np.ndarray, "m f"],
    C: float,
) -> Float[np.ndarray, " f"]:
    """Compute the test accuracy of every factor; the class of the highest w x + b is predicted.

    Parameters
    ----------
    x : array of shape (n,)
        Training values of one dimension.
    labels : integer array of shape (n, f)
        Training classes of every factor.
    x_test : array of shape (m,)
        Test values.
    y_test : integer array of shape (m, f)
        Test classes.
    C : float
        Inverse strength of the penalty, as in liblinear.

    Returns
    -------
    array of shape (f,)
        Accuracy, 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.repeat([-1.0, 1.0], 20), np.repeat([[0], [1]], 20, axis=0)
    >>> accuracy(x, y, np.array([-2.0, 2.0]), np.array([[0], [0]]), C=0.01).tolist()
    [0.5]
    """
    accuracies: list[float] = []
    for (classes, weights), y in zip(fit(x, labels, C), y_test.T, strict=True):
        values = weights[:, :1] * x_test + weights[:, 1:]
        accuracies.append(float((classes[values.argmax(axis=0)] == y).mean()))
    return np.array(accuracies)


def fit(x: Float[np.ndarray, " n"], labels: Int[np.ndarray, "n f"], C: float) -> list[Machines]:
    """Fit one machine for every class of every factor.

    Parameters
    ----------
    x : array of shape (n,)
        Values of one dimension.
    labels : integer array of shape (n, f)
        Classes of every factor, 0 or more.
    C : float
        Inverse strength of the penalty, as in liblinear.

    Returns
    -------
    list of f tuples
        Classes that occur, shape (k,), and w and b of each, shape (k, 2). A factor with one class
        has w = b = 0.
    """
    n = len(x)
    order = np.argsort(x, kind="stable")
    powers = np.stack([x[order], x[order] ** 2])
    classes: list[np.ndarray] = []
    costs: list[np.ndarray] = []
    ranks: list[np.ndarray] = []
    keys: list[np.ndarray] = []
    first = 0
    for column in labels[order].T:
        counts = np.bincount(column)
        present: Int[np.ndarray, " k"] = np.flatnonzero(counts)
        k, count = len(present), counts[present]
        machine = (np.cumsum(counts > 0) - 1)[column] + first
        # The narrowest integer type makes this a radix sort.
        rank = np.argsort(machine.astype(np.min_scalar_type(first + k)), kind="stable")
        ranks.append(rank)
        keys.append(machine[rank] * (n + 1) + rank)
        cost_of_others = n / (2 * (n - count)) if k == 2 else np.ones(k)
        costs.append(C * np.stack([n / (k * count), cost_of_others], axis=1) * (k > 1))
        classes.append(present)
        first += k
    own = _cumulative(powers[:, np.concatenate(ranks)])
    total = _cumulative(powers)
    problem = _Problem(x[order], np.concatenate(keys), own, total, np.concatenate(costs))
    ends = np.cumsum([len(present) for present in classes])[:-1]
    return list(zip(classes, np.split(_newton(problem), ends), strict=True))


class _Problem(NamedTuple):
    """All machines g on one column: sorted numbers, and cumulative sums of x and x².

    `keys` are g (n + 1) + rank of the items of each machine's class, machine by machine, in the
    order of `own`.
    """

    x: Float[np.ndarray, " n"]
    keys: Int[np.ndarray, " items"]
    own: Float[np.ndarray, "2 items1"]
    total: Float[np.ndarray, "2 n1"]
    cost: Float[np.ndarray, "g 2"]

    def sums(
        self, w: Float[np.ndarray, " g"], b: Float[np.ndarray, " g"], sign: int
    ) -> tuple[Float[np.ndarray, "3 g"], Float[np.ndarray, "3 g"]]:
        """Sum 1, x and x² over items with sign·(w x + b) < 1: of each machine's class and of all.

        An item exactly on the margin adds nothing to the loss, so either side is right for it.
        """
        n = len(self.x)
        boundary = np.searchsorted(self.x, (sign - b) / np.where(w == 0, 1, w))
        flat = np.where(sign * b < 1, n, 0)
        low = np.where(sign * w < 0, boundary, 0)
        high = np.where(w == 0, flat, np.where(sign * w < 0, n, boundary))
        start = np.arange(len(w)) * (n + 1)
        ends = [np.searchsorted(self.keys, start + end) for end in (low, high)]
        return _between(self.own, ends[0], ends[1]), _between(self.total, low, high)

    def at(self, wb: Float[np.ndarray, "g 2"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Compute the loss of every machine, its gradient and its Hessian."""
        w, b = wb.T
        inside, _ = self.sums(w, b, 1)
        own, total = self.sums(w, b, -1)
        value, gradient = 0.5 * (w * w + b * b), wb.copy()
        hessian = np.tile(np.eye(2), (len(wb), 1, 1))
        for sums, sign, c in (
            (inside, 1, self.cost[:, 0]),
            (total - own, -1, self.cost[:, 1]),
        ):
            n, s, q = sums
            value += c * (n - 2 * sign * (w * s + b * n) + w * w * q + 2 * w * b * s + b * b * n)
            gradient[:, 0] += 2 * c * (w * q + b * s - sign * s)
            gradient[:, 1] += 2 * c * (w * s + b * n - sign * n)
            hessian += 2 * c[:, None, None] * np.stack([q, s, s, n], axis=1).reshape(-1, 2, 2)
        return value, gradient, hessian


def _cumulative(powers: Float[np.ndarray, "2 n"]) -> Float[np.ndarray, "2 n1"]:
    sums = np.zeros((2, powers.shape[1] + 1))
    np.cumsum(powers, axis=1, out=sums[:, 1:])
    return sums


def _between(
    sums: Float[np.ndarray, "2 _"], low: Int[np.ndarray, " g"], high: Int[np.ndarray, " g"]
) -> Float[np.ndarray, "3 g"]:
    return np.concatenate([(high - low)[None], sums[:, high] - sums[:, low]])


def _newton(problem: _Problem) -> Float[np.ndarray, "g 2"]:
    """Return w and b of every machine, by Newton steps halved until no loss increases."""
    wb = np.zeros_like(problem.cost)
    value, gradient, hessian = problem.at(wb)
    for _ in range(50):
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        if np.abs(step).max() < 1e-9:
            break
        candidate = problem.at(wb - step)
        for _ in range(30):
            worse = candidate[0] > value * (1 + 1e-12)
            if not worse.any():
                break
            step[worse] /= 2
            candidate = problem.at(wb - step)
        wb, (value, gradient, hessian) = wb - step, candidate
    return wb
