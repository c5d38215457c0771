"""The page of a study: its contents, and how a real browser displays it."""

import dataclasses
import html
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from unbraid import cli
from unbraid.data import load
from unbraid.metrics import suite
from unbraid.report import charts, figures
from unbraid.studies.store import Store
from unbraid.studies.study import PrimaryScore
from unbraid.studies.study_file import read
from unbraid.studies.table import measure
from unbraid.studies.worker import read_result, work

FILE = """
title = "A trial <of> two & more"
source = "A paper"
data = "dsprites-corner"
preset = "quick"
precision = "fp32"
seeds = 3
steps = 6
batch_size = 4
checkpoints = 2
sample = 100
[[rows]]
method = "vae"
hyperparameters = { latent_dim = 2 }
published = { mean = 82.15, std = 0.88, best = 88.25 }
[[rows]]
method = "cascade-vae"
seeds = 2
hyperparameters = { latent_dim = 3, stage_steps = 1, warmup_stages = 1 }
"""


@pytest.fixture(scope="module")
def page(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Page of a study whose last run failed, written by the command."""
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


def test_the_page_loads_nothing_from_elsewhere(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", text)
    assert not re.search(r"https?://|@import|/root|/home", text)
    assert set(re.findall(r"url\('(.{10})", text)) == {"data:image"}


def test_the_page_has_all_parts(page: Path) -> None:
    text = page.read_text()
    assert "<h1>A trial &lt;of&gt; two &amp; more</h1>" in text
    for part in ("tables", "seeds", "curves", "cascade", "criteria", "traversals", "provenance"):
        assert f'<h2 id="{part}">' in text
    assert "the published figures are impossible" in text
    assert "seed 2: hung (2 attempts)" in html.unescape(text)
    assert text.count('class="dot"') >= 4
    # A slider for each dimension of each median member, and a filmstrip for each category.
    assert text.count('<input type="range"') == 2 + 3
    assert text.count("--filmstrip: url") == 2 + 3 * 3
    assert "d = [0,1,0]" in text
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
    assert charts.Scale(1010, 1090, 0, 1, True).ticks() == [1020, 1040, 1060, 1080]
    assert charts.Scale(1010, 2100, 0, 1, True).ticks() == [1500, 2000]
    assert charts.Scale(5, 5, 0, 100)(5) == 50
    assert charts.subsample([(i, i) for i in range(1001)], 10)[-1] == (1000, 1000)


def test_a_long_name_fits() -> None:
    """52 letters of 6 units; the axis to the right keeps its length."""
    name = "CascadeVAE-C (beta_low=1.0, stage_steps=1000), m=10"
    short, long = (
        charts.strip_plot([charts.StripRow(n, [(50.0, "")], None)], "") for n in ("a", name)
    )
    ends = [float(re.findall(r'text x="([\d.]+)"[^>]*end', svg)[0]) for svg in (short, long)]
    widths = [int(re.findall(r'viewBox="0 0 (\d+)', svg)[0]) for svg in (short, long)]
    assert ends[1] >= 6 * len(name)
    assert widths[1] - widths[0] == pytest.approx(ends[1] - ends[0], abs=1)


def test_an_interval_that_extends_beyond_the_axis_has_an_arrow() -> None:
    dots: list[tuple[float, str]] = [(50.0, ""), (60.0, "")]
    ends = [(55.0, 52.0, 58.0), (55.0, -8.0, 58.0), (55.0, -8.0, 118.0)]
    plots = [charts.strip_plot([charts.StripRow("row", dots, interval)], "") for interval in ends]
    assert [plot.count('class="beyond"') for plot in plots] == [0, 1, 2]


def test_the_last_step_label_fits() -> None:
    """300,000 has seven letters and is centred at the end of the axis."""
    chart = charts.line_chart(
        [charts.Series([(0, 1.0), (300_000, 2.0)], "seed 0", "thick")], "nats"
    )
    width = int(re.findall(r'viewBox="0 0 (\d+)', chart)[0])
    (position,) = re.findall(r'text x="([\d.]+)"[^>]*middle[^>]*>300,000<', chart)
    assert float(position) + 7 * 6.8 / 2 <= width


def test_a_correlation_is_positive_if_the_criterion_ranks_best_first(tmp_path: Path) -> None:
    """The ELBO ranks best first, both for a percentage and for a distance."""
    (tmp_path / "trial.toml").write_text(FILE)
    result = measure(read(tmp_path / "trial.toml"), Store(tmp_path))[0]
    distance = PrimaryScore(suite.MetricSpec("unsupervised", "locatello2019"), "gaussian_tc")
    tables = []
    for primary_score, sign in ((result.primary_score, 1), (distance, -1)):
        members = [
            dataclasses.replace(m, status="done", score=sign * 10.0 * i, criteria={"elbo": i - 9.0})
            for i, m in enumerate(result.members)
        ]
        result = dataclasses.replace(result, members=tuple(members), primary_score=primary_score)
        tables.append(figures.correlations([result, result]))
    assert tables[0] == tables[1]
    *rows, (name, means) = tables[0]
    assert [cells for _, cells in rows] == [["+1.00 (n = 3)", "—", "—"]] * 2
    assert (name, means) == ("mean over rows", ["+1.00 ± 0.00 (n = 2)", "—", "—"])


def test_a_standalone_chart_follows_the_colour_scheme(tmp_path: Path) -> None:
    plot = charts.strip_plot(
        [charts.StripRow("a row", [(50.0, "seed 0")], (50.0, 45.0, 55.0))], "x"
    )
    text = charts.standalone(plot)
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert next(e.tag.rpartition("}")[2] for e in root) == "style"
    assert "prefers-color-scheme: dark" in text
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 1


def test_names_in_a_chart_are_escaped() -> None:
    plot = charts.strip_plot([charts.StripRow("<b>", [(50.0, "a & b")], None)], "x < y")
    assert "&lt;b&gt;" in plot
    assert "a &amp; b" in plot
    assert "x &lt; y" in plot


@pytest.fixture
def open_page(browser: Any, page: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page in a tab of an offline browser; fails after an error or a request."""
    requests, errors, tabs = [], [], []

    def open_tab(**kwargs: Any) -> Any:
        context = browser.new_context(viewport={"width": 1000, "height": 1600}, **kwargs)
        tabs.append(context)
        # Enough for a busy machine, in milliseconds.
        context.set_default_timeout(300_000)
        context.set_offline(True)
        tab = context.new_page()
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda message: errors.append(message.text))
        tab.goto(page.as_uri())
        return tab

    yield open_tab
    assert not errors
    assert [url for url in requests if not url.startswith("data:")] == [page.as_uri()]
    for context in tabs:
        context.close()


OUTSIDE = """[...document.querySelectorAll("*")].filter(e => {
    const box = e.getBoundingClientRect();
    return box.left < -0.5 || box.right > document.documentElement.clientWidth + 0.5;
}).map(e => e.outerHTML.slice(0, 80))"""
POSITIONS = "rows => rows.map(r => getComputedStyle(r.querySelector('.frame')).backgroundPositionX)"


@pytest.mark.slow
def test_a_slider_moves_only_its_own_frames(open_page: Callable[..., Any]) -> None:
    tab = open_page()
    assert tab.eval_on_selector_all(".dimension", POSITIONS) == ["-320px"] * 5
    tab.locator(".dimension input").first.press("End")
    assert tab.eval_on_selector_all(".dimension", POSITIONS) == ["-640px", *["-320px"] * 4]


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "paper"), [("dark", (21, 24, 28)), ("light", (253, 253, 251))])
def test_the_page_has_a_light_and_a_dark_mode(
    scheme: str, paper: tuple[int, int, int], open_page: Callable[..., Any]
) -> None:
    with Image.open(io.BytesIO(open_page(color_scheme=scheme).screenshot())) as drawn:
        pixels = drawn.convert("RGB")
        assert pixels.getpixel((3, 3)) == paper
        assert len(pixels.getcolors(1 << 24) or []) > 50


@pytest.mark.slow
def test_the_printed_page_shows_all_frames_within_the_margins(
    open_page: Callable[..., Any],
) -> None:
    """Paper is white in dark mode too, and nothing is wider than A4 without its margins."""
    tab = open_page(color_scheme="dark")
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": 718, "height": 1000})
    assert not tab.locator(".dimension input").first.is_visible()
    assert not tab.locator(".frame").first.is_visible()
    filmstrips = tab.locator(".all-frames")
    assert filmstrips.count() > 5
    assert all(filmstrip.is_visible() for filmstrip in filmstrips.all())
    # Labels of charts too: a browser crops what is outside an SVG.
    assert tab.evaluate(OUTSIDE) == []
    with Image.open(io.BytesIO(tab.screenshot())) as drawn:
        assert drawn.convert("RGB").getpixel((3, 3)) == (255, 255, 255)
    printed = tab.pdf(format="A4", print_background=False)
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 2
