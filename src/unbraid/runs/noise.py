"""Randomness as a function of (seed, stream, step): no state to lose, none to save."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def generator(seed: int, stream: str, step: int) -> torch.Generator:
    """A generator that is fixed by these three and independent between any two choices."""
    words = np.random.SeedSequence([seed, zlib.crc32(stream.encode()), step]).generate_state(2)
    return torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))


def batch_indices(seed: int, step: int, items: int, batch: int) -> Int[Tensor, " b"]:
    """The items of a step's batch: independent, uniform, with replacement."""
    return torch.randint(items, (batch,), generator=generator(seed, "batch", step))


def normal(
    seed: int, step: int, shapes: dict[str, tuple[int, ...]]
) -> dict[str, Float[Tensor, ...]]:
    """The standard normal noise of a step, one tensor a name, each from a stream of its own."""
    return {
        name: torch.randn(shape, generator=generator(seed, f"noise.{name}", step))
        for name, shape in shapes.items()
    }
