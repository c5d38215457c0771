"""Which requests the filter passes on to the server."""

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
def test_paths_that_the_page_does_not_use_are_rejected(path: str) -> None:
    assert RequestFilter(None, "127.0.0.1", UPLOADS).rejection(path, OWN, None) == 404


@pytest.mark.parametrize(
    "path", ["/", "/config", "/assets/x.js", "/gradio_api/upload", "/gradio_api/run/predict"]
)
def test_the_page_accepts_requests_from_its_own_address(path: str) -> None:
    request_filter = RequestFilter(None, "127.0.0.1", UPLOADS)
    for host in (OWN, "localhost:7860", "[::1]:7860"):
        assert request_filter.rejection(path, host, None) is None
        assert request_filter.rejection(path, host, f"http://{host}") is None


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9", ""])
def test_requests_from_other_sites_are_rejected(origin: str) -> None:
    for host in ("127.0.0.1", "0.0.0.0"):
        assert (
            RequestFilter(None, host, UPLOADS).rejection("/gradio_api/upload", OWN, origin) == 403
        )


def test_foreign_host_names_are_rejected_if_the_server_is_local() -> None:
    for host in ("evil.example:7860", "", "127.0.0.1.evil.example"):
        assert RequestFilter(None, "127.0.0.1", UPLOADS).rejection("/", host, None) == 403
    assert (
        RequestFilter(None, "0.0.0.0", UPLOADS).rejection(
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
def test_a_call_may_name_uploaded_files_only(file: Any, status: int | None) -> None:
    request_filter = RequestFilter(None, "127.0.0.1", UPLOADS)
    sent = {"path": file, "meta": {"_type": "gradio.FileData"}}
    for data in ([sent, 0], [0, [sent]], [{"x": {"y": sent}}], [{**sent, "z": 1}]):
        assert (
            request_filter.call_rejection(json.dumps({"data": data, "fn_index": 3}).encode())
            == status
        )


def test_a_call_must_be_short_and_json() -> None:
    request_filter = RequestFilter(None, "127.0.0.1", UPLOADS)
    assert request_filter.call_rejection(b"") is None
    assert request_filter.call_rejection(b"{") == 400
    assert request_filter.call_rejection(b"[" * 500_000) == 400
    assert request_filter.call_rejection(b" " * (2**20 + 1)) == 413


def test_a_body_is_passed_on_unchanged() -> None:
    """It is sent in pieces, with a disconnection after it. A rejected body is not passed on."""
    received: list[Any] = []

    async def server(scope: Any, receive: Any, send: Any) -> None:
        received.extend([await receive(), await receive()])

    def ask(body: bytes, endless: bool = False) -> list[Any]:
        pieces = [body[:5], body[5:]]
        messages = [
            {"type": "http.request", "body": b, "more_body": b != pieces[1]} for b in pieces
        ]
        messages.append({"type": "http.disconnect"})
        sent: list[Any] = []

        async def receive() -> Any:
            chunk = {"type": "http.request", "body": bytes(2**18), "more_body": True}
            return chunk if endless else messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "path": "/gradio_api/run/predict", "method": "POST"}
        headers = [(b"host", OWN.encode())]
        request_filter = RequestFilter(server, "127.0.0.1", UPLOADS)
        asyncio.run(request_filter({**scope, "headers": headers}, receive, send))
        return sent

    assert ask(b'{"data": [1, 2]}') == []
    assert [m.get("body") for m in received] == [b'{"data": [1, 2]}', None]
    assert ask(b'{"data": [{"path": "/etc/hostname"}]}')[0]["status"] == 403
    assert ask(b"", endless=True)[0]["status"] == 413
    assert len(received) == 2
