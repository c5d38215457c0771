"""Datasets: images and the factors that made them. A dataset is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from unbraid.data import dsprites
from unbraid.data.images import ImageTable
from unbraid.errors import UserError

DATASETS: dict[str, Callable[[], ImageTable]] = {
    "dsprites": dsprites.load,
    "dsprites-corner": dsprites.load_corner,
}


def load(name: str) -> ImageTable:
    """A dataset by its name; made or fetched at the first call, verified at every one."""
    if name not in DATASETS:
        raise UserError(f"dataset {name!r}: unknown; give one of {', '.join(sorted(DATASETS))}")
    return DATASETS[name]()
