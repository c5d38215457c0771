"""What a browser may ask of the page's server: the page itself, and nothing else of this machine.

Gradio serves more than this page needs: files by their path, pages of the internet by their
address, recordings, an editor. Here only the routes that the page uses are open, to its own
address.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

PAGES = ("/", "/config", "/theme.css", "/favicon.ico")
FOLDERS = ("/assets/", "/static/", "/svelte/")
API = "/gradio_api/"
CALLS = ("startup-events", "info", "theme.css", "upload", "upload_progress", "queue/join")
CALLS += ("queue/data", "cancel", "reset")
CALL_FOLDERS = ("heartbeat/", "run/", "api/")
LOCAL = ("127.0.0.1", "localhost", "::1")


class Gate:
    """Answers 404 to every other path, 403 to another site's pages and to another host's name.

    A page elsewhere can point a name of its own at this machine (DNS rebinding) or send it a form;
    neither passes. `host` is what the server is bound to: beyond this machine, names are open.
    """

    def __init__(self, app: Any, host: str) -> None:
        self.app, self.host = app, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        status = self.status(scope["path"], headers.get(b"host", ""), headers.get(b"origin"))
        if status is None:
            await self.app(scope, receive, send)
            return
        start = {"type": "http.response.start", "status": status, "headers": []}
        await send(start)
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


def _is_open(path: str) -> bool:
    if ".." in path:
        return False
    if path in PAGES or path.startswith(FOLDERS):
        return True
    call = path.removeprefix(API).rstrip("/") if path.startswith(API) else ""
    return call in CALLS or call.startswith(CALL_FOLDERS)
