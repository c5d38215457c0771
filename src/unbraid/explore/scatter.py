"""Posterior means of a dimension against every factor, as small inline SVG charts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from markupsafe import Markup

from unbraid.explore.opened_run import CATEGORY_IMAGES, OpenedRun
from unbraid.report.charts import Scale, horizontal_ticks, svg, text
from unbraid.report.traversal import category_names

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 260, 200, 30, 6, 8, 22
MAX_CHARTS = 8
HUES = (210, 25, 140, 320, 50, 265, 180, 0, 95, 235)


def scatter(run: OpenedRun, dimension: int) -> Markup:
    """Return a chart per factor: the posterior mean of each image at its factor value.

    Colours are categories. The caption states I(z; factor) over the sample, in nats and in percent
    of the factor's entropy. If there are more than 8 factors, the 8 with the greatest percentage
    are shown. Without factors the result is a message.
    """
    if run.factors is None:
        return Markup('<p class="soft">This dataset has no factors to compare with.</p>')
    rng = np.random.default_rng(0)
    images = CATEGORY_IMAGES if run.category is None else len(run.category)
    fractions = run.entropy_fractions[dimension]
    caption = Markup("<b>{}</b> {:.2f} nats, {:.0f} % of its entropy")
    charts = []
    for f in sorted(np.argsort(-fractions, kind="stable")[:MAX_CHARTS].tolist()):
        nats = run.mutual_information[dimension, f]
        label = caption.format(run.table.factors.names[f], nats, 100 * fractions[f])
        chart = _chart(run, dimension, run.factors[:images, f], rng)
        charts.append(Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(chart, label))
    return Markup('<div class="scatter">{}</div>{}').format(Markup("").join(charts), _legend(run))


def _chart(
    run: OpenedRun, dimension: int, values: Int[np.ndarray, " n"], rng: np.random.Generator
) -> Markup:
    """Draw a point per image, shifted at random along x so that points do not hide each other."""
    mean = run.codes.mean[: len(values), dimension]
    names, positions = np.unique(values, return_inverse=True)
    last = len(names) - 1
    x = Scale(-0.5, last + 0.5, LEFT, WIDTH - RIGHT)
    slider = run.dimensions[dimension]
    y = Scale(slider.low, slider.high, HEIGHT - BOTTOM, TOP)
    parts = horizontal_ticks(y, LEFT, WIDTH - RIGHT, 5)
    for tick in sorted({0, last // 2, last}):
        parts.append(text(x(tick), HEIGHT - 6, str(names[tick]), "middle"))
    jittered = positions + rng.uniform(-0.3, 0.3, len(values))
    groups = [np.ones(len(values), bool)]
    if run.category is not None:
        groups = [run.category == k for k in range(run.categories)]
    for k, group in enumerate(groups):
        parts.append(_points(jittered[group], mean[group], x, y, k))
    return svg(HEIGHT, parts, WIDTH)


def _points(
    xs: Float[np.ndarray, " n"], ys: Float[np.ndarray, " n"], x: Scale, y: Scale, group: int
) -> Markup:
    """Draw all points of a colour as one path: a thousand elements would be slow."""
    path = "".join(f"M{x(a)} {y(b)}h0" for a, b in zip(xs.tolist(), ys.tolist(), strict=True))
    return Markup('<path class="points" style="--hue:{}" d="{}"/>').format(_hue(group), path)


def _legend(run: OpenedRun) -> Markup:
    """Name the colours, if there are several."""
    if run.category is None:
        return Markup("")
    items = [
        Markup('<span><i style="--hue:{}"></i>d = {}</span>').format(_hue(k), name)
        for k, name in enumerate(category_names(run.categories))
    ]
    return Markup('<p class="key">{}</p>').format(Markup("").join(items))


def _hue(group: int) -> int:
    return HUES[group % len(HUES)]
