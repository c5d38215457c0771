"""A small world in double precision for every method: parts, a batch, noise, short schedules."""

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
    "lr_decay_start": 8,
    "lr_decay_end": 16,
}
# Steps in each stage of STAGED: before and after each opening, d closed and open; a capacity at 0,
# on its rise, and at its end; and a β at the top of its fall, on it, and after a survey.
STEPS = (0, 4, 7, 100)


def make(name: str, **hyperparameters: Any) -> Method:
    method = find(name)
    names = {f.name for f in dataclasses.fields(method)}
    chosen = {k: v for k, v in {**STAGED, **hyperparameters}.items() if k in names}
    return method(**chosen)


def world(method: Method, seed: int = 0) -> tuple[nn.ModuleDict, Tensor, dict[str, Tensor]]:
    """Parts, a batch and noise in double precision.

    Biases are random, as zero ones put every empty patch on the ReLU's kink, where no gradient is.
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
    parts, x, noise = world(method, seed)
    return method.losses(parts, x, noise, step)


def bars() -> np.ndarray:
    """Bars of 2, 4 and 6 rows at 40 places a pixel apart, (120, 1, 8, 64), length by length."""
    images = np.zeros((3, 40, 1, 8, 64), np.uint8)
    for kind in range(3):
        for place in range(40):
            images[kind, place, 0, : 2 * kind + 2, place : place + 12] = 1
    return images.reshape(-1, 1, 8, 64)


def surveyed(method: Method, seed: int = 0) -> list[Any]:
    """What a survey of these bars, coded by their place alone, does to the parts and to a batch."""
    torch.manual_seed(seed)
    parts = method.build((1, 16, 32))
    place_nz = np.zeros((120, method.latent_dim), np.float32)
    place_nz[:, 0] = np.tile(np.linspace(-2, 2, 40), 3)
    std_nz = np.ones_like(place_nz)
    std_nz[:, 0] = 0.1
    images = bars().reshape(-1, 1, 16, 32)
    drawn = torch.Generator().manual_seed(seed)
    dataset = DatasetView(lambda i: images[i], lambda: Codes(place_nz, std_nz), drawn)
    told = method.survey(parts, dataset)
    index, given = method.sample_batch(parts, torch.arange(8), drawn)
    weights = [w.sum().item() for w in parts.state_dict().values()]
    return [told, index.tolist(), {name: t.tolist() for name, t in given.items()}, weights]
