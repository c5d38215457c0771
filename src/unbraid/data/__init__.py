"""Datasets: images and the factors that made them. A dataset is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from unbraid.data import array, folder
from unbraid.data.custom import CustomDataset, parse
from unbraid.data.dataset_info import DatasetInfo
from unbraid.data.datasets import dsprites, dsprites_variants, mpi3d
from unbraid.data.datasets.cars3d import CARS3D
from unbraid.data.datasets.celeba import CELEBA
from unbraid.data.datasets.chairs import CHAIRS
from unbraid.data.datasets.mnist import FASHION_MNIST, MNIST
from unbraid.data.datasets.shapes3d import SHAPES3D
from unbraid.data.datasets.smallnorb import SMALLNORB
from unbraid.data.images import ImageTable
from unbraid.errors import UserError

# Those whose official files are fetched, by `unbraid data NAME`.
PUBLISHED: dict[str, DatasetInfo] = {
    facts.name: facts
    for facts in (
        *(SHAPES3D, CARS3D, SMALLNORB),
        *(mpi3d.TOY, mpi3d.REALISTIC, mpi3d.REAL, mpi3d.COMPLEX),
        *(CELEBA, CHAIRS, MNIST, FASHION_MNIST),
    )
}
DATASETS: dict[str, Callable[[], ImageTable]] = {
    "dsprites": dsprites.load,
    "dsprites-corner": dsprites.load_corner,
    "dsprites-colour": dsprites_variants.load_colour,
    "dsprites-noisy": dsprites_variants.load_noisy,
    "dsprites-scream": dsprites_variants.load_scream,
    **{name: facts.load for name, facts in PUBLISHED.items()},
}
# One's own images, by what stands before the colon.
OWN = {"folder": folder, "array": array}


def load(name: str) -> ImageTable:
    """A dataset by its name, or one's own images; verified at every call.

    dSprites and one's own images are made at the first one; UserError for a published dataset that
    `unbraid data` has not fetched yet.
    """
    own = _known(name)
    return DATASETS[name]() if own is None else OWN[own.kind].load(own)


def canonical(name: str) -> str:
    """The name that stands for the same data in every folder; UserError if it is unknown."""
    own = _known(name)
    return name if own is None else own.name


def report(name: str) -> str | None:
    """What was made of one's own images, in a few lines, once they are loaded; else None."""
    own = _known(name)
    return None if own is None else OWN[own.kind].report(own)


def _known(name: str) -> CustomDataset | None:
    own = parse(name)
    if own is None and name not in DATASETS:
        raise UserError(
            f"dataset {name!r}: unknown; give one of {', '.join(DATASETS)}, folder:PATH or"
            " array:FILE.npz"
        )
    return own
