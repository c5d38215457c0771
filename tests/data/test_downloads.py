"""Downloads against a server on this machine that breaks off, moves and lies."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from unbraid.data import downloads
from unbraid.data.downloads import RemoteFile, download
from unbraid.errors import UserError

DATA = bytes(range(256)) * 1_000
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


class Server(http.server.ThreadingHTTPServer):
    """Serves DATA with ranges; notes what was asked for."""

    ranges: list[str | None]
    cuts: list[int]  # after how many bytes the next answers break off
    tag: str
    kind: str
    status: int
    data: bytes

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks off is what is tested."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.path == "/gone" or self.server.status != 200:
            self.send_error(404 if self.path == "/gone" else self.server.status)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if self.headers.get("If-Range", self.server.tag) != self.server.tag:
            start, asked = 0, None
        if start >= len(self.server.data):
            self.send_error(416)
            return
        body = self.server.data[start:]
        self.send_response(206 if asked else 200)
        self.send_header("ETag", self.server.tag)
        self.send_header("Content-Type", self.server.kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(body)
        self.wfile.write(body[:cut])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    one = Server(("127.0.0.1", 0), Handler)
    one.ranges, one.cuts, one.tag, one.status, one.data = [], [], '"1"', 200, DATA
    one.kind = "application/octet-stream"
    thread = threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield one
    one.shutdown()
    one.server_close()
    thread.join()


def url(server: Server, path: str = "file") -> str:
    return f"http://127.0.0.1:{server.server_port}/{path}"


def remote(server: Server, *paths: str, digest: str = DIGEST, size: int = len(DATA)) -> RemoteFile:
    return RemoteFile(
        "file.bin", tuple(url(server, path) for path in paths or ("file",)), size, digest
    )


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    assert download(remote(server), tmp_path).read_bytes() == DATA
    assert download(remote(server), tmp_path).read_bytes() == DATA
    assert server.ranges == [None]
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_a_broken_connection_is_continued(server: Server, tmp_path: Path) -> None:
    server.cuts = [2 * downloads.CHUNK, downloads.CHUNK]
    assert download(remote(server), tmp_path).read_bytes() == DATA
    assert server.ranges == [None, "bytes=131072-", "bytes=196608-"]


def test_a_later_call_continues_an_earlier_one(server: Server, tmp_path: Path) -> None:
    server.cuts = [downloads.CHUNK + 7] + [0] * downloads.ATTEMPTS
    with pytest.raises(UserError, match="IncompleteRead") as raised:
        download(remote(server), tmp_path)
    assert "--local-path FOLDER" in str(raised.value)
    server.ranges.clear()
    server.cuts.clear()
    assert download(remote(server), tmp_path).read_bytes() == DATA
    assert server.ranges == ["bytes=65536-"]


def test_halves_of_two_files_are_never_joined(server: Server, tmp_path: Path) -> None:
    """Without a digest, the server's tag says that the file is another by now."""
    server.cuts = [downloads.CHUNK + 7] + [0] * downloads.ATTEMPTS
    with pytest.raises(UserError):
        download(remote(server, digest=""), tmp_path)
    server.tag, server.cuts, server.data = '"2"', [], DATA[::-1]
    assert download(remote(server, digest=""), tmp_path).read_bytes() == DATA[::-1]


def test_the_next_mirror_is_tried(server: Server, tmp_path: Path) -> None:
    assert download(remote(server, "gone", "file"), tmp_path).read_bytes() == DATA
    with pytest.raises(UserError, match=r"file.bin: not to be had \(.*HTTP 404\)"):
        download(remote(server, "gone"), tmp_path / "other")


def test_another_file_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.data = DATA[:-1] + b"?"
    with pytest.raises(UserError, match="not the official file, by its digest"):
        download(remote(server), tmp_path)
    server.data = b"too many people have looked at this file"
    with pytest.raises(UserError, match="40 bytes, not 256,000"):
        download(remote(server), tmp_path)
    # Where neither size nor digest is known, a page is still no file.
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(UserError, match="a page where the file should be"):
        download(remote(server, digest="", size=0), tmp_path)
    assert not (tmp_path / "file.bin").exists()


def test_a_busy_server_is_asked_again_and_not_for_ever(server: Server, tmp_path: Path) -> None:
    server.status = 503
    with pytest.raises(UserError, match="HTTP 503"):
        download(remote(server), tmp_path)
    assert len(server.ranges) == downloads.ATTEMPTS


def test_without_an_address_the_file_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"list\.txt: not to be had .* by hand") as raised:
        download(RemoteFile("list.txt", ()), tmp_path)
    assert "no address is known" in str(raised.value)
