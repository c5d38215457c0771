"""Multinomial logistic regression, for the metrics that fit a linear classifier."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

Weights = Float[np.ndarray, "c1 classes"]


def fit(
    x: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    classes: int,
    strength: float = 1.0,
) -> Weights:
    """The minimiser of Σ_n −log p(label|x) + ‖W‖²/(2·strength), the last row the free intercept.

    Convex, by L-BFGS to a gradient of 1e-4 an item; `strength` is scikit-learn's C. Give x of unit
    variance: the penalty weighs every column alike.
    """
    n, width = x.shape
    ones = np.concatenate([x, np.ones((n, 1))], axis=1)
    target = np.zeros((n, classes))
    target[np.arange(n), labels] = 1
    penalised = np.append(np.ones(width), 0.0)[:, None] / strength

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(width + 1, classes)
        log_p = log_softmax(ones @ w, axis=1)
        value = -np.sum(log_p * target) + 0.5 * np.sum(penalised * w**2)
        gradient = ones.T @ (np.exp(log_p) - target) + penalised * w
        return value / n, gradient.ravel() / n

    start = np.zeros((width + 1, classes))
    start[-1] = np.log(target.mean(axis=0) + 1e-9)
    options = {"maxiter": 500, "gtol": 1e-5}
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(width + 1, classes)


def probabilities(weights: Weights, x: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n classes"]:
    """p(class|x) of every item."""
    return softmax(x @ weights[:-1] + weights[-1], axis=1)


def predicted(weights: Weights, x: Float[np.ndarray, "n c"]) -> Int[np.ndarray, " n"]:
    """The likeliest class of every item."""
    return np.argmax(x @ weights[:-1] + weights[-1], axis=1)
