"""Checkpoints: one safetensors file, written atomically, its manifest in the file's header.

No pickle anywhere. The manifest holds the step, the run's identity and a SHA-256 over both
and every tensor's name, type, shape and bytes, so a file that was cut short or changed is refused.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from unbraid.errors import UserError
from unbraid.files import written_atomically

FORMAT = "unbraid checkpoint 1"


class Checkpoint(NamedTuple):
    """A run's state after `step` steps."""

    step: int
    tensors: dict[str, Tensor]


def save(path: Path, checkpoint: Checkpoint, identity: str) -> None:
    """Replace the file at `path`; UserError, with the old file kept, if the disk refuses."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()}
    manifest = {
        "format": FORMAT,
        "step": checkpoint.step,
        "identity": identity,
        "sha256": _digest(checkpoint.step, identity, tensors),
    }
    data = safetensors.torch.save(tensors, {"manifest": json.dumps(manifest)})
    with written_atomically(path) as file:
        file.write(data)


def read(path: Path, identity: str) -> Checkpoint:
    """The checkpoint at `path`; UserError if it is missing, damaged or another run's."""
    if not path.exists():
        raise UserError(f"{path}: there is no checkpoint; train the run first")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            manifest = json.loads((file.metadata() or {}).get("manifest", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{path}: not a whole safetensors file ({error}); restore it, or train afresh with"
            " another --out"
        ) from error
    if manifest.get("format") != FORMAT:
        raise UserError(
            f"{path}: it carries no {FORMAT!r} manifest, so another program wrote it; give a run"
            " that unbraid trained"
        )
    if manifest.get("identity") != identity:
        raise UserError(
            f"{path}: it belongs to another configuration than the config.toml beside it;"
            " restore the two as a pair, or train afresh with another --out"
        )
    step = manifest.get("step", -1)
    if manifest.get("sha256") != _digest(step, identity, tensors):
        raise UserError(
            f"{path}: what it holds is not what was written (checksum); restore it, or"
            " train afresh with another --out"
        )
    return Checkpoint(step, tensors)


def _digest(step: int, identity: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(f"{step} {identity}".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
