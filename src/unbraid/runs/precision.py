"""In which floating-point format the networks' heavy layers are computed."""

from __future__ import annotations

import torch

from unbraid.errors import UserError

PRECISIONS = ("auto", "fp32", "bf16")


def resolve(precision: str, device: torch.device) -> str:
    """`auto` becomes bf16 where the processor multiplies it natively, else fp32."""
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r}: unknown; give one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if device.type == "cpu" and native() else "fp32"


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """A context in which layers compute in `precision`; weights and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
