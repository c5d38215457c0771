"""Charts as inline SVG: every colour is a CSS class or variable, so a page can be light or dark."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup

Number = float | int
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 640, 58, 24, 12, 34


@dataclass(frozen=True)
class Scale:
    """A value to a place between `start` and `end`, linear or logarithmic."""

    low: Number
    high: Number
    start: Number
    end: Number
    logarithmic: bool = False

    def __call__(self, value: Number) -> Number:
        low, high = self._warped(self.low), self._warped(self.high)
        share = (self._warped(value) - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def _warped(self, value: Number) -> Number:
        return math.log(max(value, 1e-12)) if self.logarithmic else value

    def ticks(self) -> list[Number]:
        """Round values in the range: 1, 2 or 5 times a power of ten, or steps of one such."""
        if self.logarithmic:
            exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)))
            round_ones = [m * 10.0**e for e in exponents for m in (1, 2, 5)]
            inside = [t for t in round_ones if self.low <= t <= self.high]
            # Between 1,010 and 1,090 there is no such value; there an axis is as good as linear.
            return (
                inside if len(inside) > 1 else dataclasses.replace(self, logarithmic=False).ticks()
            )
        rough = (self.high - self.low) / 5 or 1.0
        power = 10 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        first = math.ceil(self.low / step)
        return [i * step for i in range(first, math.floor(self.high / step) + 1)]


@dataclass(frozen=True)
class Series:
    """A line: its points, its name and how it is drawn."""

    points: Sequence[tuple[Number, Number]]
    name: str
    kind: str = "thin"
    hue: int | None = None


@dataclass(frozen=True)
class Strip:
    """A row of dots on one axis, with the mean's interval and a published mean ± std."""

    title: str
    dots: Sequence[tuple[Number, str]]
    interval: tuple[Number, Number, Number] | None
    published: tuple[Number, Number] | None = None


@dataclass(frozen=True)
class Dots:
    """A cloud of points with a name for each."""

    points: Sequence[tuple[Number, Number, str]]
    across: str
    up: str
    marks: Sequence[Number] = field(default=())


def strips(rows: Sequence[Strip], across: str) -> Markup:
    """One band a row: dots are seeds, the bar is the mean with its 95 % interval, ◇ published."""
    # A letter of these charts is 6 to 6.8 units wide, by the font.
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
    parts = _axis_below(x, height - BOTTOM, across, TOP, width)
    for number, row in enumerate(rows):
        y = TOP + band * (number + 0.5)
        parts.append(_text(left - 10, y + 4, row.title, "end"))
        if row.published:
            mean, std = row.published
            parts.append(
                Markup('<g class="published"><title>published {} ± {}</title>').format(mean, std)
                + _line(x(mean - std), y + 9, x(mean + std), y + 9)
                + Markup('<path d="M{0} {1}l5 5l-5 5l-5 -5z"/></g>').format(x(mean), y + 4)
            )
        if row.interval:
            mean, lower, upper = row.interval
            cut = [min(max(v, x.low), x.high) for v in (lower, upper)]
            # An arrow where the interval goes on beyond the axis.
            beyond = [
                Markup('<path class="beyond" d="M{} {}l{} -4v8z"/>').format(x(end), y, inwards)
                for end, whole, inwards in zip(cut, (lower, upper), (6, -6), strict=True)
                if end != whole
            ]
            parts.append(
                Markup(
                    '<g class="interval"><title>mean {:.2f}, 95 %: {:.2f} to {:.2f}</title>'
                ).format(mean, lower, upper)
                + _line(x(cut[0]), y, x(cut[1]), y)
                + Markup('<rect x="{}" y="{}" width="3" height="16"/></g>').format(
                    x(mean) - 1.5, y - 8
                )
                + Markup("").join(beyond)
            )
        parts += [_dot(x(value), y, name) for value, name in row.dots]
    return _svg(height, parts, width)


def curves(
    series: Sequence[Series], up: str, *, logarithmic: bool = False, marks: Sequence[Number] = ()
) -> Markup:
    """Lines over steps; `marks` are steps at which something opened."""
    height = 220
    points = [point for one in series for point in one.points]
    if not points:
        return Markup("")
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    x = Scale(0, max(xs), LEFT, WIDTH - RIGHT)
    low = min(ys) if logarithmic else min(0.0, *ys)
    y = Scale(low, max(ys), height - BOTTOM, TOP, logarithmic)
    parts = _axis_below(x, height - BOTTOM, "step", TOP)
    for tick in y.ticks():
        parts.append(_line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "grid"))
        parts.append(_text(LEFT - 6, y(tick) + 4, f"{tick:g}", "end"))
    parts.append(
        Markup(
            '<text transform="translate(12 {}) rotate(-90)" text-anchor="middle">{}</text>'
        ).format((height - BOTTOM + TOP) / 2, up)
    )
    parts += [_line(x(m), TOP, x(m), height - BOTTOM, "mark") for m in marks]
    for one in series:
        path = "M" + "L".join(f"{x(a)} {y(b)}" for a, b in one.points)
        colour = "" if one.hue is None else f"stroke:hsl({one.hue} 70% var(--lightness))"
        parts.append(
            Markup('<path class="curve {}" style="{}" d="{}"><title>{}</title></path>').format(
                one.kind, colour, path, one.name
            )
        )
    return _svg(height, parts)


def cloud(dots: Dots) -> Markup:
    """Points on two axes, both in stds within a row."""
    height = width = 300
    if not dots.points:
        return Markup("")
    most = max(2.0, *[abs(v) for p in dots.points for v in p[:2]]) * 1.05
    x = Scale(-most, most, 40, width - RIGHT)
    y = Scale(-most, most, height - BOTTOM, TOP)
    parts = _axis_below(x, height - BOTTOM, dots.across, TOP, width)
    for tick in y.ticks():
        parts.append(_line(40, y(tick), width - RIGHT, y(tick), "grid"))
        parts.append(_text(36, y(tick) + 4, f"{tick:g}", "end"))
    parts.append(
        Markup(
            '<text transform="translate(12 {}) rotate(-90)" text-anchor="middle">{}</text>'
        ).format(height / 2, dots.up)
    )
    parts += [_dot(x(a), y(b), name) for a, b, name in dots.points]
    return _svg(height, parts, width)


def thinned(
    points: Sequence[tuple[Number, Number]], most: int = 160
) -> list[tuple[Number, Number]]:
    """At most about `most` of the points, evenly chosen, the last always."""
    every = max(1, len(points) // most)
    kept = list(points[::every])
    if points and kept[-1] != points[-1]:
        kept.append(points[-1])
    return kept


def alone(drawn: Markup) -> str:
    """A chart as an SVG file of its own, light or dark as whoever looks at it has it."""
    style = (Path(__file__).with_name("charts.css")).read_text()
    root = '<svg xmlns="http://www.w3.org/2000/svg" '
    opened, rest = str(drawn).replace("<svg ", root, 1).split(">", 1)
    return f"{opened}><style>{style}</style>{rest}\n"


def _axis_below(
    x: Scale, y: Number, label: str, top: Number, width: Number = WIDTH
) -> list[Markup]:
    parts = []
    for tick in x.ticks():
        parts.append(_line(x(tick), top, x(tick), y, "grid"))
        parts.append(_text(x(tick), y + 15, f"{tick:,g}", "middle"))
    return [*parts, _text((x.start + width - RIGHT) / 2, y + 30, label, "middle")]


def _svg(height: Number, parts: Sequence[Markup], width: Number = WIDTH) -> Markup:
    start = Markup('<svg viewBox="0 0 {} {}" role="img">').format(width, height)
    return start + Markup("").join(parts) + Markup("</svg>")


def _line(x1: Number, y1: Number, x2: Number, y2: Number, kind: str = "") -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, x1, y1, x2, y2)


def _text(x: Number, y: Number, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _dot(x: Number, y: Number, name: str) -> Markup:
    return Markup('<circle class="dot" cx="{}" cy="{}" r="4"><title>{}</title></circle>').format(
        x, y, name
    )
