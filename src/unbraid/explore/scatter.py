"""A dimension's values against every factor, as small charts of inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from markupsafe import Markup

from unbraid.explore.grid import category_names
from unbraid.explore.opened_run import CATEGORISED, OpenedRun
from unbraid.report.charts import Number, Scale

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 260, 200, 30, 6, 8, 22
MOST_CHARTS = 8
HUES = (210, 25, 140, 320, 50, 265, 180, 0, 95, 235)


def scatter(run: OpenedRun, dimension: int) -> Markup:
    """One chart a factor: each image's posterior mean at its factor value, coloured by category.

    Of more than 8 factors, those that the dimension holds most of. Each says I(z; factor) of the
    sample, in nats and of the factor's entropy. A dataset without factors has none to show, and
    that is said.
    """
    if run.factors is None:
        return Markup('<p class="soft">This dataset has no factors to compare with.</p>')
    rng = np.random.default_rng(0)
    images = CATEGORISED if run.categories is None else len(run.categories)
    shares = run.informations[dimension] / np.maximum(run.entropies, 1e-12)
    charts = []
    for f in sorted(np.argsort(-shares, kind="stable")[:MOST_CHARTS].tolist()):
        words = run.table.factors.names[f], run.informations[dimension, f], 100 * shares[f]
        text = Markup("<b>{}</b> {:.2f} nats, {:.0f} % of H").format(*words)
        chart = _chart(run, dimension, run.factors[:images, f], rng)
        charts.append(Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(chart, text))
    return Markup('<div class="scatter">{}</div>{}').format(Markup("").join(charts), _key(run))


def _chart(
    run: OpenedRun, dimension: int, values: Int[np.ndarray, " n"], rng: np.random.Generator
) -> Markup:
    """One factor: a point an image, moved a little sideways so that none hides another."""
    mean = run.codes.mean[: len(values), dimension]
    names, places = np.unique(values, return_inverse=True)
    most = len(names) - 1
    shown = run.dimensions[dimension]
    x = Scale(-0.5, most + 0.5, LEFT, WIDTH - RIGHT)
    y = Scale(shown.low, shown.high, HEIGHT - BOTTOM, TOP)
    parts = []
    for tick in y.ticks():
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                LEFT, WIDTH - RIGHT, y(tick), y(tick)
            )
        )
        parts.append(_text(LEFT - 5, y(tick) + 4, f"{tick:g}", "end"))
    for tick in sorted({0, most // 2, most}):
        parts.append(_text(x(tick), HEIGHT - 6, str(names[tick]), "middle"))
    jittered = places + rng.uniform(-0.3, 0.3, len(values))
    groups = [np.ones(len(values), bool)]
    if run.categories is not None:
        groups = [run.categories == k for k in range(run.discrete)]
    for k, group in enumerate(groups):
        parts.append(_points(jittered[group], mean[group], x, y, k))
    return Markup('<svg viewBox="0 0 {} {}" role="img">{}</svg>').format(
        WIDTH, HEIGHT, Markup("").join(parts)
    )


def _points(
    across: Float[np.ndarray, " n"], up: Float[np.ndarray, " n"], x: Scale, y: Scale, group: int
) -> Markup:
    """All points of a colour as one path of dots: a thousand elements would be slow to draw."""
    path = "".join(f"M{x(a)} {y(b)}h0" for a, b in zip(across.tolist(), up.tolist(), strict=True))
    return Markup('<path class="points" style="--hue:{}" d="{}"/>').format(_hue(group), path)


def _key(run: OpenedRun) -> Markup:
    """What the colours mean, where there is more than one."""
    if run.categories is None:
        return Markup("")
    names: Sequence[str] = category_names(run)
    items = [
        Markup('<span><i style="--hue:{}"></i>d = {}</span>').format(_hue(k), name)
        for k, name in enumerate(names)
    ]
    return Markup('<p class="key">{}</p>').format(Markup("").join(items))


def _hue(group: int) -> int:
    return HUES[group % len(HUES)]


def _text(x: Number, y: Number, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, text)
