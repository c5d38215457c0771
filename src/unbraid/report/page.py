"""A study as one HTML page: tables, charts, traversals and provenance.

The page loads no external resources; it has a light and a dark mode, and can be printed.
"""

from __future__ import annotations

import hashlib
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
from unbraid.report import cascade_figure, charts, figures
from unbraid.report.pixels import data_uri, encode_png, to_pixels
from unbraid.report.traversal import category_names, row_labels, traverse
from unbraid.runs.encode import load_trained
from unbraid.studies.criteria import CRITERIA
from unbraid.studies.rendered_tables import quick_label, rendered_tables, table_notes
from unbraid.studies.store import Store
from unbraid.studies.study import RESULTS_VERSION, Study
from unbraid.studies.table import Member, RowResult, measure


class Dimension(NamedTuple):
    """A slider of a traversal: its label, and a data URI of all frames for each category."""

    name: str
    filmstrips: list[str]


class TraversalBlock(NamedTuple):
    """Traversals of one member; `reconstructions` starts with the originals. Images are URIs."""

    title: str
    frames: int
    categories: list[str]
    from_to: str
    dimensions: list[Dimension]
    reconstructions: list[str]


def write(study: Study, store: Store, to: Path) -> None:
    """Write the page of all runs done so far; raise UserError if there are none."""
    results = measure(study, store)
    if not any(result.completed for result in results):
        raise UserError(
            f"{store.path}: no run of the study is done, so there is nothing to report; start"
            " `unbraid study run`, or set `out` to the directory of its runs"
        )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("unbraid", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["code"] = _with_code
    page = environment.get_template("page.html.jinja").render(**_contents(study, store, results))
    with written_atomically(to) as file:
        file.write(page.encode())


def _contents(study: Study, store: Store, results: list[RowResult]) -> dict[str, Any]:
    primary = study.primary_score
    completed = [result for result in results if result.completed]
    logs = {m.job.key: store.run(m.job).read_log() for r in completed for m in r.completed}
    medians = [(result, result.median_member) for result in completed]
    return {
        "study": study,
        "tables": rendered_tables(study, results),
        "notes": table_notes(study, results),
        "score_name": f"{primary.title} under {primary.spec.protocol}, {primary.unit}",
        "strip_plot": charts.strip_plot(
            [figures.strip_row(result) for result in results],
            f"{primary.title}, {primary.spec.protocol}, {primary.unit}: last checkpoint",
        ),
        "any_impossible": any(r.row.published and r.row.published.is_impossible for r in results),
        "quick_label": quick_label(results),
        "learning_curves": [(r.row.title, figures.learning_curves(r, logs)) for r in completed],
        "cascades": [
            (
                figures.member_title(result, member),
                cascade_figure.chart(logs[member.job.key], member.job.config.method),
            )
            for result, member in medians
            if member
        ],
        "correlations": figures.correlations(completed),
        "criteria": [
            (name, text, figures.criterion_scatter(name, completed))
            for name, text in CRITERIA.items()
        ],
        "traversals": _traversals(completed, store),
        "provenance": _provenance(study, store),
        "runs": [
            (result, member, store.run(member.job).path.name)
            for result in results
            for member in result.members
        ],
    }


def _with_code(text: str) -> Markup:
    """Escape a text and turn its backticks into code elements."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _traversals(results: Sequence[RowResult], store: Store) -> list[TraversalBlock]:
    """Traverse the median member of each row whose checkpoint still exists."""
    medians = [(result, result.median_member) for result in results]
    available = [
        (result, member)
        for result, member in medians
        if member and store.run(member.job).checkpoint_file.exists()
    ]
    bar = tqdm(available, desc="traversing", unit="method")
    return [_block(figures.member_title(result, m), m, store) for result, m in bar]


def _block(title: str, member: Member, store: Store) -> TraversalBlock:
    table = load(member.job.config.data)
    traversal = traverse(load_trained(store.run(member.job), table), table)
    names = [f"d = {name}" for name in category_names(len(traversal.images))]
    return TraversalBlock(
        title,
        len(traversal.values),
        names if traversal.discrete else [""],
        traversal.from_to,
        [
            Dimension(name, [_filmstrip(block[z]) for block in traversal.images])
            for z, name in enumerate(row_labels(traversal))
        ],
        [_filmstrip(traversal.originals), _filmstrip(traversal.reconstructions)],
    )


def _filmstrip(frames: np.ndarray) -> str:
    """Return a data URI of frames side by side."""
    pixels = to_pixels(np.concatenate(list(frames), axis=1))
    return data_uri(encode_png(Image.fromarray(pixels), optimize=True))


def _provenance(study: Study, store: Store) -> list[tuple[str, str]]:
    """Return the origin of the numbers as rows of a table."""
    results = store.results()
    done = [r for job in study.jobs if (r := results.get(job.key)) and r.is_done]

    def distinct(name: str) -> str:
        return ", ".join(sorted({str(result.table[name]) for result in done}))

    started = sorted(result.table["started"] for result in done)
    seconds = sum(result.table["training_seconds"] for result in done)
    return [
        ("runs done", f"{len(done)} of {len(study.jobs)}"),
        ("first and last run started", f"{started[0]} and {started[-1]}"),
        ("total training time", f"{seconds / 3600:.2f} worker-hours"),
        ("images scored", distinct("images")),
        ("data", distinct("data")),
        ("precision", distinct("precision")),
        (
            "unbraid version of the runs",
            f"{distinct('unbraid')}, results version {RESULTS_VERSION}",
        ),
        ("unbraid version of this page", unbraid.__version__),
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
