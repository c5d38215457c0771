"""The study's page: what is in it, and what a real browser makes of it."""

import html
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from unbraid import cli
from unbraid.data import load
from unbraid.report import charts, figures
from unbraid.studies.read import read
from unbraid.studies.store import Store
from unbraid.studies.worker import read_result, work

BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
FILE = """
title = "A trial <of> two & more"
source = "A paper"
data = "dsprites-corner"
preset = "quick"
precision = "fp32"
seeds = 3
steps = 6
batch = 4
checkpoints = 2
sample = 100
[[rows]]
method = "vae"
hyperparameters = { continuous = 2 }
published = { mean = 82.15, std = 0.88, best = 88.25 }
[[rows]]
method = "cascade-vae"
seeds = 2
hyperparameters = { continuous = 3, stage_steps = 1, warmup_stages = 1 }
"""


@pytest.fixture(scope="module")
def page(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study whose last run failed, written by the command."""
    folder = tmp_path_factory.mktemp("page")
    path = folder / "trial.toml"
    path.write_text(FILE)
    study, store = read(path), Store(folder / "out")
    table = load("dsprites-corner")
    *jobs, last = study.jobs
    for job in jobs:
        assert not work({store.run(job): job}, table)
        store.append(read_result(store.run(job)))
    store.append({"key": last.key, "status": "failed", "reasons": ["hung"], "attempts": 2})
    assert cli.main(["report", str(path), "--out", str(store.path)]) == 0
    return store.path / "trial.html"


def test_the_page_needs_nothing_but_itself(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", text)
    assert not re.search(r"https?://|@import|/root|/home", text)
    assert set(re.findall(r"url\('(.{10})", text)) == {"data:image"}


def test_the_page_has_every_part(page: Path) -> None:
    text = page.read_text()
    assert "<h1>A trial &lt;of&gt; two &amp; more</h1>" in text
    for part in ("tables", "seeds", "curves", "cascade", "criteria", "traversals", "provenance"):
        assert f'<h2 id="{part}">' in text
    assert "the published figures are impossible" in text
    assert "seed 2: hung (2 attempts)" in html.unescape(text)
    assert text.count('class="dot"') >= 4
    # Each dimension of each median member: a slider, and a strip a category.
    assert text.count('<input type="range"') == 2 + 3
    assert text.count("--strip: url") == 2 + 3 * 3
    assert "d = 010" in text
    assert text.count("<figure><h3>CascadeVAE (stage_steps=1, warmup_stages=1), m=3</h3>") == 1
    assert "4 of 5" in text


def test_a_study_without_runs_has_no_page(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = page.parent.parent / "trial.toml"
    assert cli.main(["report", str(study), "--out", str(tmp_path)]) == 2
    assert "no run of the study is done" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_ticks_are_round_and_inside() -> None:
    assert charts.Scale(0, 100, 0, 1).ticks() == [0, 20, 40, 60, 80, 100]
    assert charts.Scale(13, 17, 0, 1).ticks() == [13, 14, 15, 16, 17]
    assert charts.Scale(90, 2500, 0, 1, True).ticks() == pytest.approx([100, 200, 500, 1000, 2000])
    assert charts.Scale(10, 1000, 0, 100, True)(100) == 50
    assert charts.Scale(5, 5, 0, 100)(5) == 50
    assert charts.thinned([(i, i) for i in range(1001)], 10)[-1] == (1000, 1000)


def test_a_long_name_has_room() -> None:
    """52 letters of 6 units, and the axis beside them as long as ever."""
    name = "CascadeVAE-C (beta_low=1.0, stage_steps=1000), m=10"
    short, long = (charts.strips([charts.Strip(n, [(50.0, "")], None)], "") for n in ("a", name))
    ends = [float(re.findall(r'text x="([\d.]+)"[^>]*end', drawn)[0]) for drawn in (short, long)]
    widths = [int(re.findall(r'viewBox="0 0 (\d+)', drawn)[0]) for drawn in (short, long)]
    assert ends[1] >= 6 * len(name)
    assert widths[1] - widths[0] == pytest.approx(ends[1] - ends[0], abs=1)


def test_a_mark_is_where_a_fall_begins() -> None:
    """β of 4 and 2 for ten steps, falling from 2 to 1 over three records, then one cut."""
    betas = [[4, 2], [4, 2], [4, 1.7], [4, 1.3], [4, 1], [4, 1], [1, 1], [1, 1]]
    log = [{"step": 10 * i, "beta": beta} for i, beta in enumerate(betas)]
    assert figures.falls(log) == [20, 60]
    assert figures.falls(log[:1]) == []


def test_a_chart_alone_is_a_picture_in_both_lights(tmp_path: Path) -> None:
    drawn = charts.strips([charts.Strip("a row", [(50.0, "seed 0")], (50.0, 45.0, 55.0))], "x")
    text = charts.alone(drawn)
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert next(e.tag.rpartition("}")[2] for e in root) == "style"
    assert "prefers-color-scheme: dark" in text
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 1


def test_names_in_a_chart_are_escaped() -> None:
    drawn = charts.strips([charts.Strip("<b>", [(50.0, "a & b")], None)], "x < y")
    assert "&lt;b&gt;" in drawn
    assert "a &amp; b" in drawn
    assert "x &lt; y" in drawn


def browse(*arguments: str, folder: Path) -> str:
    if BROWSER is None:
        pytest.skip("no Chromium here; install Debian's chromium to test the page in a browser")
    command = [BROWSER, *QUIET, f"--user-data-dir={folder}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def test_a_slider_moves_its_own_frames_in_a_real_browser(page: Path, tmp_path: Path) -> None:
    script = """<script>
    const rows = [...document.querySelectorAll('.dimension')];
    const place = r => getComputedStyle(r.querySelector('.frame')).backgroundPositionX;
    const before = rows.map(place);
    const slider = rows[0].querySelector('input');
    slider.value = slider.max;
    slider.dispatchEvent(new Event('input'));
    document.title = [before, rows.map(place)].map(a => a.join(' ')).join('|');
    </script>"""
    copy = tmp_path / "page.html"
    copy.write_text(page.read_text().replace("</body>", script + "</body>"))
    seen = browse("--dump-dom", copy.as_uri(), folder=tmp_path / "browser")
    title = re.search(r"<title>(.*?)</title>", seen)
    assert title
    assert title[1] == "|".join([" ".join(["-320px"] * 5), " ".join(["-640px", *["-320px"] * 4])])


@pytest.mark.parametrize(("scheme", "paper"), [(0, (21, 24, 28)), (1, (253, 253, 251))])
def test_the_page_is_drawn_light_and_dark(
    scheme: int, paper: tuple[int, int, int], page: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "page.png"
    browse(
        f"--blink-settings=preferredColorScheme={scheme}",
        "--window-size=1000,1600",
        f"--screenshot={picture}",
        page.as_uri(),
        folder=tmp_path / "browser",
    )
    with Image.open(picture) as drawn:
        pixels = drawn.convert("RGB")
        assert pixels.getpixel((3, 3)) == paper
        assert len(pixels.getcolors(1 << 24) or []) > 50
