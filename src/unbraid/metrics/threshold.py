"""A linear support vector machine on one number, one class against the others.

min_(w, b) ½(w² + b²) + C Σ_i c_i max(0, 1 − s_i(w x_i + b))², s_i = ±1: the squared hinge and the
penalised intercept of liblinear. Its balance too: the class's items weigh n/(classes · n_class),
the others 1; with two classes both weigh n/(2 n_class). On sorted numbers the items inside a margin
are a run, so a Newton step costs a few look-ups in running sums, whatever n is; the machines of
all classes of all factors step together.
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
    """For each factor the share of test items whose class has the highest w x + b."""
    shares = []
    for (classes, weights), y in zip(fit(x, labels, C), y_test.T, strict=True):
        values = weights[:, :1] * x_test + weights[:, 1:]
        shares.append(np.mean(classes[values.argmax(axis=0)] == y))
    return np.array(shares)


def fit(x: Float[np.ndarray, " n"], labels: Int[np.ndarray, "n f"], C: float) -> list[Machines]:
    """For each factor the classes seen, of labels from 0, and w and b of each against the others.

    A class without others has w = b = 0.
    """
    n = len(x)
    order = np.argsort(x, kind="stable")
    powers = np.stack([x[order], x[order] ** 2])
    classes, costs, ranks, keys = [], [], [], []
    first = 0
    for column in labels[order].T:
        counts = np.bincount(column)
        seen = np.flatnonzero(counts)
        k, count = len(seen), counts[seen]
        group = (np.cumsum(counts > 0) - 1)[column] + first
        # Few classes in the narrowest type: a sort by their digits.
        rank = np.argsort(group.astype(np.min_scalar_type(first + k)), kind="stable")
        ranks.append(rank)
        keys.append(group[rank] * (n + 1) + rank)
        others = n / (2 * (n - count)) if k == 2 else np.ones(k)
        costs.append(C * np.stack([n / (k * count), others], axis=1) * (k > 1))
        classes.append(seen)
        first += k
    own = _running(powers[:, np.concatenate(ranks)])
    problem = _Problem(x[order], np.concatenate(keys), own, _running(powers), np.concatenate(costs))
    parts = np.split(_newton(problem), np.cumsum([len(seen) for seen in classes])[:-1])
    return list(zip(classes, parts, strict=True))


class _Problem(NamedTuple):
    """All machines g on one column: sorted numbers, and running sums of x and x².

    `keys` are g (n + 1) + rank of each machine's own items, g by g, in step with `own`.
    """

    x: Float[np.ndarray, " n"]
    keys: Int[np.ndarray, " items"]
    own: Float[np.ndarray, "2 items1"]
    everything: Float[np.ndarray, "2 n1"]
    cost: Float[np.ndarray, "g 2"]

    def sums(
        self, w: Float[np.ndarray, " g"], b: Float[np.ndarray, " g"], sign: int
    ) -> tuple[Float[np.ndarray, "3 g"], Float[np.ndarray, "3 g"]]:
        """Sums of 1, x and x² over items with sign·(w x + b) < 1, each machine's own and all."""
        n = len(self.x)
        # An item on the margin itself adds nothing to the loss, on whichever side it counts.
        place = np.searchsorted(self.x, (sign - b) / np.where(w == 0, 1, w))
        flat = np.where(sign * b < 1, n, 0)
        low = np.where(sign * w < 0, place, 0)
        high = np.where(w == 0, flat, np.where(sign * w < 0, n, place))
        start = np.arange(len(w)) * (n + 1)
        ends = [np.searchsorted(self.keys, start + end) for end in (low, high)]
        return _between(self.own, *ends), _between(self.everything, low, high)

    def at(self, wb: Float[np.ndarray, "g 2"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every machine's loss, its gradient and its curvature."""
        w, b = wb.T
        inside, _ = self.sums(w, b, 1)
        own, everything = self.sums(w, b, -1)
        value, gradient = 0.5 * (w * w + b * b), wb.copy()
        curvature = np.tile(np.eye(2), (len(wb), 1, 1))
        for sums, sign, c in (
            (inside, 1, self.cost[:, 0]),
            (everything - own, -1, self.cost[:, 1]),
        ):
            n, s, q = sums
            value += c * (n - 2 * sign * (w * s + b * n) + w * w * q + 2 * w * b * s + b * b * n)
            gradient[:, 0] += 2 * c * (w * q + b * s - sign * s)
            gradient[:, 1] += 2 * c * (w * s + b * n - sign * n)
            curvature += 2 * c[:, None, None] * np.stack([q, s, s, n], axis=1).reshape(-1, 2, 2)
        return value, gradient, curvature


def _running(powers: Float[np.ndarray, "2 n"]) -> Float[np.ndarray, "2 n1"]:
    sums = np.zeros((2, powers.shape[1] + 1))
    np.cumsum(powers, axis=1, out=sums[:, 1:])
    return sums


def _between(
    sums: Float[np.ndarray, "2 _"], low: Int[np.ndarray, " g"], high: Int[np.ndarray, " g"]
) -> Float[np.ndarray, "3 g"]:
    return np.concatenate([(high - low)[None], sums[:, high] - sums[:, low]])


def _newton(problem: _Problem) -> Float[np.ndarray, "g 2"]:
    """W and b of every machine, by Newton steps that are halved until they help."""
    wb = np.zeros_like(problem.cost)
    value, gradient, curvature = problem.at(wb)
    for _ in range(50):
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        if np.abs(step).max() < 1e-9:
            break
        following = problem.at(wb - step)
        for _ in range(30):
            worse = following[0] > value * (1 + 1e-12)
            if not worse.any():
                break
            step[worse] /= 2
            following = problem.at(wb - step)
        wb, (value, gradient, curvature) = wb - step, following
    return wb
