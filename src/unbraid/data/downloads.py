"""Official files: downloaded, resumed where a download broke off, or read from a local folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from unbraid.data import cache
from unbraid.errors import UserError

# Consecutive attempts without progress, and seconds before the first retry (doubled every time).
MAX_ATTEMPTS = 5
RETRY_SECONDS = 1.0
TIMEOUT_SECONDS = 60
# The most that an interruption can lose.
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """An official file: its name, its addresses, its size and its digest.

    Parameters
    ----------
    name : str
        File name.
    urls : tuple of str
        Addresses: the official one, then mirrors.
    size : int, default 0
        Size in bytes; 0 if unknown.
    digest : str, default ""
        `sha256:…` or `md5:…`; empty if none has been published.
    """

    name: str
    urls: tuple[str, ...]
    size: int = 0
    digest: str = ""


def fetch_files(
    dataset: str, files: Sequence[RemoteFile], local_path: Path | None
) -> dict[str, Path]:
    """Return verified official files, downloaded unless a local path is given.

    Parameters
    ----------
    dataset : str
        Name of the dataset, for the folder of the downloads.
    files : sequence of RemoteFile
        The official files.
    local_path : Path or None
        Folder with the files, or the file itself if there is only one; None to download.

    Returns
    -------
    dict of str to Path
        Path of each file, by its name.

    Raises
    ------
    UserError
        If a file is missing, is not the official one or cannot be downloaded.
    """
    if local_path is None:
        folder = cache.cache_dir() / "downloads" / dataset
        return {remote.name: download(remote, folder) for remote in files}
    paths = {}
    for remote in files:
        is_file = len(files) == 1 and not local_path.is_dir()
        path = local_path if is_file else local_path / remote.name
        if not path.is_file():
            raise UserError(
                f"{path}: no such file; set `local_path` to the folder that contains"
                f" {', '.join(remote.name for remote in files)}"
            )
        _verify(path, remote)
        paths[remote.name] = path
    return paths


def download(remote: RemoteFile, folder: Path) -> Path:
    """Download a file from the first address that works, unless it is already there.

    An interrupted download is kept as NAME.part and resumed at the next call.

    Parameters
    ----------
    remote : RemoteFile
        The official file.
    folder : Path
        Folder to download to.

    Returns
    -------
    Path
        The verified file.

    Raises
    ------
    UserError
        If no address has the official file; the message has the error of each.
    """
    path = folder / remote.name
    pooch = _pooch()
    errors = []
    for url in remote.urls:
        try:
            pooch.retrieve(
                url,
                remote.digest or None,
                remote.name,
                folder,
                downloader=ResumableDownloader(remote, path),
            )
        # pooch raises it if the digest differs.
        except ValueError:
            errors.append(f"{url}: its digest is not that of the official file")
        except UserError as error:
            errors.append(str(error))
        else:
            return path
    reasons = "; ".join(errors) or "no address is known"
    raise UserError(
        f"{remote.name}: cannot be downloaded ({reasons}); download it by hand and set"
        " `local_path` to its folder"
    )


@dataclass
class ResumableDownloader:
    """A downloader for pooch that resumes where an earlier download broke off.

    It asks for the missing range with If-Range, so that a server whose file has changed sends all
    of it.

    Parameters
    ----------
    remote : RemoteFile
        The official file.
    path : Path
        File to download to; the incomplete one has the ending .part.
    """

    remote: RemoteFile
    path: Path

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        """Download `url` to the file that pooch has chosen."""
        part = self.path.with_name(self.path.name + ".part")
        failures, largest = 0, _size(part)
        while True:
            try:
                self._download(url, part)
                part.replace(output_file)
                part.with_suffix(".json").unlink(missing_ok=True)
                return
            except _RefusedError as error:
                raise UserError(f"{url}: {error}") from error
            except OSError as error:
                failures = 1 if _size(part) > largest else failures + 1
                largest = max(largest, _size(part))
                if failures == MAX_ATTEMPTS:
                    reason = (str(error) or type(error).__name__).splitlines()[0][:200]
                    raise UserError(f"{url}: {reason}") from error
                time.sleep(RETRY_SECONDS * 2**failures)

    def _download(self, url: str, part: Path) -> None:
        import requests

        start, validator = _size(part), _read_validator(part, url)
        headers = {"Accept-Encoding": "identity"}
        # Without a validator, the digest shows at the end whether both parts are of one file.
        if start and (validator or self.remote.digest):
            headers["Range"] = f"bytes={start}-"
            if validator:
                headers["If-Range"] = validator
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
            if response.status_code == 416:
                part.unlink()
            if response.status_code in (416, 429) or response.status_code >= 500:
                raise OSError(f"HTTP {response.status_code}")
            if response.status_code not in (200, 206):
                raise _RefusedError(f"HTTP {response.status_code}")
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise _RefusedError("the server sent a web page instead of the file")
            start = start if response.status_code == 206 else 0
            total = start + int(response.headers.get("Content-Length", 0))
            if self.remote.size and total > start and total != self.remote.size:
                raise _RefusedError(f"its size is {total:,} bytes, not {self.remote.size:,}")
            _write_validator(part, url, response.headers)
            self._write(response, part, start, total)
        if total > start and _size(part) != total:
            raise OSError(f"interrupted after {_size(part):,} of {total:,} bytes")

    def _write(self, response: Any, part: Path, start: int, total: int) -> None:
        bar = tqdm(
            desc=self.remote.name, total=total or None, initial=start, unit="B", unit_scale=True
        )
        with part.open("ab" if start else "wb") as file, bar:
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))


class _RefusedError(Exception):
    """A response that another attempt would not change."""


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _read_validator(part: Path, url: str) -> str | None:
    """Value for If-Range: the server's identification of the file that was begun."""
    try:
        metadata = json.loads(part.with_suffix(".json").read_text(encoding="utf-8"))
        return metadata["mark"] if metadata["url"] == url else None
    except (OSError, ValueError, KeyError):
        return None


def _write_validator(part: Path, url: str, headers: Mapping[str, str]) -> None:
    tag = headers.get("ETag", "")
    # A weak tag does not promise the same bytes.
    validator = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
    part.with_suffix(".json").write_text(
        json.dumps({"url": url, "mark": validator}), encoding="utf-8"
    )


def _verify(path: Path, remote: RemoteFile) -> None:
    size = path.stat().st_size
    if remote.size and size != remote.size:
        raise UserError(
            f"{path}: {size:,} bytes, but the official file has {remote.size:,}; download it again"
        )
    if remote.digest:
        algorithm, _, expected = remote.digest.partition(":")
        actual = cache.checksum(path, algorithm)
        if actual != expected:
            raise UserError(
                f"{path}: its {algorithm.upper()} is {actual}, but that of the official file is"
                f" {expected}; download it again"
            )


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise UserError(
            "pooch: required for downloads; install it with pip install 'unbraid[datasets]', or"
            " download the files by hand and set `local_path` to their folder"
        ) from error
    pooch.get_logger().setLevel("ERROR")
    return pooch
