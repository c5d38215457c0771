"""Weights of a run: initial ones, those in a checkpoint, and compressed ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unbraid.runs import noise
from unbraid.runs.checkpoint import Checkpoint
from unbraid.runs.config import Config

# Prefixes of a checkpoint's tensors: weights, and the scales of those stored as 8-bit integers.
PARTS, SCALES = "parts.", "scales."
# Weights of fewer elements are stored in half precision.
MIN_COMPRESSED = 10_000


def initial_parts(config: Config, shape: tuple[int, int, int]) -> nn.ModuleDict:
    """Build the networks of a run with the initial weights of its seed.

    The weights do not depend on the state of torch's random generator, which is unchanged.

    Parameters
    ----------
    config : Config
        Configuration of the run.
    shape : tuple of int
        Channels, height and width of an image.

    Returns
    -------
    nn.ModuleDict
        Networks by name.

    Examples
    --------
    >>> from unbraid.methods import find
    >>> from unbraid.runs import Budget
    >>> config = Config(find("vae")(latent_dim=2), "dsprites", Budget(1, 4), 0, "fp32")
    >>> sorted(initial_parts(config, (1, 16, 16)))
    ['decoder', 'encoder']
    """
    with torch.random.fork_rng(devices=[]):
        seed = noise.generator(config.seed, "weights", 0).initial_seed()
        torch.manual_seed(seed % 2**63)
        return config.method.build(shape)


def is_weights_only(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint lacks the optimiser state that resuming needs.

    Parameters
    ----------
    checkpoint : Checkpoint
        A checkpoint of a run.

    Returns
    -------
    bool
        True if the checkpoint can encode and decode, but training cannot be resumed from it.
    """
    return checkpoint.step > 0 and not any(name.startswith("adam.") for name in checkpoint.tensors)


def weights_in(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the weights of a checkpoint's parts, decompressed if necessary.

    Parameters
    ----------
    checkpoint : Checkpoint
        A checkpoint of a run, or the result of `compressed_weights`.

    Returns
    -------
    dict of str to Tensor
        State dict of the parts.
    """
    tensors = checkpoint.tensors
    return {
        name: tensors[PARTS + name] * tensors[SCALES + name]
        if SCALES + name in tensors
        else tensors[PARTS + name]
        for name in (key.removeprefix(PARTS) for key in tensors if key.startswith(PARTS))
    }


def compressed_weights(checkpoint: Checkpoint, *, without: Sequence[str] = ()) -> Checkpoint:
    """Return a checkpoint of the weights alone, in a quarter of the bytes.

    Large matrices and kernels are stored as 8-bit integers with a scale per index of their first
    dimension, other floats in half precision, and integers in the smallest type that represents
    them. The result can encode and decode, but training cannot be resumed from it.

    Parameters
    ----------
    checkpoint : Checkpoint
        A checkpoint of a run, or one that is compressed already.
    without : sequence of str, optional
        Names of parts to leave out.

    Returns
    -------
    Checkpoint
        The compressed checkpoint, for `checkpoint.save`.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in weights_in(checkpoint).items():
        if name.partition(".")[0] in without:
            continue
        if not tensor.is_floating_point():
            tensors[PARTS + name] = _smallest_integers(tensor)
        elif tensor.ndim < 2 or tensor.numel() < MIN_COMPRESSED:
            tensors[PARTS + name] = tensor.half()
        else:
            weights, others = tensor.float(), tuple(range(1, tensor.ndim))
            scale = weights.abs().amax(dim=others, keepdim=True).clamp(min=1e-30) / 127
            tensors[PARTS + name] = (weights / scale).round().to(torch.int8)
            tensors[SCALES + name] = scale
    return Checkpoint(checkpoint.step, tensors)


def _smallest_integers(tensor: Tensor) -> Tensor:
    """Return an integer tensor in the smallest signed type that represents all its values."""
    for dtype in (torch.int8, torch.int16, torch.int32):
        limits = torch.iinfo(dtype)
        if not tensor.numel() or (
            limits.min <= int(tensor.min()) and int(tensor.max()) <= limits.max
        ):
            return tensor.to(dtype)
    return tensor
