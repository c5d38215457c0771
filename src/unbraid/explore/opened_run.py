"""A trained run prepared for exploring: a sample of its codes, and the factor of each dimension.

Index letters: `n` images of the sample, `z` continuous dimensions, `f` factors, `b` a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from unbraid.codes import Codes
from unbraid.data import load
from unbraid.data.images import ImageTable
from unbraid.entropy import entropy
from unbraid.errors import UserError
from unbraid.metrics.mutual_information import discretise, information
from unbraid.runs import Run
from unbraid.runs.encode import Trained, encode, load_trained

SAMPLE_IMAGES = 5_000
# A method may decode under every category to find the best, so fewer images get a category.
CATEGORY_IMAGES = 1_000
BINS = 20
# A dimension is labelled with a factor if it has at least this fraction of the factor's entropy.
MIN_ENTROPY_FRACTION = 0.1
EXTENT = 3.0


class Dimension(NamedTuple):
    """A continuous dimension: its mean KL in nats, its factor, and the ends of its slider."""

    name: str
    kl: float | None
    factor: str | None
    low: float
    high: float

    @property
    def label(self) -> str:
        """Name, KL and factor, as far as they exist: `z2 · 3.6 nats · posX`."""
        nats = None if self.kl is None else f"{self.kl:.1f} nats"
        return " · ".join(part for part in (self.name, nats, self.factor) if part)


class Point(NamedTuple):
    """A code to decode: a value for each dimension, and a category."""

    z: Float[np.ndarray, " z"]
    category: int


class OpenedRun(NamedTuple):
    """A run with a sample of its codes, their factors, and its dimensions.

    `mutual_information` is I(dimension; factor) and `factor_entropy` H(factor), both in nats over
    the sample. `category` has the categories of the first images of the sample, and
    `category_factor` names the factor that the discrete code follows.
    """

    name: str
    trained: Trained
    table: ImageTable
    codes: Codes
    category: Int[np.ndarray, " _"] | None
    factors: Int[np.ndarray, "n f"] | None
    mutual_information: Float[np.ndarray, "z f"]
    factor_entropy: Float[np.ndarray, " f"]
    dimensions: list[Dimension]
    category_factor: str | None

    @property
    def title(self) -> str:
        """Method, run and step."""
        config = self.trained.config
        return f"{config.method.title} · {self.name} · step {self.trained.step:,}"

    @property
    def categories(self) -> int:
        """Number of categories; 0 without a discrete code."""
        return self.trained.config.method.categories

    @property
    def entropy_fractions(self) -> Float[np.ndarray, "z f"]:
        """I(dimension; factor) as a fraction of the factor's entropy."""
        return _fractions(self.mutual_information, self.factor_entropy)

    @property
    def ranked_dimensions(self) -> list[int]:
        """Dimensions by decreasing KL, or by decreasing information if there is no KL."""
        kl = [d.kl for d in self.dimensions if d.kl is not None]
        values = np.array(kl) if kl else self.mutual_information.max(axis=1, initial=0.0)
        return np.argsort(-values, kind="stable").tolist()

    @torch.no_grad()
    def decode(
        self, z_bz: Float[np.ndarray, "b z"], category_b: Int[np.ndarray, " b"]
    ) -> Float[np.ndarray, "b c h w"]:
        """Decode codes to pixel probabilities in [0, 1]."""
        method, parts = self.trained.config.method, self.trained.parts
        z = torch.from_numpy(np.ascontiguousarray(z_bz, np.float32))
        return method.decode(parts, z, torch.from_numpy(category_b)).numpy()

    def decode_point(self, point: Point) -> Float[np.ndarray, "c h w"]:
        """Decode one code."""
        return self.decode(point.z[None], np.array([point.category]))[0]

    @torch.no_grad()
    def encode(self, image: Float[np.ndarray, "c h w"]) -> Point:
        """Encode an image to its posterior mean and its category."""
        method, parts = self.trained.config.method, self.trained.parts
        x = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None]
        mean_bz, _ = method.posterior(parts, x)
        return Point(mean_bz[0].numpy(), int(method.predict_category(parts, x, mean_bz)[0]))


def common_dataset(paths: Sequence[Path]) -> str:
    """Return the dataset of all runs; raise UserError if they have different ones."""
    names = [Run(path).read_config().data for path in paths]
    if len(set(names)) > 1:
        raise UserError(
            f"data {' and '.join(dict.fromkeys(names))}: runs side by side must have the same"
            " dataset; give runs of one dataset, or open a page for each"
        )
    return names[0]


def open_runs(paths: Sequence[Path]) -> list[OpenedRun]:
    """Open the last checkpoint of each run and encode the same sample of images with it.

    Raises UserError if the runs have different datasets or a checkpoint cannot be used.
    """
    table = load(common_dataset(paths))
    return [
        open_run(load_trained(Run(path), table), table, name)
        for name, path in zip(_short_names(paths), paths, strict=True)
    ]


def open_run(trained: Trained, table: ImageTable, name: str, seed: int = 0) -> OpenedRun:
    """Encode a sample of the dataset and find the factor of each dimension."""
    method = trained.config.method
    rng = np.random.default_rng(seed)
    index = rng.choice(len(table), min(SAMPLE_IMAGES, len(table)), replace=False)
    codes = encode(trained, table, index=index, discrete=False)
    category = None
    if method.categories:
        category = encode(trained, table, index=index[:CATEGORY_IMAGES]).category
    factors = table.factors.factors_of(index) if table.factors.names else None
    classes = np.stack([discretise(column, BINS) for column in codes.mean.T], axis=1)
    names = table.factors.names
    mutual_information, factor_entropy = mi_matrix(classes, factors)
    fractions = _fractions(mutual_information, factor_entropy)
    category_factor = None
    if category is not None:
        category_information = mi_matrix(category[:, None], factors)[0]
        category_factor = main_factor(_fractions(category_information, factor_entropy)[0], names)
    return OpenedRun(
        name,
        trained,
        table,
        codes,
        category,
        factors,
        mutual_information,
        factor_entropy,
        _dimensions(trained, codes, [main_factor(row, names) for row in fractions]),
        category_factor,
    )


def mi_matrix(
    classes: Int[np.ndarray, "m d"], factors: Int[np.ndarray, "n f"] | None
) -> tuple[Float[np.ndarray, "d f"], Float[np.ndarray, " f"]]:
    """Compute I(dimension; factor) and H(factor) in nats over the first m images.

    `classes` are the bins of each dimension. Without factors both results are empty.
    """
    if factors is None:
        return np.zeros((classes.shape[1], 0)), np.zeros(0)
    mutual_information = np.empty((classes.shape[1], factors.shape[1]))
    factor_entropy = np.empty(factors.shape[1])
    for f, column in enumerate(factors[: len(classes)].T):
        values = np.unique(column, return_inverse=True)[1]
        factor_entropy[f] = entropy(np.bincount(values))
        for d, labels in enumerate(classes.T):
            joint = np.zeros((labels.max() + 1, values.max() + 1))
            np.add.at(joint, (labels, values), 1)
            mutual_information[d, f] = information(joint)
    return mutual_information, factor_entropy


def main_factor(fractions: Float[np.ndarray, " f"], names: Sequence[str]) -> str | None:
    """Return the factor with the greatest fraction of its entropy; None if all are too small."""
    best = int(fractions.argmax()) if len(fractions) else 0
    return names[best] if len(fractions) and fractions[best] >= MIN_ENTROPY_FRACTION else None


def _fractions(
    mutual_information: Float[np.ndarray, "d f"], factor_entropy: Float[np.ndarray, " f"]
) -> Float[np.ndarray, "d f"]:
    return mutual_information / np.maximum(factor_entropy, 1e-12)


def _dimensions(trained: Trained, codes: Codes, factors: Sequence[str | None]) -> list[Dimension]:
    """Let each slider cover the method's range of 3 prior stds and all means of the sample."""
    kl = codes.kl()
    low, high = trained.config.method.traversal_range(trained.parts, EXTENT)
    return [
        Dimension(
            f"z{i + 1}",
            None if kl is None else float(kl[i]),
            factors[i],
            math.floor(10 * min(low, column.min().item())) / 10,
            math.ceil(10 * max(high, column.max().item())) / 10,
        )
        for i, column in enumerate(codes.mean.T)
    ]


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that differ from each other."""
    resolved = [path.resolve() for path in paths]
    for parts in range(1, 4):
        names = ["/".join(path.parts[-parts:]) for path in resolved]
        if len(set(names)) == len(set(resolved)):
            return names
    return [str(path) for path in paths]
