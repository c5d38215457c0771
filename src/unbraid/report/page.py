"""A study as one HTML file: tables, strips, curves, cascades, criteria, traversals, provenance.

Nothing is loaded from elsewhere: it opens offline, in light and dark, and prints.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup, escape
from PIL import Image
from tqdm import tqdm

import unbraid
from unbraid.data import load
from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.report import charts, figures
from unbraid.report.traversal import row_labels, traverse
from unbraid.runs.encode import load_trained
from unbraid.studies.criteria import CRITERIA
from unbraid.studies.rendered_tables import notes, rendered_tables
from unbraid.studies.store import DONE, Store
from unbraid.studies.study import NUMBERS, Study
from unbraid.studies.table import Member, RowResult, measure


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
    if not any(line.trained for line in lines):
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


def _contents(study: Study, store: Store, lines: list[RowResult]) -> dict[str, Any]:
    head = study.primary_score
    measured = [line for line in lines if line.trained]
    logs = {m.job.key: store.run(m.job).read_log() for line in measured for m in line.trained}
    return {
        "study": study,
        "sheets": rendered_tables(study, lines),
        "notes": notes(study, lines),
        "what": f"{head.title} under {head.job.protocol}, {head.unit}",
        "strips": charts.strips(
            [figures.strip(line) for line in lines],
            f"{head.title}, {head.job.protocol}, {head.unit}: last checkpoint",
        ),
        "impossible": any(line.marked_title != line.row.title for line in lines),
        "curves": [(line.row.title, figures.learning(line, logs)) for line in measured],
        "cascades": [
            (figures.titled(line, line.median), figures.cascade(line.median, logs))
            for line in measured
            if line.median
        ],
        "correlations": figures.correlations(measured),
        "clouds": [(name, text, figures.cloud(name, measured)) for name, text in CRITERIA.items()],
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


def _traversals(lines: Sequence[RowResult], store: Store) -> list[Block]:
    """The median member of each row whose checkpoint is still there."""
    shown = [(line, line.median) for line in lines if line.median]
    there = [pair for pair in shown if store.run(pair[1].job).checkpoint_file.exists()]
    bar = tqdm(there, desc="traversing", unit="method")
    return [_block(figures.titled(line, member), member, store) for line, member in bar]


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
