"""The cache folder: tables written with their metadata and SHA-256, verified when read."""

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
from jaxtyping import UInt8
from tqdm import tqdm

from unbraid.errors import UserError
from unbraid.files import directory_lock, written_atomically

# Files of this size take over two seconds to read, so a progress bar is shown.
PROGRESS_MIN_BYTES = 1 << 30


def cache_dir() -> Path:
    """Return the cache folder: $UNBRAID_CACHE, or else the user's cache folder for unbraid.

    Returns
    -------
    Path
        The folder, which need not exist yet.
    """
    chosen = os.environ.get("UNBRAID_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("unbraid")


def store(path: Path, chunks: Iterator[bytes], metadata: dict[str, Any]) -> dict[str, Any]:
    """Write a table, and its metadata with its SHA-256 as JSON beside it.

    Parameters
    ----------
    path : Path
        File of the table; the metadata are written to the same name with the suffix .json.
    chunks : iterator of bytes
        Content of the table.
    metadata : dict
        Metadata to store. The iterator may add entries until its last chunk.

    Returns
    -------
    dict
        The metadata, with the key `sha256`.

    Raises
    ------
    UserError or StorageError
        If a file cannot be written.
    """
    digest = hashlib.sha256()
    with written_atomically(path) as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    metadata = {**metadata, "sha256": digest.hexdigest()}
    with written_atomically(path.with_suffix(".json")) as file:
        file.write(json.dumps(metadata, indent=2).encode())
    return metadata


def read_metadata(path: Path) -> dict[str, Any]:
    """Read the metadata stored beside a table.

    Parameters
    ----------
    path : Path
        File of the table.

    Returns
    -------
    dict
        The metadata.

    Raises
    ------
    OSError
        If there is no metadata file, or it cannot be read.
    ValueError
        If the metadata are damaged.
    """
    metadata = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    if not isinstance(metadata, dict):
        raise ValueError("its metadata are damaged")
    return metadata


def restore(path: Path, bytes_per_item: int, remedy: str) -> UInt8[np.ndarray, "n bytes"]:
    """Open a stored table as a read-only memory map, after verifying its SHA-256.

    Parameters
    ----------
    path : Path
        File of the table.
    bytes_per_item : int
        Bytes per item.
    remedy : str
        What the user can do if the table is damaged, for the error message.

    Returns
    -------
    uint8 array of shape (n, bytes_per_item)
        The table.

    Raises
    ------
    UserError
        If the file cannot be read, is truncated or changed, or if its metadata are missing.
    """
    try:
        expected = read_metadata(path)["sha256"]
        actual = checksum(path, "sha256")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {remedy}") from error
    if actual != expected:
        raise UserError(
            f"{path}: damaged, as its SHA-256 is {actual[:12]}…, not {expected[:12]}…; {remedy}"
        )
    return np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, bytes_per_item)


def checksum(path: Path, algorithm: str) -> str:
    """Compute the digest of a file, with a progress bar if the file is large.

    Parameters
    ----------
    path : Path
        The file.
    algorithm : str
        Name of a hashlib algorithm.

    Returns
    -------
    str
        Hexadecimal digest.
    """
    size = path.stat().st_size
    digest = hashlib.new(algorithm, usedforsecurity=False)
    # An explicit False would override $TQDM_DISABLE.
    options: dict[str, Any] = {"disable": True} if size < PROGRESS_MIN_BYTES else {}
    bar = tqdm(total=size, desc=f"verifying {path.name}", unit="B", unit_scale=True, **options)
    with path.open("rb") as file, bar:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()


@contextlib.contextmanager
def table_lock(name: str) -> Iterator[None]:
    """Make other processes wait while this process makes a table.

    Parameters
    ----------
    name : str
        Name of the table.

    Yields
    ------
    None
        Control, while this process has the lock.

    Raises
    ------
    UserError or StorageError
        If the cache folder cannot be written.
    """
    remedy = "set $UNBRAID_CACHE to a folder that you can write to"
    with directory_lock(cache_dir(), f".{name}.lock", timeout=-1.0, remedy=remedy):
        yield
