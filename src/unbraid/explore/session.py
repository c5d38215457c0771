"""What every move on the page answers, without the page: values in, pictures and settings out.

An answer is a list, one entry for each part of the page that changes: a value, a dictionary of
settings (`value`, `label`, `minimum` …), or None where a part stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from unbraid.data.factors import FactorSpace
from unbraid.errors import UserError
from unbraid.explore import html, images
from unbraid.explore.grid import CATEGORIES, NOTHING, Grid, category_names, matching, traversal_grid
from unbraid.explore.opened_run import OpenedRun, Point
from unbraid.explore.upload import read_picture

STEPS = 200
Answer = list[Any]


class Half(NamedTuple):
    """What one side of the page shows: a run, its code, and the dimension across, if it has one."""

    run: OpenedRun
    point: Point
    across: int | None
    down: int | str
    note: str

    @property
    def grid(self) -> Grid | None:
        """The traversal grid, None where no dimension matches the left's."""
        if self.across is None:
            return None
        return traversal_grid(self.run, self.point, self.across, self.down)


class Session:
    """The answers of a page on one or more runs of one dataset; two are shown side by side."""

    def __init__(self, runs: Sequence[OpenedRun]) -> None:
        self.runs, self.table = list(runs), runs[0].table
        self.sides = min(2, len(runs))
        self.most = max(len(run.dimensions) for run in runs)

    @property
    def width(self) -> int:
        """How many parts a side has: its run or its picture, its category, its dimensions."""
        return 2 + self.most

    def first_image(self) -> tuple[list[int], Float[np.ndarray, "c h w"]]:
        """Settings of the start, and its image: the middle of every factor, or of all items."""
        values = [size // 2 for _, size in self.settings()]
        return values, self._image(values)

    def settings(self) -> list[tuple[str, int]]:
        """Name and number of values of what an image is chosen by: the factors, or its number.

        Only a full grid has an image for whatever the factors are set to.
        """
        space = self.table.factors
        if not isinstance(space, FactorSpace):
            return [("item", len(self.table))]
        return list(zip(space.names, space.sizes, strict=True))

    def side(self, number: int, image: Float[np.ndarray, "c h w"]) -> Answer:
        """A run's picture, buttons and sliders, at the code of an image."""
        run = self.runs[number]
        point = run.encode(image)
        sliders = [self._slider(run, i, point) for i in range(self.most)]
        return [html.decoded(run, point), self._buttons(run, point), *sliders]

    def choices(self, number: int) -> Answer:
        """What a grid can have across and down, of the run on the left."""
        run = self.runs[number]
        dimensions = [(d.label, i) for i, d in enumerate(run.dimensions)]
        down: list[tuple[str, int | str]] = [("nothing", NOTHING)]
        if run.discrete:
            tracks = f" · {run.category_tracks}" if run.category_tracks else ""
            down = [(f"d{tracks}", CATEGORIES), *down]
        down += [(d.name, i) for i, d in enumerate(run.dimensions)]
        first, *others = run.ranked
        second = CATEGORIES if run.discrete else others[0] if others else NOTHING
        return [{"choices": dimensions, "value": first}, {"choices": down, "value": second}]

    def move(self, *values: Any) -> Answer:
        """One side's picture, of the code that its sliders and buttons say."""
        run, point = self._code(values)
        return [html.decoded(run, point)]

    def from_settings(self, *values: Any) -> Answer:
        """A start from an image of the dataset: first the sides' runs, then its settings."""
        numbers, settings = values[: self.sides], values[self.sides :]
        item = self._item(settings)
        said = f"item {item:,} of {self.table.name}"
        space = self.table.factors
        if space.names and not isinstance(space, FactorSpace):
            pairs = zip(space.names, space.factors_of(np.array([item]))[0], strict=True)
            said += ": " + ", ".join(f"{name} {value}" for name, value in pairs)
        return self._start(self._image(settings), said, numbers)

    def at_random(self, *numbers: int) -> Answer:
        """Settings of an image drawn at random, and a start from it."""
        rng = np.random.default_rng()
        settings = [int(rng.integers(size)) for _, size in self.settings()]
        return [*settings, *self.from_settings(*numbers, *settings)]

    def from_upload(self, file: str | None, *numbers: int) -> Answer:
        """A start from a picture that was sent, which is then removed; or why it is refused."""
        unchanged = [None] * (self.sides * self.width)
        if file is None:
            return [None, None, None, *unchanged]
        path = Path(file)
        try:
            image = read_picture(path, self.table.shape)
        except UserError as error:
            return [None, None, html.refused(f"refused: {error}"), *unchanged]
        finally:
            path.unlink(missing_ok=True)
        height, width = self.table.shape[1:]
        return self._start(image, f"{path.name}, cut to {width} × {height}", numbers)

    def grids(self, across: int, down: int | str, *values: Any) -> Answer:
        """Every side's traversal grid."""
        return [html.grid(half.grid, half.note) for half in self._halves(across, down, values)]

    def scatters(self, across: int, *numbers: int) -> Answer:
        """Every side's dimension against the factors."""
        halves = self._halves(across, NOTHING, self._at_zero(numbers))
        return [html.titled_scatter(half.run, half.across, half.note) for half in halves]

    def png(self, image: Any, across: int, down: int | str, *values: Any) -> Answer:
        """What is shown as one PNG in text, and its name."""
        return self._saved(images.sheet, "png", image, across, down, values)

    def gif(self, image: Any, across: int, down: int | str, *values: Any) -> Answer:
        """The grids as a GIF in text, and its name."""
        return self._saved(images.animation, "gif", image, across, down, values)

    def _saved(
        self,
        draw: Callable[[Sequence[images.Panel]], bytes],
        kind: str,
        image: Float[np.ndarray, "c h w"],
        across: int,
        down: int | str,
        values: Sequence[Any],
    ) -> Answer:
        halves = self._halves(across, down, values)
        panels = [
            images.Panel(half.run.title, image, half.run.picture(half.point), half.grid)
            for half in halves
            if half.grid is not None
        ]
        names = "-".join(half.run.name.replace("/", "-") for half in halves)
        return [images.as_uri(draw(panels), kind), f"unbraid-{names}-z{across + 1}.{kind}"]

    def _start(
        self, image: Float[np.ndarray, "c h w"], said: str, numbers: Sequence[int]
    ) -> Answer:
        sides = [part for number in numbers for part in self.side(number, image)]
        return [image, html.picture(image, "start"), html.said(said), *sides]

    def _halves(self, across: int, down: int | str, values: Sequence[Any]) -> list[Half]:
        """All sides; on the right the dimensions that match the left's, one by one."""
        codes = [self._code(values[i : i + self.width]) for i in range(0, len(values), self.width)]
        left = codes[0][0]
        across = min(across, len(left.dimensions) - 1)
        halves = [Half(*codes[0], across, down, "")]
        for run, point in codes[1:]:
            pairs = matching(left, run)
            there = pairs[down].right if isinstance(down, int) and down in pairs else down
            note = f"r = {pairs[across].correlation:+.2f} with the left"
            partner = pairs[across].right
            halves.append(Half(run, point, partner, NOTHING if there is None else there, note))
        return halves

    def _code(self, values: Sequence[Any]) -> tuple[OpenedRun, Point]:
        number, category, *z = values
        run = self.runs[number]
        used = np.array(z[: len(run.dimensions)], np.float32)
        return run, Point(used, int(category or 0))

    def _at_zero(self, numbers: Sequence[int]) -> list[Any]:
        return [value for number in numbers for value in (number, 0, *[0.0] * self.most)]

    def _item(self, settings: Sequence[Any]) -> int:
        if not isinstance(self.table.factors, FactorSpace):
            return int(settings[0])
        return int(self.table.factors.index_of(np.array([settings], np.int64))[0])

    def _image(self, settings: Sequence[Any]) -> Float[np.ndarray, "c h w"]:
        return self.table.images(np.array([self._item(settings)]))[0].astype(np.float32)

    def _slider(self, run: OpenedRun, i: int, point: Point) -> dict[str, Any]:
        """A dimension's slider; one that this run has no dimension for is hidden."""
        if i >= len(run.dimensions):
            return {"visible": False}
        dimension = run.dimensions[i]
        value = float(np.clip(point.z[i], dimension.low, dimension.high))
        step = (dimension.high - dimension.low) / STEPS
        return {
            "minimum": dimension.low,
            "maximum": dimension.high,
            "step": round(step, 4),
            "value": round(value, 3),
            "label": dimension.label,
            "visible": True,
        }

    def _buttons(self, run: OpenedRun, point: Point) -> dict[str, Any]:
        """The discrete code's buttons; hidden where there is none."""
        choices = [(name, k) for k, name in enumerate(category_names(run))]
        tracks = f" · {run.category_tracks}" if run.category_tracks else ""
        value = point.category if choices else None
        label = f"discrete code{tracks}"
        return {"choices": choices, "value": value, "label": label, "visible": bool(choices)}
