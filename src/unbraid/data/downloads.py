"""Official files: downloaded, continued where they were cut off, or taken from a folder."""

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

# Attempts that bring nothing more, and the seconds before the first of them is repeated.
ATTEMPTS = 5
PAUSE = 1.0
TIMEOUT = 60
# What a break may lose.
CHUNK = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """An official file: its name, where it is (mirrors follow), its size and its digest.

    `digest` is `sha256:…` or `md5:…`, empty where nobody has published one; `size` is 0 if unknown.
    """

    name: str
    urls: tuple[str, ...]
    size: int = 0
    digest: str = ""


def obtain(dataset: str, files: Sequence[RemoteFile], local: Path | None) -> dict[str, Path]:
    """The official files by their name: from `local`, a folder or the only file, or downloaded.

    All are verified. UserError if one is missing, is not the official one or cannot be downloaded.
    """
    if local is None:
        folder = cache.cache_dir() / "downloads" / dataset
        return {remote.name: download(remote, folder) for remote in files}
    found = {}
    for remote in files:
        single = len(files) == 1 and not local.is_dir()
        path = local if single else local / remote.name
        if not path.is_file():
            raise UserError(
                f"{path}: no such file; give --local-path the folder that holds"
                f" {', '.join(remote.name for remote in files)}"
            )
        _verify(path, remote)
        found[remote.name] = path
    return found


def download(remote: RemoteFile, folder: Path) -> Path:
    """A file in the folder, verified; fetched unless it is there, from the first mirror with it.

    What was fetched before a break is kept as NAME.part and continued. UserError with every
    mirror's answer if none gives the official file.
    """
    path = folder / remote.name
    pooch = _pooch()
    answers = []
    for url in remote.urls:
        try:
            pooch.retrieve(
                url,
                remote.digest or None,
                remote.name,
                folder,
                downloader=ResumableDownloader(remote, path),
            )
        # The library's word for another digest.
        except ValueError:
            answers.append(f"{url}: not the official file, by its digest")
        except UserError as error:
            answers.append(str(error))
        else:
            return path
    told = "; ".join(answers) or "no address is known"
    raise UserError(
        f"{remote.name}: not to be had ({told}); download it by hand and give --local-path FOLDER"
    )


@dataclass
class ResumableDownloader:
    """A downloader for pooch, which has none that goes on where an earlier one was cut off.

    With If-Range, a server that has another file by now sends the whole of it.
    """

    remote: RemoteFile
    path: Path

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        """Fetch `url` into a file of pooch's choice; UserError if it cannot be."""
        part = self.path.with_name(self.path.name + ".part")
        failures, most = 0, _size(part)
        while True:
            try:
                self._fetch(url, part)
                part.replace(output_file)
                part.with_suffix(".json").unlink(missing_ok=True)
                return
            except _RefusedError as error:
                raise UserError(f"{url}: {error}") from error
            except OSError as error:
                failures = 1 if _size(part) > most else failures + 1
                most = max(most, _size(part))
                if failures == ATTEMPTS:
                    reason = (str(error) or type(error).__name__).splitlines()[0][:200]
                    raise UserError(f"{url}: {reason}") from error
                time.sleep(PAUSE * 2**failures)

    def _fetch(self, url: str, part: Path) -> None:
        import requests

        have, mark = _size(part), _mark(part, url)
        headers = {"Accept-Encoding": "identity"}
        # Without a mark, the digest tells at the end whether the halves were of one file.
        if have and (mark or self.remote.digest):
            headers |= {"Range": f"bytes={have}-", **({"If-Range": mark} if mark else {})}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == 416:
                part.unlink()
            if answer.status_code in (416, 429) or answer.status_code >= 500:
                raise OSError(f"HTTP {answer.status_code}")
            if answer.status_code not in (200, 206):
                raise _RefusedError(f"HTTP {answer.status_code}")
            if answer.headers.get("Content-Type", "").startswith("text/html"):
                raise _RefusedError("a page where the file should be")
            have = have if answer.status_code == 206 else 0
            total = have + int(answer.headers.get("Content-Length", 0))
            if self.remote.size and total > have and total != self.remote.size:
                raise _RefusedError(f"{total:,} bytes, not {self.remote.size:,}")
            _note(part, url, answer.headers)
            self._write(answer, part, have, total)
        if total > have and _size(part) != total:
            raise OSError(f"cut off after {_size(part):,} of {total:,} bytes")

    def _write(self, answer: Any, part: Path, have: int, total: int) -> None:
        how = {"total": total or None, "initial": have, "unit": "B", "unit_scale": True}
        with part.open("ab" if have else "wb") as file, tqdm(desc=self.remote.name, **how) as bar:
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))


class _RefusedError(Exception):
    """An answer that another attempt would not change."""


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _mark(part: Path, url: str) -> str | None:
    """By what the server tells whether its file is still the one that was begun."""
    try:
        noted = json.loads(part.with_suffix(".json").read_text())
        return noted["mark"] if noted["url"] == url else None
    except (OSError, ValueError, KeyError):
        return None


def _note(part: Path, url: str, headers: Mapping[str, str]) -> None:
    tag = headers.get("ETag", "")
    # A weak tag does not promise the same bytes.
    mark = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
    part.with_suffix(".json").write_text(json.dumps({"url": url, "mark": mark}))


def _verify(path: Path, remote: RemoteFile) -> None:
    size = path.stat().st_size
    if remote.size and size != remote.size:
        raise UserError(
            f"{path}: {size:,} bytes, the official file has {remote.size:,}; download it again"
        )
    if remote.digest:
        algorithm, _, expected = remote.digest.partition(":")
        found = cache.checksum(path, algorithm)
        if found != expected:
            raise UserError(
                f"{path}: its {algorithm.upper()} is {found}, the official file's is {expected};"
                " download it again"
            )


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise UserError(
            "downloads need pooch; install it with pip install 'unbraid[datasets]', or download by"
            " hand and give --local-path FOLDER"
        ) from error
    pooch.get_logger().setLevel("ERROR")
    return pooch
