"""A small world in double precision for every method: parts, a batch, noise, short schedules."""

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from unbraid.methods import Losses, Method, find

SHAPE = (1, 16, 16)
STAGED = {
    "stage_steps": 3,
    "warmup_stages": 2,
    "continuous": 4,
    "capacity_steps": 10,
    "discriminator_width": 16,
}
# Steps in each stage of STAGED: before and after each opening, d closed and open; and a capacity
# at 0, on its rise, and at its end.
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
