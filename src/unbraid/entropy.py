"""Shannon entropy of counts or probabilities, on numpy arrays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Num


def entropy(masses: Num[np.ndarray, "*table"]) -> float:
    """Compute the entropy H = −Σ p ln p in nats, with 0 ln 0 = 0.

    Parameters
    ----------
    masses : array of any shape
        Counts or probabilities, 0 or more; they are divided by their sum.

    Returns
    -------
    float
        Entropy in nats, 0 or more; 0 if all masses are 0.

    References
    ----------
    Shannon, "A Mathematical Theory of Communication", 1948, §6.

    Examples
    --------
    >>> import numpy as np
    >>> round(entropy(np.array([1, 1, 0])), 3)  # ln 2
    0.693
    >>> entropy(np.array([5, 0]))
    0.0
    """
    p = masses[masses > 0] / masses.sum()
    return max(0.0, float(-np.sum(p * np.log(p))))
