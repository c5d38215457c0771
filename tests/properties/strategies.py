"""Strategies: codes with factors, hyperparameters of any method, and cheap settings."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from unbraid.codes import Codes
from unbraid.methods import METHODS, Method
from unbraid.runs import Budget, Config

# For tests of microseconds: ten times the examples of the profile.
CHEAP = settings(max_examples=10 * settings().max_examples)

# Values of hyperparameters whose range is not that of `KINDS`; any two are valid together, and each
# is valid with the defaults.
RANGES: dict[str, st.SearchStrategy[Any]] = {
    "latent_dim": st.integers(2, 64),
    "categories": st.integers(3, 20),
    "learning_rate": st.floats(1e-6, 1.0),
    "discriminator_learning_rate": st.floats(1e-6, 1.0),
    "beta_low": st.floats(0.0, 1.0),
    "beta_high": st.floats(1.0, 1e3),
    "beta_start": st.floats(2.0, 1e3),
    "beta_end": st.floats(1e-3, 2.0),
    "capacity_discrete": st.floats(0.0, 1.0),
    "chart_images": st.integers(2, 1_000),
    "gap": st.floats(1.0, 10.0),
    "pseudo_label_fraction": st.floats(0.0, 0.99),
    "lr_factor_after_survey": st.floats(1e-2, 10.0),
    "lr_decay_start": st.integers(0, 10_000),
    "lr_decay_end": st.integers(10_001, 20_000),
    "temperature": st.floats(1e-2, 10.0),
    "codebook_size": st.integers(2, 1000),
    "dataset_size": st.integers(1_000, 10**7),
}
KINDS: dict[type, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(1, 10**6),
    float: st.floats(0.0, 1e3),
}


@st.composite
def methods(draw: st.DrawFn, names: tuple[str, ...] = tuple(METHODS)) -> Method:
    """Any method with valid hyperparameters, some of them the defaults."""
    method = METHODS[draw(st.sampled_from(names))]
    hints = typing.get_type_hints(method)
    values = {}
    for field in dataclasses.fields(method):
        if draw(st.booleans()):
            values[field.name] = draw(RANGES.get(field.name, KINDS[hints[field.name]]))
    return method(**values)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Any valid configuration of a run."""
    return Config(
        draw(methods()),
        draw(st.sampled_from(["dsprites", "shapes3d", 'folder:/data/Ünïcode "quoted"'])),
        Budget(draw(st.integers(1, 10**7)), draw(st.integers(2, 1_000))),
        draw(st.integers(0, 2**32 - 1)),
        draw(st.sampled_from(["fp32", "bf16"])),
        draw(st.sampled_from(["", "0f" * 32])),
    )


class Scored(typing.NamedTuple):
    """Codes with their factors.

    Attributes
    ----------
    codes : Codes
        Continuous codes with narrow posteriors, and perhaps a category.
    factors : array of shape (n, f)
        Factor values of a grid, every combination equally often, in random order.
    """

    codes: Codes
    factors: np.ndarray


@st.composite
def scored(
    draw: st.DrawFn, *, discrete: bool | None = None, noise: float | None = None, items: int = 400
) -> Scored:
    """Codes that mix two or three factors, plus noise; hypothesis draws sizes, weights and seed."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed of the codes"))
    sizes = draw(st.lists(st.integers(2, 4), min_size=2, max_size=3), label="values of factors")
    extra = draw(st.integers(0, 1), label="dimensions of noise")
    factors = rng.permutation(grid(sizes, items))
    level = draw(st.sampled_from([0.1, 0.3, 1.0]), label="noise") if noise is None else noise
    mixing = np.eye(len(sizes)) + draw(st.sampled_from([0.0, 0.25])) * rng.normal(
        size=(len(sizes), len(sizes))
    )
    mean = (factors - factors.mean(axis=0)) @ mixing + level * rng.normal(size=factors.shape)
    mean = np.concatenate([mean, rng.normal(size=(len(mean), extra))], axis=1)
    std = rng.uniform(0.05, 0.2, size=mean.shape)
    category, categories = None, 0
    if draw(st.booleans(), label="with category") if discrete is None else discrete:
        categories = sizes[0] + 1
        wrong = rng.random(len(factors)) < 0.2
        category = np.where(wrong, rng.integers(0, categories, len(factors)), factors[:, 0])
    return Scored(Codes(mean, std, category, categories), factors)


def grid(sizes: list[int], items: int) -> np.ndarray:
    """Return every combination of factor values, each equally often, at least `items` rows."""
    values = np.stack(np.meshgrid(*map(range, sizes), indexing="ij"), axis=-1)
    rows = values.reshape(-1, len(sizes)).astype(np.int64)
    return np.repeat(rows, -(-items // len(rows)), axis=0)
