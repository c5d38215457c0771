"""The device that a run is trained on."""

from __future__ import annotations

import torch

from unbraid.errors import ArgumentError


def usable_device(name: str) -> torch.device:
    """Return a device by its name.

    On a GPU, convolutions in float32 are computed in float32, not rounded to TF32 as torch does by
    default.

    Parameters
    ----------
    name : str
        Name of a device, as "cpu", "cuda" or "cuda:1".

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    ArgumentError
        If it is not a CPU or an NVIDIA GPU, or the machine does not have it.

    Examples
    --------
    >>> usable_device("cpu")
    device(type='cpu')
    """
    if name.partition(":")[0] not in ("cpu", "cuda"):
        raise ArgumentError("device", name, "must be cpu, cuda or cuda:N", "set `device` to cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(
            "device", name, f"not usable here ({reason})", "set `device` to cpu"
        ) from error
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    return device
