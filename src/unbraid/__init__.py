"""unbraid trains and evaluates disentangled representations of images.

Names are imported when they are first used, so that `unbraid.metrics` works without PyTorch loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unbraid.data import load as load
    from unbraid.data.factors import FactorSpace as FactorSpace
    from unbraid.data.images import ImageTable as ImageTable
    from unbraid.engine import train as train

__version__ = "0.1.0"

_HOMES = {
    "load": "unbraid.data",
    "FactorSpace": "unbraid.data.factors",
    "ImageTable": "unbraid.data.images",
    "train": "unbraid.engine",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'unbraid' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
