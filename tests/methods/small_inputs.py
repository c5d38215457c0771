"""Small inputs for every method in double precision: modules, a batch, noise, short schedules."""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unbraid.codes import Codes
from unbraid.methods import Losses, Method, find
from unbraid.methods.base import DatasetView

SHAPE = (1, 16, 16)
STAGED = {
    "stage_steps": 3,
    "warmup_stages": 2,
    "latent_dim": 4,
    "capacity_steps": 10,
    "discriminator_hidden_dim": 16,
    "beta_anneal_steps": 5,
    "survey_step": 6,
    "charts": 40,
    "chart_images": 30,
    "lr_decay_start": 8,
    "lr_decay_end": 16,
}
# Steps in every stage of STAGED: before and after each opening, d closed and open; a capacity at 0,
# during its increase and at its end; β at the start of its decay, during it and after a survey.
STEPS = (0, 4, 7, 100)


def make(name: str, **hyperparameters: Any) -> Method:
    method = find(name)
    names = {f.name for f in dataclasses.fields(method)}
    values = {k: v for k, v in {**STAGED, **hyperparameters}.items() if k in names}
    return method(**values)


def small_inputs(method: Method, seed: int = 0) -> tuple[nn.ModuleDict, Tensor, dict[str, Tensor]]:
    """Return modules, a batch and noise in double precision.

    Biases are random: with biases of 0, every empty patch is at the kink of the ReLU, which has no
    gradient.
    """
    torch.manual_seed(seed)
    parts = method.build(SHAPE).double()
    for weight in parts.parameters():
        if weight.ndim == 1:
            nn.init.normal_(weight, std=0.1)
    x = (torch.rand(6, *SHAPE) < 0.3).double()
    noise = {n: torch.randn(s).double() for n, s in method.noise_shapes(6).items()}
    return parts, x, noise


def losses(method: Method, step: int, seed: int = 0) -> Losses:
    parts, x, noise = small_inputs(method, seed)
    return method.losses(parts, x, noise, step)


def bars() -> np.ndarray:
    """Return images (120, 1, 8, 64): bars 2, 4 and 6 pixels high at 40 adjacent positions each."""
    images = np.zeros((3, 40, 1, 8, 64), np.uint8)
    for kind in range(3):
        for position in range(40):
            images[kind, position, 0, : 2 * kind + 2, position : position + 12] = 1
    return images.reshape(-1, 1, 8, 64)


def survey_bars(method: Method, seed: int = 0) -> list[Any]:
    """Return report, batch and weights after a survey of bars whose code is their position."""
    torch.manual_seed(seed)
    parts = method.build((1, 16, 32))
    mean_nz = np.zeros((120, method.latent_dim), np.float32)
    mean_nz[:, 0] = np.tile(np.linspace(-2, 2, 40), 3)
    std_nz = np.ones_like(mean_nz)
    std_nz[:, 0] = 0.1
    images = bars().reshape(-1, 1, 16, 32)
    generator = torch.Generator().manual_seed(seed)
    dataset = DatasetView(lambda i: images[i], lambda: Codes(mean_nz, std_nz), generator)
    report = method.survey(parts, dataset)
    index, extra = method.sample_batch(parts, torch.arange(8), generator)
    weights = [w.sum().item() for w in parts.state_dict().values()]
    return [report, index.tolist(), {name: t.tolist() for name, t in extra.items()}, weights]
