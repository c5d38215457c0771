"""Floating-point format of the networks' convolutions and matrix products, and denormals."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

import torch
from torch import Tensor

from unbraid.errors import ArgumentError

PRECISIONS = ("auto", "fp32", "bf16")
# Bits of 1e-40, a denormal number in float32.
DENORMAL_BITS = 71_362
# PyTorch splits element-wise operations into pieces of at least this many elements per thread.
GRAIN_SIZE = 32_768


def resolve(precision: str, device: torch.device) -> str:
    """Return the precision that "auto" means on a device.

    Parameters
    ----------
    precision : {"auto", "fp32", "bf16"}
        A precision.
    device : torch.device
        The device.

    Returns
    -------
    str
        For "auto" "bf16" if the device multiplies bfloat16 natively, else "fp32"; any other
        precision unchanged.

    Raises
    ------
    ArgumentError
        If the precision is unknown.

    Examples
    --------
    >>> resolve("fp32", torch.device("cpu"))
    'fp32'
    """
    if precision not in PRECISIONS:
        raise ArgumentError(
            "precision", precision, "unknown", f"set `precision` to one of {', '.join(PRECISIONS)}"
        )
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    is_native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if device.type == "cpu" and is_native() else "fp32"


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """Return a context in which layers compute in a precision; weights and losses stay float32.

    Parameters
    ----------
    precision : {"fp32", "bf16"}
        The precision.
    device : torch.device
        Device of the networks.

    Returns
    -------
    torch.autocast
        The context.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Round denormal numbers to zero in this thread and in PyTorch's threads for its operations.

    Numbers below 1.2e-38 are denormal, and slow on most CPUs. Adam's moments of inactive weights
    decay to such numbers; what they change of a weight is far below its rounding error.

    Yields
    ------
    None
        The previous mode is restored at the end of the block.
    """
    previous = bool(_is_flushed(1).all())
    _set_flush_denormal(True)
    try:
        yield
    finally:
        _set_flush_denormal(previous)


def flushes_denormals() -> bool:
    """Return whether all of PyTorch's threads round denormal numbers to zero.

    Returns
    -------
    bool
        True inside of `flushed_denormals`, unless the processor cannot do it.
    """
    return bool(_is_flushed(torch.get_num_threads()).all())


def _is_flushed(threads: int) -> Tensor:
    """Return for elements that these threads share whether denormal numbers are flushed."""
    # As integers, because a thread that flushes also reads and writes denormal numbers as zero.
    bits = torch.full((GRAIN_SIZE * threads,), DENORMAL_BITS, dtype=torch.int32)
    return (bits.view(torch.float32) * 1.0).view(torch.int32) == 0


def _set_flush_denormal(mode: bool) -> None:
    torch.set_flush_denormal(mode)
    if bool((_is_flushed(torch.get_num_threads()) != mode).any()):
        # The threads that exist already keep their mode; OpenMP starts new ones, which inherit it.
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).omp_pause_resource_all(1)
