"""Floating-point format of the networks' convolutions and matrix products."""

from __future__ import annotations

import torch

from unbraid.errors import ArgumentError

PRECISIONS = ("auto", "fp32", "bf16")


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
