"""Atomic writes, locks of directories, and the errors of failed writes."""

from __future__ import annotations

import contextlib
import errno
import inspect
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from unbraid.errors import StorageError, UnbraidError, UserError

PARTIAL = ".partial"
LOCK = ".lock"
USER_MISTAKES = (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)
USER_MISTAKES += (FileNotFoundError,)
# On some machines two of these names share a number.
USER_MISTAKE_CODES = {errno.EROFS, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP}
LOCKS_UNSUPPORTED_CODES = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
# Where the file system has no locks, filelock otherwise writes a marker file. If its process is
# killed, processes of other machines wait for it forever.
_PARAMETERS = inspect.signature(FileLock.__init__).parameters
LOCK_OPTIONS: dict[str, Any] = (
    {"fallback_to_soft": False} if "fallback_to_soft" in _PARAMETERS else {}
)


def write_error(path: Path, error: OSError, remedy: str | None = None) -> UnbraidError:
    """Return the error to raise because `path` could not be written.

    Parameters
    ----------
    path : Path
        File or directory that could not be written.
    error : OSError
        Error of the operating system.
    remedy : str, optional
        Advice to the user, by default chosen by the kind of the error.

    Returns
    -------
    UnbraidError
        `UserError` if the location is at fault: no permission, a read-only file system, a file in
        the place of a directory. `StorageError` for everything else: a full disk, an exceeded
        quota, an input/output error.

    Examples
    --------
    >>> write_error(Path("run"), OSError(errno.ENOSPC, "No space left on device"))
    StorageError('run: cannot be written (No space left on device); free disk space and try again')
    """
    if isinstance(error, USER_MISTAKES) or error.errno in USER_MISTAKE_CODES:
        kind, default = UserError, "choose a folder that you may write to"
    else:
        kind, default = StorageError, "free disk space and try again"
    reason = error.strerror or str(error)
    return kind(f"{path}: cannot be written ({reason}); {remedy or default}")


@contextlib.contextmanager
def write_errors(path: Path, remedy: str | None = None) -> Iterator[None]:
    """Turn every OSError of the block into the error that `write_error` returns."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error, remedy) from error


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that replaces `path` when the block ends without an error.

    The new file is flushed to the disk first. After an error the old file, if any, is unchanged.

    Parameters
    ----------
    path : Path
        File to write. Its directory is created if it does not exist.

    Yields
    ------
    IO[bytes]
        Binary file, open for writing.

    Raises
    ------
    UserError or StorageError
        If the file cannot be written.
    """
    partial: Path | None = None
    try:
        with write_errors(path):
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
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def directory_lock(
    folder: Path,
    name: str = LOCK,
    *,
    timeout: float = 0.0,
    busy: str = "another process is using it; wait until it ends, or set `out` to another folder",
    remedy: str | None = None,
) -> Iterator[None]:
    """Hold an exclusive lock of a directory, which is created if it does not exist.

    No lock is held where the file system does not support locks.

    Parameters
    ----------
    folder : Path
        Directory to lock.
    name : str, optional
        Name of the lock file in it, default ".lock". Locks of different names are independent.
    timeout : float, optional
        Seconds to wait until another process releases the lock, default 0. Negative: no limit.
    busy : str, optional
        Rule and remedy of the error that is raised if another process holds the lock.
    remedy : str, optional
        Remedy of the error that is raised if the directory cannot be written.

    Raises
    ------
    UserError
        If another process still holds the lock after `timeout`.
    UserError or StorageError
        If the directory or the lock file cannot be written.
    """
    lock = _file_lock(folder / name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout)
    except Timeout as error:
        raise UserError(f"{folder}: {busy}") from error
    except NotImplementedError:  # filelock's error where the file system has no locks
        pass
    except OSError as error:
        if error.errno not in LOCKS_UNSUPPORTED_CODES:
            raise write_error(folder, error, remedy) from error
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path, name: str = LOCK) -> bool:
    """Return whether a process on this machine holds a lock of a directory."""
    if not (folder / name).exists():
        return False
    try:
        with _file_lock(folder / name).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except (NotImplementedError, OSError):
        return False


def remove_partial_files(path: Path) -> None:
    """Remove what killed processes left of writing the file at `path`.

    No other process may be writing the file at the same time.
    """
    for partial in path.parent.glob(f".{path.name}.*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def _file_lock(path: Path) -> FileLock:
    # With filelock's own mode, a group that shares the directory could not lock it.
    return FileLock(path, mode=0o666 & ~_umask(), **LOCK_OPTIONS)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
