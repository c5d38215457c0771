"""Where datasets are kept, and how they are verified."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from jaxtyping import UInt8

from unbraid.errors import UserError
from unbraid.files import written_atomically


def cache_dir() -> Path:
    """$UNBRAID_CACHE, or else the user's cache folder for unbraid."""
    chosen = os.environ.get("UNBRAID_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("unbraid")


def store(path: Path, chunks: Iterator[bytes], facts: dict[str, Any]) -> dict[str, Any]:
    """Write a table's bytes, then its facts with their checksum beside it; return the facts."""
    digest = hashlib.sha256()
    with written_atomically(path) as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    facts = {**facts, "sha256": digest.hexdigest()}
    with written_atomically(path.with_suffix(".json")) as file:
        file.write(json.dumps(facts, indent=2).encode())
    return facts


def restore(path: Path, bytes_an_item: int, remedy: str) -> UInt8[np.ndarray, "n bytes"]:
    """A stored table as a read-only memory map, its checksum verified.

    UserError with `remedy` if the file is cut short, changed, or has lost its facts.
    """
    try:
        expected = json.loads(path.with_suffix(".json").read_text())["sha256"]
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {remedy}") from error
    if found != expected:
        raise UserError(
            f"{path}: its SHA-256 is {found[:12]}…, not {expected[:12]}… as when it was written;"
            f" {remedy}"
        )
    return np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, bytes_an_item)
