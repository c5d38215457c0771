"""Which requests reach the page's server."""

import pytest

from unbraid.explore.gate import Gate

OWN = "127.0.0.1:7860"


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
        "/monitoring",
        "/docs",
        "/login",
        "/static/../../etc/hostname",
        "/assets/../x",
        "/nowhere",
    ],
)
def test_only_what_the_page_needs_is_open(path: str) -> None:
    assert Gate(None, "127.0.0.1").status(path, OWN, None) == 404


@pytest.mark.parametrize(
    "path", ["/", "/config", "/assets/x.js", "/gradio_api/upload", "/gradio_api/run/predict"]
)
def test_the_page_itself_is_open_to_its_own_address(path: str) -> None:
    gate = Gate(None, "127.0.0.1")
    for host in (OWN, "localhost:7860", "[::1]:7860"):
        assert gate.status(path, host, None) is None
        assert gate.status(path, host, f"http://{host}") is None


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9", ""])
def test_a_page_of_elsewhere_is_refused(origin: str) -> None:
    for host in ("127.0.0.1", "0.0.0.0"):
        assert Gate(None, host).status("/gradio_api/upload", OWN, origin) == 403


def test_a_name_that_points_here_is_refused_unless_others_are_let_in() -> None:
    for host in ("evil.example:7860", "", "127.0.0.1.evil.example"):
        assert Gate(None, "127.0.0.1").status("/", host, None) == 403
    assert Gate(None, "0.0.0.0").status("/", "lab.example:7860", "http://lab.example:7860") is None
