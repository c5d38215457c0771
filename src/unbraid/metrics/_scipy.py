"""SciPy's functions with types: SciPy is not annotated, and this package is checked strictly."""
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num, Shaped
from scipy import sparse, special
from threadpoolctl import threadpool_limits

Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]


def digamma(x: Any) -> Any:
    """Compute ψ(x)."""
    return special.digamma(x)


def normal_cdf(x: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
    """Compute Φ(x)."""
    return special.ndtr(x)


def softmax(x: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Compute the softmax of every row."""
    return special.softmax(x, axis=1)


def log_softmax(x: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Compute the logarithm of the softmax of every row."""
    return special.log_softmax(x, axis=1)


def ranks(x: Num[np.ndarray, " *s"]) -> Float[np.ndarray, " *s"]:
    """Rank values along the first axis; ties get their mean rank."""
    from scipy import stats  # takes a second to import

    return stats.rankdata(x, axis=0)


def student_quantile(p: float, df: int) -> float:
    """Compute a quantile of Student's t distribution."""
    from scipy import stats

    return float(stats.t.ppf(p, df))


def best_assignment(
    values: Num[np.ndarray, "r c"],
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return rows and columns of the one-to-one matching of the greatest sum."""
    from scipy import optimize

    return optimize.linear_sum_assignment(values, maximize=True)


def minimise(loss: Loss, start: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """Minimise a loss, given with its gradient, by L-BFGS to a gradient of 1e-5."""
    from scipy import optimize

    options = {"maxiter": 500, "gtol": 1e-5}
    # On products this small, two BLAS threads wait 20 times as long as they compute.
    with threadpool_limits(1, "blas"):
        return optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x


def one_hot(
    rows: Int[np.ndarray, " n"],
    columns: Int[np.ndarray, " n"],
    shape: tuple[int, int],
    dtype: type[np.floating[Any]] = np.float64,
) -> Any:
    """Return a sparse matrix with ones at the given positions."""
    ones: Shaped[np.ndarray, " n"] = np.ones(len(rows), dtype)
    return sparse.csr_array((ones, (rows, columns)), shape=shape)
