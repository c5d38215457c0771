"""Checkpoints: safetensors files with a manifest in the header, written atomically.

The manifest contains the step, the identity of the run's configuration and a SHA-256 of these and
of every tensor, so that truncated or changed files are detected. The checkpoint before the latest
is kept beside it, and is used if the latest is not valid.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple, TypedDict

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
    """State of a run.

    Parameters
    ----------
    step : int
        Number of steps done.
    tensors : dict of str to Tensor
        Weights ("parts.…"), Adam's moments ("adam.…") and sums of losses ("sums.…", "counts.…").
    """

    step: int
    tensors: dict[str, Tensor]


class Manifest(TypedDict):
    """Manifest in the header of a checkpoint file."""

    format: str
    step: int
    identity: str
    sha256: str


def save(path: Path, checkpoint: Checkpoint, identity: str) -> None:
    """Write a checkpoint; the one that it replaces, if valid, becomes the previous one.

    One of the two is valid at any time, even if the process is killed.

    Parameters
    ----------
    path : Path
        File to write.
    checkpoint : Checkpoint
        State of the run.
    identity : str
        `Config.identity` of the run.

    Raises
    ------
    UserError or StorageError
        If the file cannot be written. The checkpoint at `path` is kept.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "checkpoint.safetensors"
    ...     save(file, Checkpoint(10, {"parts.w": torch.ones(2)}), "identity")
    ...     read(file, "identity")
    Checkpoint(step=10, tensors={'parts.w': tensor([1., 1.])})
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()}
    manifest = Manifest(
        format=FORMAT,
        step=checkpoint.step,
        identity=identity,
        sha256=_digest(checkpoint.step, identity, tensors),
    )
    data = safetensors.torch.save(tensors, {"manifest": json.dumps(manifest)})
    if read_if_valid(path, identity):
        with written_atomically(previous_path(path)) as file:
            file.write(path.read_bytes())
    with written_atomically(path) as file:
        file.write(data)


def previous_path(path: Path) -> Path:
    """Return the file of the checkpoint before the one at `path`.

    Parameters
    ----------
    path : Path
        File of a checkpoint.

    Returns
    -------
    Path
        A file in the same directory.
    """
    return path.with_stem("previous")


def exists(path: Path) -> bool:
    """Return whether there is a checkpoint or a previous one, valid or not.

    Parameters
    ----------
    path : Path
        File of a checkpoint.

    Returns
    -------
    bool
        True if one of the two files exists.
    """
    return path.exists() or previous_path(path).exists()


def read(path: Path, identity: str) -> Checkpoint:
    """Read a checkpoint; if it is not valid, print a warning on stderr and read the previous one.

    Parameters
    ----------
    path : Path
        File of the latest checkpoint.
    identity : str
        `Config.identity` of the run.

    Returns
    -------
    Checkpoint
        State of the run.

    Raises
    ------
    UserError
        If both are missing, damaged, or of another configuration.
    """
    try:
        return _read_file(path, identity)
    except UserError as error:
        previous = read_if_valid(previous_path(path), identity)
        if previous is None:
            raise
        reason = str(error).partition(";")[0]
        warning = f"{reason}; resumes from the previous checkpoint, of step {previous.step}"
        tqdm.write(warning, sys.stderr)
        return previous


def read_if_valid(path: Path, identity: str) -> Checkpoint | None:
    """Read a checkpoint, without a fallback.

    Parameters
    ----------
    path : Path
        File of the checkpoint.
    identity : str
        `Config.identity` of the run.

    Returns
    -------
    Checkpoint or None
        State of the run; None if the file is missing, damaged, or of another configuration.
    """
    try:
        return _read_file(path, identity)
    except UserError:
        return None


def _read_file(path: Path, identity: str) -> Checkpoint:
    if not path.exists():
        raise UserError(f"{path}: no such checkpoint; train the run first")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            manifest = json.loads((file.metadata() or {}).get("manifest", "{}"))
            names = file.keys()
            # Copies, because the tensors are mapped and Windows cannot replace a mapped file.
            tensors = {name: file.get_tensor(name).clone() for name in names}
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{path}: not a complete safetensors file ({error}); restore it, or set `out` to"
            " another folder to train a new run"
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(
            f"{path}: has no {FORMAT!r} manifest, so another program wrote it; give a run"
            " that unbraid trained"
        )
    if manifest.get("identity") != identity:
        raise UserError(
            f"{path}: has another configuration than the config.toml beside it; restore both files"
            " together, or set `out` to another folder to train a new run"
        )
    step = manifest.get("step", -1)
    if manifest.get("sha256") != _digest(step, identity, tensors):
        raise UserError(
            f"{path}: its checksum does not match its content; restore it, or set `out` to another"
            " folder to train a new run"
        )
    return Checkpoint(step, {current_tensor(name): t for name, t in tensors.items()})


def _digest(step: int, identity: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(f"{step} {identity}".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():  # an empty tensor may have strides that `view` does not support
            digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
