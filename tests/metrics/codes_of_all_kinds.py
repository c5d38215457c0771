"""Codes of a small grid, and every metric under every protocol that takes them."""

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
# Defined on the interval −4 … 4, or by the widest dimension: a rescaled code is another code.
BOUND_TO_A_RANGE = (("mig", "do2020"), ("infomec", "hsu2023"))


def codes_of(mean: np.ndarray, **more: Any) -> Codes:
    """Codes with a narrow posterior."""
    mean = mean.astype(np.float64)
    return Codes(mean, np.full_like(mean, 0.05), **more)


def scores(
    name: str, protocol: str, codes: Codes, factors: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """What a metric finds."""
    return METRICS[name].score(codes, factors, np.random.default_rng(seed), protocol)


def values(found: dict[str, float]) -> dict[str, float]:
    """The scores alone."""
    beside = ("items", "dimensions", "chance")
    return {k: v for k, v in found.items() if "standard_error" not in k and k not in beside}


def errors(found: dict[str, float]) -> dict[str, float]:
    """The standard errors, by the name of their score."""
    if "score" in found:
        return {"score": found["standard_error"]}
    end = "_standard_error"
    return {k.removesuffix(end): v for k, v in found.items() if k.endswith(end)}
