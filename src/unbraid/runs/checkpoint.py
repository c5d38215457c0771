"""Checkpoints: one safetensors file, written atomically, its manifest in the file's header.

No pickle anywhere. The manifest holds the step, the run's identity and a SHA-256 over both
and every tensor's name, type, shape and bytes, so a file that was cut short or changed is refused.
The checkpoint before the newest is kept beside it, for the day when the newest is refused.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from tqdm import tqdm

from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.runs.version_0_1 import current_tensor

FORMAT = "unbraid checkpoint 1"


class Checkpoint(NamedTuple):
    """A run's state after `step` steps."""

    step: int
    tensors: dict[str, Tensor]


def save(path: Path, checkpoint: Checkpoint, identity: str) -> None:
    """Write the file at `path`; what stood there, if whole, becomes the previous checkpoint.

    At every moment one of the two is whole. UserError, with the newest kept, if the disk refuses.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()}
    manifest = {
        "format": FORMAT,
        "step": checkpoint.step,
        "identity": identity,
        "sha256": _digest(checkpoint.step, identity, tensors),
    }
    data = safetensors.torch.save(tensors, {"manifest": json.dumps(manifest)})
    if read_if_valid(path, identity):
        with written_atomically(previous_path(path)) as file:
            file.write(path.read_bytes())
    with written_atomically(path) as file:
        file.write(data)


def previous_path(path: Path) -> Path:
    """Where the checkpoint before the one at `path` is kept."""
    return path.with_stem("previous")


def exists(path: Path) -> bool:
    """Whether there is a checkpoint at `path` or before it, whole or not."""
    return path.exists() or previous_path(path).exists()


def read(path: Path, identity: str) -> Checkpoint:
    """The checkpoint at `path`; if it cannot be used, one line says why and the previous one is.

    UserError if neither can be used: missing, damaged or another run's.
    """
    try:
        return _read_one(path, identity)
    except UserError as error:
        found = read_if_valid(previous_path(path), identity)
        if found is None:
            raise
        why = str(error).partition(";")[0]
        tqdm.write(f"{why}; the previous one, of step {found.step}, is used", sys.stderr)
        return found


def read_if_valid(path: Path, identity: str) -> Checkpoint | None:
    """The checkpoint at `path` if it can be used."""
    try:
        return _read_one(path, identity)
    except UserError:
        return None


def _read_one(path: Path, identity: str) -> Checkpoint:
    if not path.exists():
        raise UserError(f"{path}: there is no checkpoint; train the run first")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            manifest = json.loads((file.metadata() or {}).get("manifest", "{}"))
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
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
    return Checkpoint(step, {current_tensor(name): t for name, t in tensors.items()})


def _digest(step: int, identity: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(f"{step} {identity}".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():  # an empty array of numpy's has no strides to be viewed by
            digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
