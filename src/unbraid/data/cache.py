"""Where datasets are kept, and how they are verified."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from filelock import FileLock
from jaxtyping import UInt8
from tqdm import tqdm

from unbraid.errors import UserError
from unbraid.files import written_atomically

# Reading this much takes over two seconds, which a progress bar tells.
LARGE = 1 << 30


def cache_dir() -> Path:
    """$UNBRAID_CACHE, or else the user's cache folder for unbraid."""
    chosen = os.environ.get("UNBRAID_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("unbraid")


def store(path: Path, chunks: Iterator[bytes], facts: dict[str, Any]) -> dict[str, Any]:
    """Write a table's bytes, then its facts with their checksum beside it; return the facts.

    The facts may be added to until the last chunk is taken.
    """
    digest = hashlib.sha256()
    with written_atomically(path) as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    facts = {**facts, "sha256": digest.hexdigest()}
    with written_atomically(path.with_suffix(".json")) as file:
        file.write(json.dumps(facts, indent=2).encode())
    return facts


def facts_of(path: Path) -> dict[str, Any]:
    """The facts that stand beside a stored table; OSError or ValueError if there are none."""
    facts = json.loads(path.with_suffix(".json").read_text())
    if not isinstance(facts, dict):
        raise ValueError("no facts of a table")
    return facts


def restore(path: Path, bytes_an_item: int, remedy: str) -> UInt8[np.ndarray, "n bytes"]:
    """A stored table as a read-only memory map, its checksum verified.

    UserError with `remedy` if the file is cut short, changed, or has lost its facts.
    """
    try:
        expected = facts_of(path)["sha256"]
        found = checksum(path, "sha256")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {remedy}") from error
    if found != expected:
        raise UserError(
            f"{path}: its SHA-256 is {found[:12]}…, not {expected[:12]}… as when it was written;"
            f" {remedy}"
        )
    return np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, bytes_an_item)


def checksum(path: Path, algorithm: str) -> str:
    """A file's digest, with a progress bar if it is large."""
    size = path.stat().st_size
    how: dict[str, Any] = {"desc": f"verifying {path.name}", "unit": "B", "unit_scale": True}
    if size < LARGE:
        how["disable"] = True
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file, tqdm(total=size, **how) as bar:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Keep every other process that asks for it from making the same table meanwhile."""
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        lock.acquire()
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); choose a folder that is"
            " yours, in $UNBRAID_CACHE"
        ) from error
    try:
        yield
    finally:
        lock.release()
