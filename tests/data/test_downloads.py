"""Downloads from a local server that interrupts, changes and fakes files."""

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
    """Serves DATA with ranges, and records the requested ranges."""

    ranges: list[str | None]
    cuts: list[int]  # numbers of bytes after which the next responses break off
    tag: str
    kind: str
    status: int
    data: bytes

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore broken connections, which the tests cause."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        requested = self.headers.get("Range")
        self.server.ranges.append(requested)
        if self.path == "/gone" or self.server.status != 200:
            self.send_error(404 if self.path == "/gone" else self.server.status)
            return
        start = int(requested.removeprefix("bytes=").rstrip("-")) if requested else 0
        if self.headers.get("If-Range", self.server.tag) != self.server.tag:
            start, requested = 0, None
        if start >= len(self.server.data):
            self.send_error(416)
            return
        body = self.server.data[start:]
        self.send_response(206 if requested else 200)
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
    monkeypatch.setattr(downloads, "RETRY_SECONDS", 0.0)
    server = Server(("127.0.0.1", 0), Handler)
    server.ranges, server.cuts, server.tag, server.status, server.data = [], [], '"1"', 200, DATA
    server.kind = "application/octet-stream"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
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


def test_a_broken_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cuts = [2 * downloads.CHUNK_BYTES, downloads.CHUNK_BYTES]
    assert download(remote(server), tmp_path).read_bytes() == DATA
    assert server.ranges == [None, "bytes=131072-", "bytes=196608-"]


def test_a_later_call_resumes_an_earlier_one(server: Server, tmp_path: Path) -> None:
    server.cuts = [downloads.CHUNK_BYTES + 7] + [0] * downloads.MAX_ATTEMPTS
    with pytest.raises(UserError, match="IncompleteRead") as raised:
        download(remote(server), tmp_path)
    assert "set `local_path` to its folder" in str(raised.value)
    server.ranges.clear()
    server.cuts.clear()
    assert download(remote(server), tmp_path).read_bytes() == DATA
    assert server.ranges == ["bytes=65536-"]


def test_parts_of_two_files_are_never_joined(server: Server, tmp_path: Path) -> None:
    """Without a digest, the server's ETag shows that the file has changed."""
    server.cuts = [downloads.CHUNK_BYTES + 7] + [0] * downloads.MAX_ATTEMPTS
    with pytest.raises(UserError):
        download(remote(server, digest=""), tmp_path)
    server.tag, server.cuts, server.data = '"2"', [], DATA[::-1]
    assert download(remote(server, digest=""), tmp_path).read_bytes() == DATA[::-1]


def test_the_next_mirror_is_tried(server: Server, tmp_path: Path) -> None:
    assert download(remote(server, "gone", "file"), tmp_path).read_bytes() == DATA
    with pytest.raises(UserError, match=r"file.bin: cannot be downloaded \(.*HTTP 404\)"):
        download(remote(server, "gone"), tmp_path / "other")


def test_a_wrong_file_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.data = DATA[:-1] + b"?"
    with pytest.raises(UserError, match="its digest is not that of the official file"):
        download(remote(server), tmp_path)
    server.data = b"too many people have looked at this file"
    with pytest.raises(UserError, match="its size is 40 bytes, not 256,000"):
        download(remote(server), tmp_path)
    # A web page is refused even if neither size nor digest is known.
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(UserError, match="a web page instead of the file"):
        download(remote(server, digest="", size=0), tmp_path)
    assert not (tmp_path / "file.bin").exists()


def test_a_busy_server_is_tried_a_limited_number_of_times(server: Server, tmp_path: Path) -> None:
    server.status = 503
    with pytest.raises(UserError, match="HTTP 503"):
        download(remote(server), tmp_path)
    assert len(server.ranges) == downloads.MAX_ATTEMPTS


def test_without_an_address_the_user_must_download_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"list\.txt: cannot be downloaded .* by hand") as raised:
        download(RemoteFile("list.txt", ()), tmp_path)
    assert "no address is known" in str(raised.value)
