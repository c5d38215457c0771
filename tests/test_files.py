"""Atomic writes, locks of directories, and the errors of failed writes."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from unbraid.errors import StorageError, UnbraidError, UserError
from unbraid.files import directory_lock, is_locked, write_error, written_atomically

HOLD = """
import sys
from pathlib import Path
from unbraid.files import directory_lock
with directory_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, StorageError),
        (errno.EDQUOT, StorageError),
        (errno.EIO, StorageError),
        (errno.EFBIG, StorageError),
        (errno.EACCES, UserError),
        (errno.EROFS, UserError),
        (errno.ENOTDIR, UserError),
        (errno.EISDIR, UserError),
        (errno.EEXIST, UserError),
    ],
)
def test_kind_of_a_write_error(code: int, kind: type[UnbraidError]) -> None:
    error = write_error(Path("run"), OSError(code, "reason"))
    assert type(error) is kind
    assert str(error).startswith("run: cannot be written (reason); ")


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write() -> None:
        with written_atomically(path) as file:
            file.write(b"new")
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(StorageError, match="Input/output error"):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_lock_of_another_process_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        assert is_locked(tmp_path)
        refused = pytest.raises(UserError, match="another process is using it; wait until it ends")
        with refused, directory_lock(tmp_path):
            pass
        with directory_lock(tmp_path, ".other.lock"):
            pass
        process.communicate()
    assert not is_locked(tmp_path)
    with directory_lock(tmp_path):
        assert is_locked(tmp_path)


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks"), NotImplementedError("flock")])
def test_file_system_without_locks_is_used_without(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(lock: filelock.FileLock, timeout: float) -> None:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", fails)
    with directory_lock(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK])
def test_no_marker_is_left_where_there_are_no_locks(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marker of a process that was killed on another machine would never be removed."""
    fcntl = pytest.importorskip("fcntl")

    def fails(*_: int) -> None:
        raise OSError(code, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", fails)
    (tmp_path / ".lock").write_text("6157\nanother machine\n1\n")
    for _ in range(2):
        with directory_lock(tmp_path):
            assert not is_locked(tmp_path)


def test_lock_file_can_be_locked_by_the_group_of_the_directory(tmp_path: Path) -> None:
    mask = os.umask(0o002)
    try:
        with directory_lock(tmp_path):
            assert (tmp_path / ".lock").stat().st_mode & 0o777 == 0o664
    finally:
        os.umask(mask)


def test_directory_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"cannot be written .*; set X"),
        directory_lock(tmp_path / "file" / "run", remedy="set X"),
    ):
        pass
