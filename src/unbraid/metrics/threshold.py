"""A linear support vector machine on one number, one class against the others.

min_(w, b) ½(w² + b²) + C Σ_i c_i max(0, 1 − s_i(w x_i + b))², s_i = ±1: the squared hinge and the
penalised intercept of liblinear. Its balance too: the class's items weigh n/(classes · n_class),
the others 1; with two classes both weigh n/(2 n_class). On sorted numbers the items inside the
margin are a run, so a Newton step costs a few look-ups in running sums, whatever n is.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def accuracy(
    x: Float[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    x_test: Float[np.ndarray, " m"],
    y_test: Int[np.ndarray, " m"],
    strength: float,
) -> float:
    """The share of test items whose class has the highest w x + b."""
    classes, weights = fit(x, labels, strength)
    values = x_test[:, None] * weights[:, 0] + weights[:, 1]
    return float(np.mean(classes[values.argmax(axis=1)] == y_test))


def fit(
    x: Float[np.ndarray, " n"], labels: Int[np.ndarray, " n"], strength: float
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, "k 2"]]:
    """The classes seen, and w and b of each against the others."""
    order = np.argsort(x, kind="stable")
    x, labels = x[order], labels[order]
    classes, counts = np.unique(labels, return_counts=True)
    own = [_running(x[labels == value]) for value in classes]
    everything = _running(x)
    n = len(x)
    weights = np.zeros((len(classes), 2))
    if len(classes) == 1:
        return classes, weights
    for k, count in enumerate(counts):
        others = n / (2 * (n - count)) if len(classes) == 2 else 1.0
        cost = strength * np.array([n / (len(classes) * count), others])
        weights[k] = _newton(own[k], everything, cost)
    return classes, weights


Running = tuple[Float[np.ndarray, " _"], Float[np.ndarray, "_ 3"]]


def _running(x: Float[np.ndarray, " n"]) -> Running:
    """Sorted numbers with the running sums of 1, x and x²."""
    powers = np.stack([np.ones_like(x), x, x**2], axis=1)
    return x, np.concatenate([np.zeros((1, 3)), np.cumsum(powers, axis=0)])


def _sums(run: Running, w: float, b: float, sign: int) -> Float[np.ndarray, " 3"]:
    """Sums of 1, x and x² over the numbers with sign·(w x + b) < 1."""
    x, sums = run
    if w == 0:
        return sums[-1] if sign * b < 1 else np.zeros(3)
    at = (sign - b) / w
    if sign * w > 0:
        return sums[np.searchsorted(x, at, "left")]
    return sums[-1] - sums[np.searchsorted(x, at, "right")]


def _newton(own: Running, everything: Running, cost: Float[np.ndarray, " 2"]) -> np.ndarray:
    """w and b of one class against the others, by Newton steps that are halved until they help."""

    def parts(wb: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        w, b = float(wb[0]), float(wb[1])
        inside = _sums(own, w, b, 1)
        outside = _sums(everything, w, b, -1) - _sums(own, w, b, -1)
        value, gradient, curvature = 0.5 * (w * w + b * b), wb.copy(), np.eye(2)
        for (n, s, q), sign, c in ((inside, 1, cost[0]), (outside, -1, cost[1])):
            fitted = w * w * q + 2 * w * b * s + b * b * n
            value += c * (n - 2 * sign * (w * s + b * n) + fitted)
            gradient += 2 * c * np.array([w * q + b * s - sign * s, w * s + b * n - sign * n])
            curvature += 2 * c * np.array([[q, s], [s, n]])
        return value, gradient, curvature

    wb = np.zeros(2)
    value, gradient, curvature = parts(wb)
    for _ in range(50):
        step = np.linalg.solve(curvature, gradient)
        if np.abs(step).max() < 1e-9:
            break
        for _ in range(30):
            next_value, next_gradient, next_curvature = parts(wb - step)
            if next_value <= value:
                break
            step = step / 2
        else:
            break
        wb, value, gradient, curvature = wb - step, next_value, next_gradient, next_curvature
    return wb
