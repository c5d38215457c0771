"""A study as one HTML file: tables, strips, curves, cascades, criteria, traversals, provenance.

Nothing is loaded from elsewhere: it opens offline, in light and dark, and prints.
"""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup, escape
from PIL import Image
from scipy.stats import rankdata
from tqdm import tqdm

import unbraid
from unbraid.data import load
from unbraid.engine.encode import load_trained
from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.metrics import suite
from unbraid.metrics.uncertainty import interval
from unbraid.report import charts
from unbraid.report.traversal import row_labels, traverse
from unbraid.studies.criteria import CRITERIA
from unbraid.studies.store import DONE, Store
from unbraid.studies.study import NUMBERS, Study
from unbraid.studies.table import Line, Member, measure, notes, sheets


class Dimension(NamedTuple):
    """A row of a traversal: its name and a picture of all frames for each category."""

    name: str
    strips: list[str]


class Block(NamedTuple):
    """A method's traversal: the member shown, and its dimensions."""

    title: str
    frames: int
    heads: list[str]
    ends: tuple[float, float]
    dimensions: list[Dimension]
    pairs: list[str]


def write(study: Study, store: Store, to: Path) -> None:
    """Write the page of what is run so far; UserError if nothing is."""
    lines = measure(study, store)
    if not any(line.done for line in lines):
        raise UserError(
            f"{store.path}: no run of the study is done, so there is nothing to report; give"
            " unbraid study run first, or the --out that it had"
        )
    here = jinja2.Environment(
        loader=jinja2.PackageLoader("unbraid", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    here.filters["code"] = _with_code
    page = here.get_template("page.html.jinja").render(**_contents(study, store, lines))
    with written_atomically(to) as file:
        file.write(page.encode())


def _contents(study: Study, store: Store, lines: list[Line]) -> dict[str, Any]:
    title = suite.Job(*study.headline).title
    measured = [line for line in lines if line.done]
    logs = {m.job.key: store.run(m.job).read_log() for line in measured for m in line.done}
    return {
        "study": study,
        "sheets": sheets(study, lines),
        "notes": notes(study, lines),
        "what": f"{title} under {study.headline.protocol}",
        "strips": charts.strips(
            [_strip(line) for line in lines],
            f"{title}, {study.headline.protocol}, percent: last checkpoint",
        ),
        "curves": [(line.row.title, _learning(line, logs)) for line in measured],
        "cascades": [
            (_titled(line, line.median), _cascade(line.median, logs))
            for line in measured
            if line.median
        ],
        "correlations": _correlations(measured),
        "clouds": [(name, text, _cloud(name, measured)) for name, text in CRITERIA.items()],
        "traversals": _traversals(measured, store),
        "provenance": _provenance(study, store),
        "runs": [
            (line, member, store.run(member.job).path.name)
            for line in lines
            for member in line.members
        ],
    }


def _with_code(text: str) -> Markup:
    """Text with what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _titled(line: Line, member: Member | None) -> str:
    if member is None or member.score is None:
        return line.row.title
    return f"{line.row.title}: seed {member.seed}, the median, {member.score:.2f} %"


def _strip(line: Line) -> charts.Strip:
    scores = [m.score for m in line.done if m.score is not None]
    published = line.row.published
    dots = [(m.score, f"seed {m.seed}: {m.score:.2f}") for m in line.done if m.score is not None]
    mean_and_ends = interval(scores) if len(scores) > 1 else None
    beside = (published.mean, published.std) if published else None
    return charts.Strip(line.row.title, dots, mean_and_ends, beside)


def _learning(line: Line, logs: dict[str, list[dict[str, Any]]]) -> Markup:
    """−ELBO over steps, every seed, the median member by score in front."""
    ranked = sorted(line.done, key=lambda m: m is line.median)
    series = [
        charts.Series(
            charts.thinned([(r["step"], -r["elbo"]) for r in logs[m.job.key] if r["elbo"] < 0]),
            f"seed {m.seed}",
            "thick" if m is line.median else "thin",
        )
        for m in ranked
    ]
    return charts.curves(series, "−ELBO, nats", logarithmic=True)


def _cascade(member: Member, logs: dict[str, list[dict[str, Any]]]) -> Markup:
    """KL per dimension over steps; a line where a β falls or d opens."""
    log = logs[member.job.key]
    if not log:
        return Markup("")
    dimensions = len(log[0]["kl"])
    series = [
        charts.Series(
            charts.thinned([(r["step"], r["kl"][z]) for r in log]),
            f"z{z + 1}",
            "thick",
            round(250 - 200 * z / max(1, dimensions - 1)),
        )
        for z in range(dimensions)
    ]
    falls = [b["step"] for a, b in itertools.pairwise(log) if b["beta"] != a["beta"]]
    return charts.curves(series, "KL, nats", marks=falls)


def _pairs(name: str, line: Line) -> tuple[list[Member], np.ndarray, np.ndarray]:
    have = [m for m in line.done if name in m.criteria and m.score is not None]
    return (
        have,
        np.array([m.criteria[name] for m in have]),
        np.array([m.score for m in have], dtype=float),
    )


def _correlations(lines: Sequence[Line]) -> list[tuple[str, list[str]]]:
    """Spearman's ρ between each criterion and the score, within each row, then their mean."""
    rows, columns = [], {name: [] for name in CRITERIA}
    for line in lines:
        cells = []
        for name in CRITERIA:
            have, criterion, score = _pairs(name, line)
            rho = _spearman(criterion, score)
            columns[name] += [] if rho is None else [rho]
            cells.append("—" if rho is None else f"{rho:+.2f} (n = {len(have)})")
        rows.append((line.row.title, cells))
    means = [f"{np.mean(found):+.2f}" if found else "—" for found in columns.values()]
    return [*rows, ("mean over rows", means)]


def _spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """None where a rank means nothing: below three members, or all alike."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def _cloud(name: str, lines: Sequence[Line]) -> Markup:
    points = []
    for line in lines:
        have, criterion, score = _pairs(name, line)
        if _spearman(criterion, score) is not None:
            across = (criterion - criterion.mean()) / criterion.std()
            up = (score - score.mean()) / score.std()
            points += [
                (float(a), float(b), f"{line.row.title}, seed {m.seed}")
                for a, b, m in zip(across, up, have, strict=True)
            ]
    return charts.cloud(charts.Dots(points, f"{name}, stds of its row", "score, stds of its row"))


def _traversals(lines: Sequence[Line], store: Store) -> list[Block]:
    """The median member of each row whose checkpoint is still there."""
    shown = [(line, line.median) for line in lines if line.median]
    there = [(l, m) for l, m in shown if store.run(m.job).checkpoint_file.exists()]  # noqa: E741
    bar = tqdm(there, desc="traversing", unit="method")
    return [_block(_titled(line, member), member, store) for line, member in bar]


def _block(title: str, member: Member, store: Store) -> Block:
    table = load(member.job.config.data)
    drawn = traverse(load_trained(store.run(member.job), table), table)
    k = len(drawn.images)
    heads = [f"d = {''.join(str(int(i == j)) for j in range(k))}" for i in range(k)]
    return Block(
        title,
        drawn.images.shape[2],
        heads if drawn.discrete else [""],
        (float(drawn.values[0]), float(drawn.values[-1])),
        [
            Dimension(name, [_picture(drawn.images[block, z]) for block in range(k)])
            for z, name in enumerate(row_labels(drawn))
        ],
        [_picture(drawn.originals), _picture(drawn.reconstructions)],
    )


def _picture(frames: np.ndarray) -> str:
    """Frames side by side as a data URI."""
    pixels = (255 * np.clip(np.concatenate(list(frames), axis=1), 0, 1)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _provenance(study: Study, store: Store) -> list[tuple[str, str]]:
    """Where the numbers come from."""
    known = store.results()
    done = [known[j.key] for j in study.jobs if known.get(j.key, {}).get("status") == DONE]

    def distinct(name: str) -> str:
        return ", ".join(sorted({str(result[name]) for result in done}))

    started = sorted(result["started"] for result in done)
    seconds = sum(result["training_seconds"] for result in done)
    return [
        ("runs done", f"{len(done)} of {len(study.jobs)}"),
        ("first and last started", f"{started[0]} and {started[-1]}"),
        ("training in all", f"{seconds / 3600:.2f} worker-hours"),
        ("images scored", distinct("images")),
        ("data", distinct("data")),
        ("precision", distinct("precision")),
        ("unbraid that trained", f"{distinct('unbraid')}, NUMBERS {NUMBERS}"),
        ("unbraid that wrote this page", unbraid.__version__),
        ("torch", distinct("torch")),
        ("Python", distinct("python")),
        ("machine", distinct("machine")),
        ("device", distinct("device")),
        ("SHA-256 of the study file", hashlib.sha256(study.text.encode()).hexdigest()),
        (
            "SHA-256 of results.jsonl",
            hashlib.sha256(store.results_file.read_bytes()).hexdigest(),
        ),
    ]
