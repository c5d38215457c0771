"""HTML of the page. Images are data URIs, so that the server writes and serves no files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from unbraid.explore.downloads import DECODED, START, image_png
from unbraid.explore.grid import Grid
from unbraid.explore.opened_run import OpenedRun, Point
from unbraid.explore.scatter import scatter
from unbraid.report.pixels import data_uri

NO_MATCH = "This run has no matching dimension left."


def header(runs: Sequence[OpenedRun]) -> str:
    """Return the heading of the page: the run, if there is one, and the dataset."""
    table = runs[0].table
    title = f"{runs[0].title} · " if len(runs) == 1 else ""
    return str(
        Markup(
            '<div class="head"><h1>unbraid <b>explore</b></h1><p>{}{}, {:,} images</p></div>'
        ).format(title, table.name, len(table))
    )


def start_figure(image: Float[np.ndarray, "c h w"]) -> str:
    """Return the image whose code the sliders start at."""
    return _figure(image, START)


def decoded_figure(run: OpenedRun, point: Point) -> str:
    """Return the decoded image of a code."""
    return _figure(run.decode_point(point), DECODED)


def grid_table(grid: Grid | None, note: str = "") -> str:
    """Return a traversal grid, with the ends of its dimension above."""
    if grid is None:
        return status_message(NO_MATCH)
    row = Markup('<div class="row"><span>{}</span><div class="tiles">{}</div></div>')
    rows = [
        row.format(name, Markup("").join(_image(image, name or grid.title) for image in images))
        for name, images in zip(grid.rows, grid.images, strict=True)
    ]
    low, high = float(grid.values[0]), float(grid.values[-1])
    ends = Markup(
        '<div class="row ends"><span></span><p><i>{:+.1f}</i><b>{}{}</b><i>{:+.1f}</i></p></div>'
    ).format(low, grid.title, f" · {note}" if note else "", high)
    named = "named" if any(grid.rows) else ""
    return str(Markup('<div class="grid {}">{}{}</div>').format(named, ends, Markup("").join(rows)))


def titled_scatter(run: OpenedRun, dimension: int | None, note: str = "") -> str:
    """Return the scatter plots of a dimension under its label."""
    if dimension is None:
        return status_message(NO_MATCH)
    label = run.dimensions[dimension].label + (f" · {note}" if note else "")
    return str(
        Markup('<div class="charts"><h3>{}</h3>{}</div>').format(label, scatter(run, dimension))
    )


def error_message(message: str) -> str:
    """Return a line that explains why an action failed."""
    return str(Markup('<p class="error-message" role="alert">{}</p>').format(message))


def status_message(message: str) -> str:
    """Return a line that describes what is shown."""
    return str(Markup('<p class="status-message" role="status">{}</p>').format(message))


def _figure(image: Float[np.ndarray, "c h w"], caption: str) -> str:
    """Return an image with a caption; the browser enlarges it without blurring."""
    markup = Markup('<figure class="picture">{}<figcaption>{}</figcaption></figure>')
    return str(markup.format(_image(image, caption), caption))


def _image(image: Float[np.ndarray, "c h w"], alt: str) -> Markup:
    return Markup('<img alt="{}" src="{}">').format(alt, data_uri(image_png(image)))
