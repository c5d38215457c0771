"""Multinomial logistic regression for the metrics that fit a linear classifier."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from unbraid.metrics._scipy import minimise, softmax

Weights = Float[np.ndarray, "c1 classes"]


def fit(
    x: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    classes: int,
    C: float = 1.0,
) -> Weights:
    """Fit a classifier: minimise Σ_n −ln p(label|x) + ‖W‖²/(2·C).

    The problem is convex; L-BFGS stops at a gradient of 1e-5 per item.

    Parameters
    ----------
    x : array of shape (n, c)
        Input of n items; columns of unit variance, as the penalty treats all alike.
    labels : integer array of shape (n,)
        Class of every item, 0 … `classes` − 1.
    classes : int
        Number of classes.
    C : float, default 1.0
        Inverse strength of the penalty, as in scikit-learn.

    Returns
    -------
    array of shape (c + 1, classes)
        Weights; the last row is the intercept, which is not penalised.
    """
    n, width = x.shape
    # The exponentials dominate the cost: in float32 they take a third of the time; the sums are
    # in float64.
    x_cn = np.concatenate([x.T, np.ones((1, n))]).astype(np.float32)
    items: Int[np.ndarray, " n"] = np.arange(len(x))
    penalty = np.append(np.ones(width), 0.0) / C

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(classes, width + 1)
        p = w.astype(np.float32) @ x_cn
        p -= p.max(axis=0)
        own = p[labels, items].sum(dtype=np.float64)
        np.exp(p, out=p)
        total = p.sum(axis=0)
        value = np.log(total).sum(dtype=np.float64) - own + 0.5 * np.sum(penalty * w**2)
        p /= total
        p[labels, items] -= 1
        gradient = p @ x_cn.T + penalty * w
        return float(value) / n, gradient.astype(np.float64).ravel() / n

    start = np.zeros((classes, width + 1))
    start[:, -1] = np.log(np.bincount(labels, minlength=classes) / n + 1e-9)
    return minimise(loss, start.ravel()).reshape(classes, width + 1).T


def predict_proba(weights: Weights, x: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n classes"]:
    """Compute p(class|x).

    Parameters
    ----------
    weights : array of shape (c + 1, classes)
        Weights returned by `fit`.
    x : array of shape (n, c)
        Input of n items.

    Returns
    -------
    array of shape (n, classes)
        Probabilities; every row sums to 1.
    """
    return softmax(x @ weights[:-1] + weights[-1])


def predict(weights: Weights, x: Float[np.ndarray, "n c"]) -> Int[np.ndarray, " n"]:
    """Return the most probable class of every item.

    Parameters
    ----------
    weights : array of shape (c + 1, classes)
        Weights returned by `fit`.
    x : array of shape (n, c)
        Input of n items.

    Returns
    -------
    integer array of shape (n,)
        Classes.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.repeat([[-1.0], [1.0]], 50, axis=0)
    >>> predict(fit(x, np.repeat([0, 1], 50), classes=2), np.array([[-2.0], [0.5]])).tolist()
    [0, 1]
    """
    return np.argmax(x @ weights[:-1] + weights[-1], axis=1)
