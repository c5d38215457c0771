"""Codes of a small grid, and every metric under every protocol that takes codes and factors."""

from __future__ import annotations

from typing import Any

import numpy as np

from unbraid.codes import Codes
from unbraid.metrics import METRICS

SCORED = [
    (name, protocol)
    for name, metric in METRICS.items()
    if name not in ("udr", "classification")
    for protocol in metric.PROTOCOLS
]
# Defined on the interval −4 … 4, or relative to the widest dimension: these scores change if a
# single dimension is rescaled.
SCALE_DEPENDENT = (("mig", "do2020"), ("infomec", "hsu2023"))
STANDARD_ERROR = "_standard_error"


def narrow_codes(mean: np.ndarray, **kwargs: Any) -> Codes:
    """Codes with a narrow posterior, which no protocol takes for collapsed."""
    mean = mean.astype(np.float64)
    return Codes(mean, np.full_like(mean, 0.05), **kwargs)


def scores(
    name: str, protocol: str, codes: Codes, factors: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Compute a metric."""
    return METRICS[name].score(codes, factors, np.random.default_rng(seed), protocol)


def values(result: dict[str, float]) -> dict[str, float]:
    """The scores without standard errors and counts."""
    counts = ("items", "dimensions", "chance")
    return {k: v for k, v in result.items() if "standard_error" not in k and k not in counts}


def errors(result: dict[str, float]) -> dict[str, float]:
    """Standard errors by the name of their score."""
    if "score" in result:
        return {"score": result["standard_error"]}
    return {
        k.removesuffix(STANDARD_ERROR): v for k, v in result.items() if k.endswith(STANDARD_ERROR)
    }
