"""Random numbers as a function of (seed, stream, step), without a state to save."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def generator(seed: int, stream: str, step: int) -> torch.Generator:
    """Return a generator that depends on nothing but its arguments.

    Parameters
    ----------
    seed : int
        Seed of the run.
    stream : str
        Name of the stream. Streams are independent of each other.
    step : int
        Number of steps done. Steps are independent of each other.

    Returns
    -------
    torch.Generator
        A generator on the CPU.

    Examples
    --------
    >>> a, b = (torch.randn(2, generator=generator(0, "noise.z", 7)) for _ in range(2))
    >>> torch.equal(a, b)
    True
    """
    words = np.random.SeedSequence([seed, zlib.crc32(stream.encode()), step]).generate_state(2)
    return torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))


def batch_indices(seed: int, step: int, items: int, batch: int) -> Int[Tensor, " b"]:
    """Sample the items of a batch, uniformly with replacement.

    Parameters
    ----------
    seed : int
        Seed of the run.
    step : int
        Number of steps done.
    items : int
        Number of items of the dataset.
    batch : int
        Number of items of the batch.

    Returns
    -------
    Tensor
        Indices, of shape (b,).
    """
    return torch.randint(items, (batch,), generator=generator(seed, "batch", step))


def normal(
    seed: int, step: int, shapes: dict[str, tuple[int, ...]]
) -> dict[str, Float[Tensor, ...]]:
    """Sample the standard normal noise of a step.

    Parameters
    ----------
    seed : int
        Seed of the run.
    step : int
        Number of steps done.
    shapes : dict of str to tuple of int
        Shape of each tensor, by name. Each name has its own stream.

    Returns
    -------
    dict of str to Tensor
        Noise, by name.
    """
    return {
        name: torch.randn(shape, generator=generator(seed, f"noise.{name}", step))
        for name, shape in shapes.items()
    }
