"""A run made ready to be moved: its codes of a sample, what each dimension tracks, its pictures."""

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

SAMPLE = 5_000
# Finding a category decodes under each, so fewer images are asked for theirs.
CATEGORISED = 1_000
BINS = 20
# Of a factor's entropy, what a dimension must hold to be named by it.
TRACKS = 0.1
EXTENT = 3.0


class Dimension(NamedTuple):
    """A dimension of a code: its KL in nats, the factor it tracks, and where its slider ends."""

    name: str
    kl: float | None
    factor: str | None
    low: float
    high: float

    @property
    def label(self) -> str:
        """Name, KL and factor, as far as there are any: `z2 · 3.6 nats · posX`."""
        nats = None if self.kl is None else f"{self.kl:.1f} nats"
        return " · ".join(part for part in (self.name, nats, self.factor) if part)


class Point(NamedTuple):
    """A code to decode: a value a dimension, and a category."""

    z: Float[np.ndarray, " z"]
    category: int


class OpenedRun(NamedTuple):
    """A run, a sample of its codes with their factors, and its dimensions.

    `informations` is I(dimension; factor) in nats, `entropies` H(factor), over the sample;
    `category_tracks` names the factor that the discrete code tracks.
    """

    name: str
    trained: Trained
    table: ImageTable
    codes: Codes
    categories: Int[np.ndarray, " _"] | None
    factors: Int[np.ndarray, "n f"] | None
    informations: Float[np.ndarray, "z f"]
    entropies: Float[np.ndarray, " f"]
    dimensions: list[Dimension]
    category_tracks: str | None

    @property
    def title(self) -> str:
        """Method, run and step."""
        config = self.trained.config
        return f"{config.method.title} · {self.name} · step {self.trained.step:,}"

    @property
    def discrete(self) -> int:
        """The number of categories, 0 without a discrete code."""
        return self.trained.config.method.categories

    @property
    def ranked(self) -> list[int]:
        """The dimensions by their nats, or by what they hold of a factor, the most first."""
        kl = [d.kl for d in self.dimensions if d.kl is not None]
        told = np.array(kl) if kl else self.informations.max(axis=1, initial=0.0)
        return np.argsort(-told, kind="stable").tolist()

    @torch.no_grad()
    def decode(
        self, z_bz: Float[np.ndarray, "b z"], category_b: Int[np.ndarray, " b"]
    ) -> Float[np.ndarray, "b c h w"]:
        """The pictures of codes, in [0, 1]."""
        method, parts = self.trained.config.method, self.trained.parts
        flat = torch.from_numpy(np.ascontiguousarray(z_bz, np.float32))
        return method.decode(parts, flat, torch.from_numpy(category_b)).numpy()

    def picture(self, point: Point) -> Float[np.ndarray, "c h w"]:
        """The picture of one code."""
        return self.decode(point.z[None], np.array([point.category]))[0]

    @torch.no_grad()
    def encode(self, image: Float[np.ndarray, "c h w"]) -> Point:
        """The code of a picture: its posterior's mean, and the category that fits best."""
        method, parts = self.trained.config.method, self.trained.parts
        x = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None]
        mean_bz, _ = method.posterior(parts, x)
        return Point(mean_bz[0].numpy(), int(method.predict_category(parts, x, mean_bz)[0]))


def data_of(paths: Sequence[Path]) -> str:
    """The dataset of runs; UserError if one is no run, or if they are of different ones."""
    data = [Run(path).read_config().data for path in paths]
    if len(set(data)) > 1:
        raise UserError(
            f"data {' and '.join(dict.fromkeys(data))}: runs side by side start from the same"
            " image; give runs of one dataset, or open a page for each"
        )
    return data[0]


def open_runs(paths: Sequence[Path]) -> list[OpenedRun]:
    """Each run's last checkpoint with the codes of the same sample of images.

    UserError as `data_of`, or if a checkpoint cannot be used.
    """
    table = load(data_of(paths))
    named = zip(_names(paths), paths, strict=True)
    return [explored(load_trained(Run(path), table), table, name) for name, path in named]


def explored(trained: Trained, table: ImageTable, name: str, seed: int = 0) -> OpenedRun:
    """Encode a sample of the dataset, drawn by `seed`, and see what each dimension tracks."""
    method = trained.config.method
    rng = np.random.default_rng(seed)
    index = rng.choice(len(table), min(SAMPLE, len(table)), replace=False)
    codes = encode(trained, table, index=index, discrete=False)
    categories = None
    if method.categories:
        categories = encode(trained, table, index=index[:CATEGORISED]).category
    factors = factors_of(table, index)
    classes = np.stack([discretise(column, BINS) for column in codes.mean.T], axis=1)
    names = table.factors.names
    told, entropies = mi_matrix(classes, factors)
    by_category = mi_matrix(categories[:, None], factors)[0] if categories is not None else None
    return OpenedRun(
        name,
        trained,
        table,
        codes,
        categories,
        factors,
        told,
        entropies,
        _dimensions(trained, codes, [tracked(row, entropies, names) for row in told]),
        None if by_category is None else tracked(by_category[0], entropies, names),
    )


def factors_of(table: ImageTable, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n f"] | None:
    """The factor values of items; None of a dataset that has none."""
    return table.factors.factors_of(index) if table.factors.names else None


def mi_matrix(
    classes: Int[np.ndarray, "m d"], factors: Int[np.ndarray, "n f"] | None
) -> tuple[Float[np.ndarray, "d f"], Float[np.ndarray, " f"]]:
    """I(dimension; factor) and H(factor), nats, over the first m items, of a binned code."""
    if factors is None:
        return np.zeros((classes.shape[1], 0)), np.zeros(0)
    told = np.empty((classes.shape[1], factors.shape[1]))
    entropies = np.empty(factors.shape[1])
    for f, column in enumerate(factors[: len(classes)].T):
        values = np.unique(column, return_inverse=True)[1]
        entropies[f] = entropy(np.bincount(values))
        for d, labels in enumerate(classes.T):
            joint = np.zeros((labels.max() + 1, values.max() + 1))
            np.add.at(joint, (labels, values), 1)
            told[d, f] = information(joint)
    return told, entropies


def tracked(
    told: Float[np.ndarray, " f"], entropies: Float[np.ndarray, " f"], names: Sequence[str]
) -> str | None:
    """The factor of whose entropy a dimension holds most; None if it holds a tenth of none."""
    share = told / np.maximum(entropies, 1e-12)
    best = int(share.argmax()) if len(share) else 0
    return names[best] if len(share) and share[best] >= TRACKS else None


def _dimensions(trained: Trained, codes: Codes, factors: Sequence[str | None]) -> list[Dimension]:
    """A slider's ends are the method's span of 3 prior stds, or what the sample needs."""
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


def _names(paths: Sequence[Path]) -> list[str]:
    """As much of each path's end as tells it from the others."""
    resolved = [path.resolve() for path in paths]
    for parts in range(1, 4):
        names = ["/".join(path.parts[-parts:]) for path in resolved]
        if len(set(names)) == len(set(resolved)):
            return names
    return [str(path) for path in paths]
