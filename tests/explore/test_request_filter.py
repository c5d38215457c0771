"""Which requests reach the page's server."""

import asyncio
import json
from typing import Any

import pytest

from unbraid.explore.request_filter import RequestFilter

OWN, UPLOADS = "127.0.0.1:7860", "/tmp/uploads"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/hostname",
        "/gradio_api/file=http://example.org/x.png",
        "/gradio_api/file/x",
        "/file=/etc/hostname",
        "/gradio_api/proxy=https://example.org/",
        "/gradio_api/vibe-code/",
        "/gradio_api/runs",
        "/gradio_api/run-history/connect",
        "/gradio_api/process_recording",
        "/gradio_api/stream/x",
        "/gradio_api/mcp/",
        "/gradio_api/deep_link",
        "/gradio_api/openapi.json",
        "/gradio_api/queue/join",
        "/gradio_api/call/predict",
        "/monitoring",
        "/docs",
        "/login",
        "/static/../../etc/hostname",
        "/assets/../x",
        "/nowhere",
    ],
)
def test_only_what_the_page_needs_is_open(path: str) -> None:
    assert RequestFilter(None, "127.0.0.1", UPLOADS).status(path, OWN, None) == 404


@pytest.mark.parametrize(
    "path", ["/", "/config", "/assets/x.js", "/gradio_api/upload", "/gradio_api/run/predict"]
)
def test_the_page_itself_is_open_to_its_own_address(path: str) -> None:
    gate = RequestFilter(None, "127.0.0.1", UPLOADS)
    for host in (OWN, "localhost:7860", "[::1]:7860"):
        assert gate.status(path, host, None) is None
        assert gate.status(path, host, f"http://{host}") is None


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9", ""])
def test_a_page_of_elsewhere_is_refused(origin: str) -> None:
    for host in ("127.0.0.1", "0.0.0.0"):
        assert RequestFilter(None, host, UPLOADS).status("/gradio_api/upload", OWN, origin) == 403


def test_a_name_that_points_here_is_refused_unless_others_are_let_in() -> None:
    for host in ("evil.example:7860", "", "127.0.0.1.evil.example"):
        assert RequestFilter(None, "127.0.0.1", UPLOADS).status("/", host, None) == 403
    assert (
        RequestFilter(None, "0.0.0.0", UPLOADS).status(
            "/", "lab.example:7860", "http://lab.example:7860"
        )
        is None
    )


@pytest.mark.parametrize(
    ("file", "status"),
    [
        ("/tmp/uploads/0a/x.png", None),
        ("/etc/hostname", 403),
        ("http://example.org/x.png", 403),
        ("/tmp/uploads/../secret", 403),
        ("/tmp/uploads-of-another/x", 403),
        ("", 403),
        (None, 403),
        (["/tmp/uploads/x"], 403),
    ],
)
def test_a_call_names_no_file_but_an_upload(file: Any, status: int | None) -> None:
    gate = RequestFilter(None, "127.0.0.1", UPLOADS)
    sent = {"path": file, "meta": {"_type": "gradio.FileData"}}
    for data in ([sent, 0], [0, [sent]], [{"x": {"y": sent}}], [{**sent, "z": 1}]):
        assert gate.status_of_call(json.dumps({"data": data, "fn_index": 3}).encode()) == status


def test_a_call_is_short_and_json() -> None:
    gate = RequestFilter(None, "127.0.0.1", UPLOADS)
    assert gate.status_of_call(b"") is None
    assert gate.status_of_call(b"{") == 400
    assert gate.status_of_call(b"[" * 500_000) == 400
    assert gate.status_of_call(b" " * (2**20 + 1)) == 413


def test_a_body_reaches_the_server_as_it_was_sent() -> None:
    """In pieces and with a disconnection after it; one that is refused never arrives."""
    arrived: list[Any] = []

    async def server(scope: Any, receive: Any, send: Any) -> None:
        arrived.extend([await receive(), await receive()])

    def ask(body: bytes, endless: bool = False) -> list[Any]:
        pieces = [body[:5], body[5:]]
        left = [{"type": "http.request", "body": b, "more_body": b != pieces[1]} for b in pieces]
        left.append({"type": "http.disconnect"})
        sent: list[Any] = []

        async def receive() -> Any:
            whole = {"type": "http.request", "body": bytes(2**18), "more_body": True}
            return whole if endless else left.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "path": "/gradio_api/run/predict", "method": "POST"}
        headers = [(b"host", OWN.encode())]
        gate = RequestFilter(server, "127.0.0.1", UPLOADS)
        asyncio.run(gate({**scope, "headers": headers}, receive, send))
        return sent

    assert ask(b'{"data": [1, 2]}') == []
    assert [m.get("body") for m in arrived] == [b'{"data": [1, 2]}', None]
    assert ask(b'{"data": [{"path": "/etc/hostname"}]}')[0]["status"] == 403
    assert ask(b"", endless=True)[0]["status"] == 413
    assert len(arrived) == 2
