"""The device that a run computes on."""

from __future__ import annotations

import torch

from unbraid.errors import UserError


def usable_device(name: str) -> torch.device:
    """A device by its name; UserError if torch does not know it or the machine lacks it.

    On a GPU fp32 is fp32: convolutions are not rounded to TF32, torch's default there.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"device {name!r}: not usable here ({reason}); give --device cpu"
        ) from error
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    return device
