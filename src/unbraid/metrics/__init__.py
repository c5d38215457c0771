"""Metrics: scores of codes against factors, computed on NumPy arrays without a model or PyTorch.

A metric is one module, and its name in `METRICS`; the module is imported when the metric is first
looked up. It defines

- `TITLE`, the name in tables, and `PROTOCOLS`, its protocols by name;
- `score(codes, factors, rng, protocol)`, which returns `score` and `standard_error`, or several
  scores, each with its `…_standard_error`, whose names are in `SCORE_NAMES`;
- `MIN_FACTORS`, the number of varying factors that it needs: 0 if it needs no labels, default 1.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from unbraid.registry import LazyRegistry

if TYPE_CHECKING:
    from unbraid.codes import Codes
    from unbraid.metrics import (
        beta_vae,
        classification,
        dci,
        factor_vae,
        infomec,
        irs,
        mig,
        modularity,
        probes,
        sap,
        udr,
        unsupervised,
    )

# Names on the command line.
METRICS: LazyRegistry[ModuleType] = LazyRegistry(
    {
        name: f"unbraid.metrics.{name.replace('-', '_')}"
        for name in (
            *("factor-vae", "classification", "beta-vae", "mig", "sap", "dci", "modularity"),
            *("irs", "infomec", "unsupervised", "probes", "udr"),
        )
    }
)

__all__ = [
    "METRICS",
    "Codes",
    "beta_vae",
    "classification",
    "dci",
    "factor_vae",
    "infomec",
    "irs",
    "mig",
    "modularity",
    "probes",
    "sap",
    "udr",
    "unsupervised",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Codes":
        from unbraid.codes import Codes

        return Codes
    return importlib.import_module(f"{__name__}.{name}")
