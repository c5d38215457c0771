"""Multinomial logistic regression, for the metrics that fit a linear classifier."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import softmax
from threadpoolctl import threadpool_limits

Weights = Float[np.ndarray, "c1 classes"]


def fit(
    x: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    classes: int,
    C: float = 1.0,
) -> Weights:
    """The minimiser of Σ_n −log p(label|x) + ‖W‖²/(2·C), the last row the free intercept.

    Convex, by L-BFGS to a gradient of 1e-5 an item; `C` is scikit-learn's C. Give x of unit
    variance: the penalty weighs every column alike.
    """
    n, width = x.shape
    # A score costs an exponential: in float32 it is a third of the time, and the sums are float64.
    x_cn = np.concatenate([x.T, np.ones((1, n))]).astype(np.float32)
    items = np.arange(n)
    penalised = np.append(np.ones(width), 0.0) / C

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(classes, width + 1)
        p = w.astype(np.float32) @ x_cn
        p -= p.max(axis=0)
        own = p[labels, items].sum(dtype=np.float64)
        np.exp(p, out=p)
        total = p.sum(axis=0)
        value = np.log(total).sum(dtype=np.float64) - own + 0.5 * np.sum(penalised * w**2)
        p /= total
        p[labels, items] -= 1
        gradient = p @ x_cn.T + penalised * w
        return float(value) / n, gradient.astype(np.float64).ravel() / n

    start = np.zeros((classes, width + 1))
    start[:, -1] = np.log(np.bincount(labels, minlength=classes) / n + 1e-9)
    options = {"maxiter": 500, "gtol": 1e-5}
    # On products this small two threads of a BLAS wait 20 times as long as they work.
    with threadpool_limits(1, "blas"):
        found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(classes, width + 1).T


def probabilities(weights: Weights, x: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n classes"]:
    """p(class|x) of every item."""
    return softmax(x @ weights[:-1] + weights[-1], axis=1)


def predicted(weights: Weights, x: Float[np.ndarray, "n c"]) -> Int[np.ndarray, " n"]:
    """The likeliest class of every item."""
    return np.argmax(x @ weights[:-1] + weights[-1], axis=1)
