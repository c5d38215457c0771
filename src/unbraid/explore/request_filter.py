"""Filter of HTTP requests: the server of the page serves the page and nothing else.

Gradio has more routes than this page needs: files by their path, pages of the internet by their
address, recordings, an editor. Only the routes that the page uses are open here, and only to
requests from the page's own address.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

PATHS = ("/", "/config", "/theme.css", "/favicon.ico")
PREFIXES = ("/assets/", "/static/", "/svelte/")
API = "/gradio_api/"
API_PATHS = ("startup-events", "upload", "upload_progress")
API_PREFIXES = ("heartbeat/", "run/")
# The body of a call has a few dozen numbers.
MAX_CALL_BYTES = 2**20
LOCAL = ("127.0.0.1", "localhost", "::1")


class RequestFilter:
    """ASGI middleware that rejects requests before Gradio sees them.

    The response is 404 for a path that the page does not use, and 403 for a request from another
    site's page or under another host name: such a page could send a form here, or point a name of
    its own at this machine (DNS rebinding). If `host`, the address that the server is bound to, is
    reachable from other machines, any host name is accepted. The response is also 403 for a call
    with the path of a file outside the `uploads` or with a URL: Gradio would read the file and
    fetch the URL.
    """

    def __init__(self, app: Any, host: str, uploads: str) -> None:
        self.app, self.host, self.uploads = app, host, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to Gradio, or respond with the status of the rejection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        status = self.rejection(scope["path"], headers.get(b"host", ""), headers.get(b"origin"))
        if status is None and scope["method"] == "POST" and scope["path"] != f"{API}upload":
            body = await _body(receive)
            status = self.call_rejection(body)
            receive = _replay(body, receive)
        if status is None:
            await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def rejection(self, path: str, host: str, origin: str | None) -> int | None:
        """Return 404 or 403 if a request is rejected, else None."""
        if not _is_open(path):
            return 404
        if self.host in LOCAL and (urlsplit(f"//{host}").hostname or "") not in LOCAL:
            return 403
        if origin is not None and urlsplit(origin).netloc != host:
            return 403
        return None

    def call_rejection(self, body: bytes) -> int | None:
        """Return 413 if a call is too long, 400 if it is not JSON, 403 for its files, else None."""
        if len(body) > MAX_CALL_BYTES:
            return 413
        try:
            paths = _file_paths(json.loads(body)) if body else []
        except (ValueError, RecursionError):
            return 400
        return None if all(self._is_upload(path) for path in paths) else 403

    def _is_upload(self, path: Any) -> bool:
        return (
            isinstance(path, str)
            and ".." not in path
            and path.startswith(f"{self.uploads}{os.sep}")
        )


async def _body(receive: Receive) -> bytes:
    """Read the body of a request, and stop once it is too long."""
    body, more = b"", True
    while more and len(body) <= MAX_CALL_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that first returns a body that was read already."""
    unread = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Any:
        return unread.pop() if unread else await receive()

    return receive_again


def _file_paths(value: Any) -> Iterator[Any]:
    """Find every `path` in a call: Gradio treats an object with one, at any depth, as a file."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _file_paths(part)


def _is_open(path: str) -> bool:
    if ".." in path:
        return False
    if path in PATHS or path.startswith(PREFIXES):
        return True
    call = path.removeprefix(API).rstrip("/") if path.startswith(API) else ""
    return call in API_PATHS or call.startswith(API_PREFIXES)
