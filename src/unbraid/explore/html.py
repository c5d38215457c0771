"""Pieces of the page as HTML: pictures are inside it as text, so no file is written or served."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from unbraid.explore import images
from unbraid.explore.grid import Grid
from unbraid.explore.opened_run import OpenedRun, Point
from unbraid.explore.scatter import scatter

NONE_LEFT = "No dimension of this run is left that matches."


def head(runs: Sequence[OpenedRun]) -> str:
    """The page's heading."""
    table, one = runs[0].table, f"{runs[0].title} · " if len(runs) == 1 else ""
    words = Markup(
        '<div class="head"><h1>unbraid <b>explore</b></h1><p>{}{}, {:,} images</p></div>'
    )
    return str(words.format(one, table.name, len(table)))


def picture(image: Float[np.ndarray, "c h w"], caption: str) -> str:
    """One picture, enlarged by the browser without blurring."""
    frame = Markup('<figure class="picture">{}<figcaption>{}</figcaption></figure>')
    return str(frame.format(_image(images.png(image), caption), caption))


def decoded(run: OpenedRun, point: Point) -> str:
    """The picture of a code."""
    return picture(run.picture(point), "decoded")


def grid(drawn: Grid | None, note: str = "") -> str:
    """The traversal grid: a strip a row, the ends of the dimension above."""
    if drawn is None:
        return said(NONE_LEFT)
    row = Markup('<div class="row"><span>{}</span><div class="tiles">{}</div></div>')
    rows = [
        row.format(name, Markup("").join(_image(images.png(image), name) for image in images))
        for name, images in zip(drawn.rows, drawn.images, strict=True)
    ]
    low, high = float(drawn.values[0]), float(drawn.values[-1])
    start = Markup(
        '<div class="row ends"><span></span><p><i>{:+.1f}</i><b>{}{}</b><i>{:+.1f}</i></p></div>'
    ).format(low, drawn.title, f" · {note}" if note else "", high)
    named = "named" if any(drawn.rows) else ""
    return str(
        Markup('<div class="grid {}">{}{}</div>').format(named, start, Markup("").join(rows))
    )


def titled_scatter(run: OpenedRun, dimension: int | None, note: str = "") -> str:
    """A dimension's charts under its label."""
    if dimension is None:
        return said(NONE_LEFT)
    label = run.dimensions[dimension].label + (f" · {note}" if note else "")
    return str(
        Markup('<div class="charts"><h3>{}</h3>{}</div>').format(label, scatter(run, dimension))
    )


def refused(message: str) -> str:
    """Why something was not done, in a line."""
    return str(Markup('<p class="refused" role="alert">{}</p>').format(message))


def said(message: str) -> str:
    """What was done, in a line."""
    return str(Markup('<p class="said" role="status">{}</p>').format(message))


def _image(content: bytes, words: str) -> Markup:
    return Markup('<img alt="{}" src="{}">').format(words, images.as_uri(content))
