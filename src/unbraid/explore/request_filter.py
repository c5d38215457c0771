"""What a browser may ask of the page's server: the page itself, and nothing else of this machine.

Gradio serves more than this page needs: files by their path, pages of the internet by their
address, recordings, an editor. Here only the routes that the page uses are open, to its own
address.
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

PAGES = ("/", "/config", "/theme.css", "/favicon.ico")
FOLDERS = ("/assets/", "/static/", "/svelte/")
API = "/gradio_api/"
CALLS = ("startup-events", "upload", "upload_progress")
CALL_FOLDERS = ("heartbeat/", "run/")
# Of a call, which holds a few dozen numbers.
MOST_BYTES = 2**20
LOCAL = ("127.0.0.1", "localhost", "::1")


class RequestFilter:
    """Answers 404 to every other path, 403 to another site's pages and to another host's name.

    A page elsewhere can point a name of its own at this machine (DNS rebinding) or send it a form;
    neither passes. `host` is what the server is bound to: beyond this machine, names are open. A
    call is 403 too if it names a file that is not among the `uploads`, or an address: Gradio would
    read the one and fetch the other.
    """

    def __init__(self, app: Any, host: str, uploads: str) -> None:
        self.app, self.host, self.uploads = app, host, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        status = self.status(scope["path"], headers.get(b"host", ""), headers.get(b"origin"))
        if status is None and scope["method"] == "POST" and scope["path"] != f"{API}upload":
            body = await _body(receive)
            status = self.status_of_call(body)
            receive = _again(body, receive)
        if status is None:
            await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def status(self, path: str, host: str, origin: str | None) -> int | None:
        """The refusal of a request: 404, 403, or None where it may pass."""
        if not _is_open(path):
            return 404
        own = self.host in LOCAL
        if own and (urlsplit(f"//{host}").hostname or "") not in LOCAL:
            return 403
        if origin is not None and urlsplit(origin).netloc != host:
            return 403
        return None

    def status_of_call(self, body: bytes) -> int | None:
        """The refusal of a call: 413 if it is too long, 400 if no JSON, 403, or None."""
        if len(body) > MOST_BYTES:
            return 413
        try:
            files = _files(json.loads(body)) if body else []
        except (ValueError, RecursionError):
            return 400
        inside = (self._is_upload(file) for file in files)
        return None if all(inside) else 403

    def _is_upload(self, file: Any) -> bool:
        return (
            isinstance(file, str)
            and ".." not in file
            and file.startswith(f"{self.uploads}{os.sep}")
        )


async def _body(receive: Receive) -> bytes:
    """A request's body; no more of it is read once it is too long."""
    body, more = b"", True
    while more and len(body) <= MOST_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, to be read once more."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Any:
        return left.pop() if left else await receive()

    return replayed


def _files(value: Any) -> Iterator[Any]:
    """Whatever stands at `path` in a call: Gradio takes such a record, anywhere, for a file."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _files(part)


def _is_open(path: str) -> bool:
    if ".." in path:
        return False
    if path in PAGES or path.startswith(FOLDERS):
        return True
    call = path.removeprefix(API).rstrip("/") if path.startswith(API) else ""
    return call in CALLS or call.startswith(CALL_FOLDERS)
