"""Datasets: images and, where they exist, the factors that generated them.

A dataset is one file, and one line here. Its module is imported when the dataset is first looked
up.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from unbraid.errors import ArgumentError
from unbraid.registry import LazyRegistry

if TYPE_CHECKING:
    from unbraid.data.custom import CustomDataset
    from unbraid.data.dataset_info import DatasetInfo
    from unbraid.data.images import ImageTable

_HOME = "unbraid.data.datasets"
_PUBLISHED: dict[str, tuple[str, str]] = {
    "shapes3d": (
        f"{_HOME}.shapes3d:SHAPES3D",
        "3D Shapes: a solid in a room, six factors (Burgess & Kim 2018)",
    ),
    "cars3d": (
        f"{_HOME}.cars3d:CARS3D",
        "Cars3D: car models by azimuth and elevation (Reed et al. 2015)",
    ),
    "smallnorb": (
        f"{_HOME}.smallnorb:SMALLNORB",
        "SmallNORB: photographs of toys in five categories (LeCun et al. 2004)",
    ),
    "mpi3d-toy": (
        f"{_HOME}.mpi3d:TOY",
        "MPI3D: a robot arm and an object, simple renderings (Gondal et al. 2019)",
    ),
    "mpi3d-realistic": (
        f"{_HOME}.mpi3d:REALISTIC",
        "MPI3D: the same scene, realistic renderings (Gondal et al. 2019)",
    ),
    "mpi3d-real": (
        f"{_HOME}.mpi3d:REAL",
        "MPI3D: the same scene, photographs (Gondal et al. 2019)",
    ),
    "mpi3d-complex": (
        f"{_HOME}.mpi3d:COMPLEX",
        "MPI3D: photographs of objects of complex shapes (Gondal et al. 2019)",
    ),
    "celeba": (
        f"{_HOME}.celeba:CELEBA",
        "CelebA: faces with 40 attributes (Liu et al. 2015)",
    ),
    "chairs": (
        f"{_HOME}.chairs:CHAIRS",
        "3D chairs: chair models rendered from 62 views (Aubry et al. 2014)",
    ),
    "mnist": (
        f"{_HOME}.mnist:MNIST",
        "MNIST: handwritten digits (LeCun et al. 1998)",
    ),
    "fashion-mnist": (
        f"{_HOME}.mnist:FASHION_MNIST",
        "Fashion-MNIST: articles of clothing (Xiao et al. 2017)",
    ),
}

# Datasets whose official files are downloaded, by `unbraid data NAME`.
PUBLISHED: LazyRegistry[DatasetInfo] = LazyRegistry(_PUBLISHED)
# Functions that load a dataset.
DATASETS: LazyRegistry[Callable[[], ImageTable]] = LazyRegistry(
    {
        "dsprites": (
            f"{_HOME}.dsprites:load",
            "dSprites: 737,280 sprites, rendered exactly, no download (Matthey et al. 2017)",
        ),
        "dsprites-corner": (
            f"{_HOME}.dsprites:load_corner",
            "dSprites-corner: 960 images of dSprites, for trials",
        ),
        "dsprites-colour": (
            f"{_HOME}.dsprites_variants:load_colour",
            "dSprites with a random colour for each sprite (Locatello et al. 2019)",
        ),
        "dsprites-noisy": (
            f"{_HOME}.dsprites_variants:load_noisy",
            "dSprites with a background of uniform noise (Locatello et al. 2019)",
        ),
        "dsprites-scream": (
            f"{_HOME}.dsprites_variants:load_scream",
            "dSprites in front of crops of a picture that you provide (Locatello et al. 2019)",
        ),
        **{name: (f"{path}.load", summary) for name, (path, summary) in _PUBLISHED.items()},
    }
)


def load(name: str) -> ImageTable:
    """Load a dataset, and verify its checksum.

    dSprites is rendered and custom images are decoded into the cache at the first call.

    Parameters
    ----------
    name : str
        Name of a dataset (a key of `DATASETS`), "folder:PATH", "folder:PATH,size=N" or
        "array:FILE.npz".

    Returns
    -------
    ImageTable
        Images and factors.

    Raises
    ------
    ArgumentError
        If the dataset is unknown.
    UserError
        If a published dataset has not been downloaded (`unbraid data NAME`), if custom images
        cannot be read, or if a stored file is damaged.

    Examples
    --------
    >>> table = load("dsprites-corner")
    >>> len(table), table.shape
    (960, (1, 64, 64))
    """
    custom = _parse(name)
    return DATASETS[name]() if custom is None else _reader(custom).load(custom)


def canonical_name(name: str) -> str:
    """Return the name under which the same data is found from every working directory.

    Parameters
    ----------
    name : str
        Name of a dataset, as for `load`.

    Returns
    -------
    str
        The name, with an absolute path if it has a path.

    Raises
    ------
    ArgumentError
        If the dataset is unknown.

    Examples
    --------
    >>> canonical_name("mnist")
    'mnist'
    """
    custom = _parse(name)
    return name if custom is None else custom.name


def describe(name: str) -> str | None:
    """Describe how custom images were read, once they have been loaded.

    Parameters
    ----------
    name : str
        Name of a dataset, as for `load`.

    Returns
    -------
    str or None
        Description in a few lines; None for a dataset of `DATASETS`.

    Raises
    ------
    ArgumentError
        If the dataset is unknown.
    """
    custom = _parse(name)
    return None if custom is None else _reader(custom).describe(custom)


def _parse(name: str) -> CustomDataset | None:
    from unbraid.data.custom import parse

    custom = parse(name)
    if custom is None and name not in DATASETS:
        raise ArgumentError(
            "data",
            name,
            "unknown dataset",
            f"set `data` to {', '.join(DATASETS)}, folder:PATH or array:FILE.npz",
        )
    return custom


def _reader(custom: CustomDataset) -> Any:
    # The module for a kind has the kind's name: folder or array.
    return importlib.import_module(f"unbraid.data.{custom.kind}")
