"""Charts as inline SVG. Every colour is a CSS class or variable, so a page can be light or dark."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

Number = float | int
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 640, 58, 24, 12, 34


@dataclass(frozen=True)
class Scale:
    """Maps [low, high] to [start, end], linearly or logarithmically."""

    low: Number
    high: Number
    start: Number
    end: Number
    logarithmic: bool = False

    def __call__(self, value: Number) -> Number:
        """Return the position of a value, rounded to 0.1."""
        low, high = self._transform(self.low), self._transform(self.high)
        fraction = (self._transform(value) - low) / (high - low) if high > low else 0.5
        return round(self.start + fraction * (self.end - self.start), 1)

    def _transform(self, value: Number) -> Number:
        return math.log(max(value, 1e-12)) if self.logarithmic else value

    def ticks(self) -> list[Number]:
        """Return round values in the range: 1, 2 or 5 times a power of ten, or steps of one."""
        if self.logarithmic:
            exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)))
            candidates = [m * 10.0**e for e in exponents for m in (1, 2, 5)]
            inside = [t for t in candidates if self.low <= t <= self.high]
            if len(inside) > 1:
                return inside
            # There is no such value between 1,010 and 1,090, but that axis is nearly linear.
            return dataclasses.replace(self, logarithmic=False).ticks()
        rough = (self.high - self.low) / 5 or 1.0
        power = 10 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        first = math.ceil(self.low / step)
        return [i * step for i in range(first, math.floor(self.high / step) + 1)]


@dataclass(frozen=True)
class Series:
    """A line of a line chart; `kind` is "thin" or "thick", `hue` in degrees."""

    points: Sequence[tuple[Number, Number]]
    name: str
    kind: str = "thin"
    hue: int | None = None


@dataclass(frozen=True)
class StripRow:
    """A row of a strip plot: dots, the mean with its interval, and a published mean and std."""

    title: str
    dots: Sequence[tuple[Number, str]]
    interval: tuple[Number, Number, Number] | None
    published: tuple[Number, Number] | None = None


@dataclass(frozen=True)
class Scatter:
    """Points of a scatter plot with a tooltip for each, and the labels of both axes."""

    points: Sequence[tuple[Number, Number, str]]
    x_label: str
    y_label: str


def strip_plot(rows: Sequence[StripRow], x_label: str) -> Markup:
    """Draw a band per row: dots, a bar for the mean with its 95 % interval, ◇ published mean."""
    # A letter of these charts is 6 to 6.8 units wide, depending on the font.
    left, band = max(120, 20 + 6.8 * max((len(row.title) for row in rows), default=0)), 30
    width = round(left) + WIDTH - 250
    height = TOP + band * len(rows) + BOTTOM
    values = [value for row in rows for value, _ in row.dots]
    values += [
        row.published[0] + s * row.published[1] for row in rows if row.published for s in (-1, 1)
    ]
    low, high = (min(values), max(values)) if values else (0.0, 100.0)
    step = 10.0 ** math.floor(math.log10(high - low)) / 2 if high - low > 1e-6 else 5.0
    first, last = math.floor(low / step), math.ceil(high / step)
    x = Scale(first * step, max(last, first + 1) * step + 1e-9, left, width - RIGHT)
    parts = _x_axis(x, height - BOTTOM, x_label, TOP, width)
    for number, row in enumerate(rows):
        y = TOP + band * (number + 0.5)
        parts.append(text(left - 10, y + 4, row.title, "end"))
        if row.published:
            parts.append(_published(row.published, x, y))
        if row.interval:
            parts.append(_interval(row.interval, x, y))
        parts += [_dot(x(value), y, name) for value, name in row.dots]
    return svg(height, parts, width)


def _published(mean_and_std: tuple[Number, Number], x: Scale, y: Number) -> Markup:
    mean, std = mean_and_std
    return (
        Markup('<g class="published"><title>published {} ± {}</title>').format(mean, std)
        + line(x(mean - std), y + 9, x(mean + std), y + 9)
        + Markup('<path d="M{0} {1}l5 5l-5 5l-5 -5z"/></g>').format(x(mean), y + 4)
    )


def _interval(mean_and_ends: tuple[Number, Number, Number], x: Scale, y: Number) -> Markup:
    """Draw a mean with its interval, and an arrow where the interval extends beyond the axis."""
    mean, lower, upper = mean_and_ends
    clipped = [min(max(v, x.low), x.high) for v in (lower, upper)]
    arrows = [
        Markup('<path class="beyond" d="M{} {}l{} -4v8z"/>').format(x(end), y, inwards)
        for end, unclipped, inwards in zip(clipped, (lower, upper), (6, -6), strict=True)
        if end != unclipped
    ]
    tooltip = Markup('<g class="interval"><title>mean {:.2f}, 95 %: {:.2f} to {:.2f}</title>')
    return (
        tooltip.format(mean, lower, upper)
        + line(x(clipped[0]), y, x(clipped[1]), y)
        + Markup('<rect x="{}" y="{}" width="3" height="16"/></g>').format(x(mean) - 1.5, y - 8)
        + Markup("").join(arrows)
    )


def line_chart(
    series: Sequence[Series],
    y_label: str,
    *,
    logarithmic: bool = False,
    marks: Sequence[Number] = (),
) -> Markup:
    """Draw lines against steps, and a dashed vertical line at each step in `marks`."""
    height = 220
    points = [point for curve in series for point in curve.points]
    if not points:
        return Markup("")
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    x = Scale(0, max(xs), LEFT, WIDTH - RIGHT)
    low = min(ys) if logarithmic else min(0.0, *ys)
    y = Scale(low, max(ys), height - BOTTOM, TOP, logarithmic)
    parts = _x_axis(x, height - BOTTOM, "step", TOP)
    parts += _y_axis(y, LEFT, WIDTH - RIGHT, 6, y_label, (height - BOTTOM + TOP) / 2)
    parts += [line(x(m), TOP, x(m), height - BOTTOM, "mark") for m in marks]
    for curve in series:
        path = "M" + "L".join(f"{x(a)} {y(b)}" for a, b in curve.points)
        colour = "" if curve.hue is None else f"stroke:hsl({curve.hue} 70% var(--lightness))"
        parts.append(
            Markup('<path class="curve {}" style="{}" d="{}"><title>{}</title></path>').format(
                curve.kind, colour, path, curve.name
            )
        )
    return svg(height, parts)


def scatter_plot(scatter: Scatter) -> Markup:
    """Draw points on two axes of the same symmetric range."""
    height = width = 300
    if not scatter.points:
        return Markup("")
    limit = max(2.0, *[abs(v) for p in scatter.points for v in p[:2]]) * 1.05
    x = Scale(-limit, limit, 40, width - RIGHT)
    y = Scale(-limit, limit, height - BOTTOM, TOP)
    parts = _x_axis(x, height - BOTTOM, scatter.x_label, TOP, width)
    parts += _y_axis(y, 40, width - RIGHT, 4, scatter.y_label, height / 2)
    parts += [_dot(x(a), y(b), name) for a, b, name in scatter.points]
    return svg(height, parts, width)


def subsample(
    points: Sequence[tuple[Number, Number]], max_points: int = 160
) -> list[tuple[Number, Number]]:
    """Return about `max_points` evenly spaced points, always with the last."""
    every = max(1, len(points) // max_points)
    chosen = list(points[::every])
    if points and chosen[-1] != points[-1]:
        chosen.append(points[-1])
    return chosen


def standalone(chart: Markup) -> str:
    """Return a chart as the text of an SVG file, which follows the viewer's colour scheme."""
    style = (Path(__file__).with_name("charts.css")).read_text(encoding="utf-8")
    root = '<svg xmlns="http://www.w3.org/2000/svg" '
    start, rest = str(chart).replace("<svg ", root, 1).split(">", 1)
    return f"{start}><style>{style}</style>{rest}\n"


def _x_axis(x: Scale, y: Number, label: str, top: Number, width: Number = WIDTH) -> list[Markup]:
    parts = []
    for tick in x.ticks():
        parts.append(line(x(tick), top, x(tick), y, "grid"))
        parts.append(text(x(tick), y + 15, f"{tick:,g}", "middle"))
    return [*parts, text((x.start + width - RIGHT) / 2, y + 30, label, "middle")]


def _y_axis(
    y: Scale, left: Number, right: Number, gap: Number, label: str, middle: Number
) -> list[Markup]:
    turned = Markup('<text transform="translate(12 {}) rotate(-90)" text-anchor="middle">{}</text>')
    return [*horizontal_ticks(y, left, right, gap), turned.format(middle, label)]


def horizontal_ticks(y: Scale, left: Number, right: Number, gap: Number) -> list[Markup]:
    """Return a grid line and a label for each tick of a vertical axis."""
    parts = []
    for tick in y.ticks():
        parts.append(line(left, y(tick), right, y(tick), "grid"))
        parts.append(text(left - gap, y(tick) + 4, f"{tick:g}", "end"))
    return parts


def svg(height: Number, parts: Sequence[Markup], width: Number = WIDTH) -> Markup:
    """Return an SVG element with these parts."""
    start = Markup('<svg viewBox="0 0 {} {}" role="img">').format(width, height)
    return start + Markup("").join(parts) + Markup("</svg>")


def line(x1: Number, y1: Number, x2: Number, y2: Number, kind: str = "") -> Markup:
    """Return a line element of a CSS class."""
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, x1, y1, x2, y2)


def text(x: Number, y: Number, content: str, anchor: str) -> Markup:
    """Return a text element; `anchor` is "start", "middle" or "end"."""
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, content)


def _dot(x: Number, y: Number, name: str) -> Markup:
    return Markup('<circle class="dot" cx="{}" cy="{}" r="4"><title>{}</title></circle>').format(
        x, y, name
    )
