"""Weights of a run's networks: initial ones, and those in a checkpoint."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unbraid.runs import noise
from unbraid.runs.checkpoint import Checkpoint
from unbraid.runs.run import Config


def fresh_parts(config: Config, shape: tuple[int, int, int]) -> nn.ModuleDict:
    """The parts with the first weights of this seed, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        seed = noise.generator(config.seed, "weights", 0).initial_seed()
        torch.manual_seed(seed % 2**63)
        return config.method.build(shape)


def is_weights_only(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint was made to encode and to draw with, not to train on."""
    return checkpoint.step > 0 and not any(name.startswith("adam.") for name in checkpoint.tensors)


def parts_in(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The weights of a checkpoint's parts."""
    return {
        name.removeprefix("parts."): tensor
        for name, tensor in checkpoint.tensors.items()
        if name.startswith("parts.")
    }
