"""Profiles of the property tests: few examples, or more with UNBRAID_HYPOTHESIS_PROFILE=full.

Both are deterministic: a failure is a failure on every machine, and none is found by luck.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from unbraid.metrics import trees, uncertainty

for profile, max_examples in (("quick", 5), ("full", 40)):
    settings.register_profile(
        profile,
        max_examples=max_examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
settings.load_profile(os.environ.get("UNBRAID_HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="module", autouse=True)
def cheap_metrics() -> Iterator[None]:
    """Leave out standard errors, which fit a classifier ten times more, and 9 of 10 trees."""
    fit = trees.fit

    def few_rounds(x: Any, labels: Any, classes: int, rounds: int = 100) -> trees.Forest:
        return fit(x, labels, classes, min(rounds, 10))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(uncertainty, "batch_means_se", lambda *_: np.zeros(3))
        patched.setattr(trees, "fit", few_rounds)
        yield
