"""The page in a real Chromium on the real server, and the requests that the server rejects."""

import contextlib
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from unbraid.runs import Run

# Largest time for a reaction of the page, on a busy machine.
MILLISECONDS = 300_000
# Runs the command in a process that records the addresses it connects to.
WATCHED = """
import sys
log = open(sys.argv[1], "a", buffering=1)
def watch(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        print(arguments[1][0], file=log)
    elif event == "socket.getaddrinfo":
        print(arguments[0], file=log)
sys.addaudithook(watch)
from unbraid.cli import main
raise SystemExit(main(sys.argv[2:]))
"""


class Server(NamedTuple):
    process: subprocess.Popen[str]
    port: int
    connections: Path
    uploads: Path


@pytest.fixture(scope="module")
def server(tiny_runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`unbraid explore` on two runs: one with a discrete code, one with a deterministic encoder."""
    pytest.importorskip("gradio", reason="no Gradio here; install unbraid[explore]")
    folder = tmp_path_factory.mktemp("explore")
    uploads = folder / "tmp"
    uploads.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runs = [str(tiny_runs[name].path) for name in ("cascade-vae", "qlae")]
    command = [sys.executable, "-c", WATCHED, str(folder / "connections"), "explore", *runs]
    environment = {**os.environ, "TMPDIR": str(uploads), "TQDM_DISABLE": "1"}
    environment |= {"GRADIO_ALLOWED_PATHS": "/", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, "--port", str(port), "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.readline()
        assert printed == f"page at http://127.0.0.1:{port}/; press Ctrl-C to stop\n"
        yield Server(process, port, folder / "connections", uploads)
        process.kill()


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The loaded page; fails after an error or a request to another address."""
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.set_default_timeout(MILLISECONDS)
    requests, failed = [], []
    opened.on("request", lambda request: requests.append(request.url))
    opened.on("response", lambda r: failed.append(r.url) if r.status >= 400 else None)
    opened.on("pageerror", lambda error: failed.append(str(error)))
    opened.goto(f"http://127.0.0.1:{server.port}/")
    opened.wait_for_selector("#decoded-1 img")
    yield opened
    opened.close()
    own = (f"http://127.0.0.1:{server.port}/", "data:", "blob:")
    assert [url for url in requests if not url.startswith(own)] == []
    assert failed == []


def picture(page: Any, part: str) -> str:
    return page.locator(f"#{part} img").first.get_attribute("src")


def changed(page: Any, part: str, before: str) -> str:
    """Wait until the image of a component changes, and return it."""
    page.wait_for_function(
        "([part, before]) => document.querySelector(`#${part} img`)?.src !== before",
        arg=[part, before],
    )
    return picture(page, part)


@pytest.mark.slow
def test_a_slider_changes_its_own_image_and_grid(page: Any) -> None:
    left, right, grid = [picture(page, part) for part in ("decoded-0", "decoded-1", "grid-0")]
    chosen = page.locator("#across input:checked").get_attribute("value")
    other = page.locator("#across input:not(:checked)").first.get_attribute("value")
    assert chosen != other
    slider = page.locator(f"#z{int(other) + 1}-0 input[type=range]")
    assert re.match(r"z\d · \d+\.\d nats", page.locator(f"#z{int(other) + 1}-0").inner_text())
    slider.fill(slider.get_attribute("max"))
    moved = changed(page, "decoded-0", left)
    slider.focus()
    page.keyboard.press("ArrowLeft")
    changed(page, "decoded-0", moved)
    slider.dispatch_event("pointerup")
    changed(page, "grid-0", grid)
    assert picture(page, "decoded-1") == right


@pytest.mark.slow
def test_category_buttons_and_dropdowns(page: Any) -> None:
    before = picture(page, "decoded-0")
    page.locator("#d-0 label:not(.selected)").first.click()
    changed(page, "decoded-0", before)
    assert not page.locator("#d-1").is_visible()
    assert page.locator("#grid-0 .row:not(.ends)").count() == 3
    grid = picture(page, "grid-0")
    page.locator("#across label:not(.selected)").last.click()
    changed(page, "grid-0", grid)
    page.wait_for_function(
        "() => document.querySelector('#scatter-0 h3').innerText.startsWith("
        "document.querySelector('#across label.selected').innerText)"
    )
    # Choose the left's run on the right: three sliders instead of four.
    assert page.locator("#z4-1").is_visible()
    page.locator("#run-1 input").click()
    page.locator("ul[role=listbox] li").first.click()
    page.wait_for_selector("#z4-1", state="hidden")
    assert page.locator("#d-1").is_visible()
    # Its sliders have a wider range than the codebook of the run before.
    before, slider = picture(page, "decoded-1"), page.locator("#z1-1 input[type=range]")
    assert float(slider.get_attribute("max")) >= 3
    slider.fill(slider.get_attribute("max"))
    changed(page, "decoded-1", before)


@pytest.mark.slow
def test_a_start_from_factors_and_at_random(page: Any) -> None:
    start, left, right = [picture(page, part) for part in ("start", "decoded-0", "decoded-1")]
    page.locator("#factor-posX input[type=range]").fill("2")
    start = changed(page, "start", start)
    left, right = changed(page, "decoded-0", left), changed(page, "decoded-1", right)
    page.wait_for_function("() => /image [\\d,]+ of dsprites/.test(document.body.innerText)")
    page.get_by_role("button", name="random image").click()
    changed(page, "start", start)
    changed(page, "decoded-0", left)


@pytest.mark.slow
def test_an_upload_is_encoded_and_a_hostile_one_is_rejected(
    page: Any, server: Server, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg")
    start, left = picture(page, "start"), picture(page, "decoded-0")
    page.locator("input[type=file]").set_input_files(tmp_path / "photo.jpg")
    start, left = changed(page, "start", start), changed(page, "decoded-0", left)
    status = page.locator("#status")
    assert status.inner_text().strip() == "photo.jpg, cropped to 64 × 64"
    (tmp_path / "x.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    (tmp_path / "<img src=x>.gif").write_bytes(b"")
    for path in sorted(tmp_path.glob("*[gf]")):
        if path.suffix == ".jpg":
            continue
        page.locator("input[type=file]").set_input_files(path)
        page.wait_for_function(
            "name => document.querySelector('#status').innerText.includes(`rejected: ${name}`)",
            arg=re.sub("[<>]", "", path.name),
        )
        assert "\n" not in status.inner_text().strip()
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(10 * 2**30)
    page.locator("input[type=file]").set_input_files(tmp_path / "huge.png")
    page.get_by_text("exceed the maximum allowed size").wait_for()
    assert picture(page, "start") == start
    assert picture(page, "decoded-0") == left
    assert sum(p.stat().st_size for p in server.uploads.rglob("*") if p.is_file()) == 0


@pytest.mark.slow
def test_the_grids_are_downloaded(page: Any, tmp_path: Path) -> None:
    for kind, frames in (("png", 1), ("gif", 20)):
        with page.expect_download() as download:
            page.locator(f"#{kind}").click()
        assert re.fullmatch(rf"unbraid-tiny-\w+-z\d\.{kind}", download.value.suggested_filename)
        download.value.save_as(tmp_path / kind)
        with Image.open(tmp_path / kind) as saved:
            assert saved.format == kind.upper()
            assert getattr(saved, "n_frames", 1) == frames
            assert np.asarray(saved.convert("L")).std() > 5


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "light"), [("light", True), ("dark", False)])
def test_the_page_has_light_and_dark_modes_and_fits_a_phone(
    scheme: str, light: bool, browser: Any, server: Server
) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page.set_default_timeout(MILLISECONDS)
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.wait_for_selector("#decoded-1 img")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    with Image.open(io.BytesIO(page.screenshot())) as drawn:
        corner = drawn.convert("L").getpixel((2, 2))
    assert isinstance(corner, int)
    assert (corner > 200) == light
    page.close()


def ask(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
    """Return status and text of a request that no browser sends."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    with contextlib.closing(connection):
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        with connection.getresponse() as answer:
            return answer.status, answer.read().decode(errors="replace")


def test_the_server_serves_no_file(server: Server) -> None:
    """Neither by its path nor as a fake upload, although the environment allows all paths."""
    secret = server.uploads / "secret.txt"
    secret.write_text("unbraid-secret")
    readme = Path.cwd() / "README.md"
    for file in (secret, readme, Path("/etc/passwd")):
        for route in ("/gradio_api/file=", "/file=", "/gradio_api/file/", "/static/../../.."):
            assert ask(server, "GET", f"{route}{file}")[0] == 404
    config = json.loads(ask(server, "GET", "/config")[1])
    upload = next(d for d in config["dependencies"] if d["targets"][0][1] == "upload")
    address = f"http://127.0.0.1:{server.port}/theme.css"
    for file in (secret, readme, address):
        sent = {"path": str(file), "url": address, "meta": {"_type": "gradio.FileData"}}
        call = {"data": [sent, 0, 1], "fn_index": upload["id"], "session_hash": "x"}
        body = json.dumps(call).encode()
        status, text = ask(
            server, "POST", "/gradio_api/run/predict", body, Content_Type="application/json"
        )
        assert (status, text) == (403, "")
    assert readme.exists()
    secret.unlink()


def test_too_large_an_upload_is_rejected_and_not_stored(server: Server) -> None:
    """It is sent without the check that a browser makes first."""
    start = b'--x\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\n'
    body = start + bytes(11 * 2**20) + b"\r\n--x--\r\n"
    kind = "multipart/form-data; boundary=x"
    status, text = ask(server, "POST", "/gradio_api/upload", body, Content_Type=kind)
    assert status == 413
    assert "maximum allowed size" in text
    assert sum(p.stat().st_size for p in server.uploads.rglob("*") if p.is_file()) == 0


def test_other_host_names_and_origins_are_rejected(server: Server) -> None:
    assert ask(server, "GET", "/", Host=f"127.0.0.1:{server.port}")[0] == 200
    assert ask(server, "GET", "/", Host=f"evil.example:{server.port}")[0] == 403
    for origin in ("http://evil.example", "null"):
        assert ask(server, "POST", "/gradio_api/upload", b"", Origin=origin)[0] == 403
    # All of 127.0.0.0/8 is this machine; a server open to other machines would answer here too.
    with socket.socket() as elsewhere:
        assert elsewhere.connect_ex(("127.0.0.2", server.port)) != 0


def test_it_connects_to_no_one_and_ctrl_c_leaves_no_files(server: Server) -> None:
    """It is the last test because it stops the server."""
    addresses = set(server.connections.read_text().split())
    assert addresses <= {"127.0.0.1", "localhost"}
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(timeout=300) == 0
    assert server.process.stdout is not None
    assert "stopped" in server.process.stdout.read()
    end = time.monotonic() + 300
    while list(server.uploads.iterdir()) and time.monotonic() < end:
        time.sleep(0.1)
    assert list(server.uploads.iterdir()) == []
