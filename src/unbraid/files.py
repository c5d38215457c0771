"""Files that are written whole or not at all, folders that one process writes to."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from unbraid.errors import UserError

PARTIAL = ".partial"


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[IO[bytes]]:
    """A file that replaces `path` once the block ends well, flushed to the disk.

    UserError if the folder cannot be written to; then whatever stood at `path` still stands.
    """
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(PARTIAL, f".{path.name}.", path.parent)
        partial = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
        partial = None
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); nothing that was there is"
            " lost; free space or choose a folder that is yours"
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def directory_lock(folder: Path) -> Iterator[None]:
    """Keep every other process that asks for it out of a folder, made if it is missing.

    UserError if another process has it, or if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); choose a folder that is"
            " yours"
        ) from error
    try:
        # Where a file system has no locks, nothing is held and nothing refused.
        with contextlib.suppress(OSError):
            _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def sweep(path: Path) -> None:
    """Remove what killed writes of the file at `path` left; nobody may be writing it now."""
    for partial in path.parent.glob(f".{path.name}.*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"{folder}: another process is at work in it; wait for its end, or give another --out"
        ) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
