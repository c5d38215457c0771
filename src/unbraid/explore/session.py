"""Functions behind the controls of the page: from the controls' values to updates of components.

Updates are a list with one entry for each component that changes: a value, a dictionary of
properties (`value`, `label`, `minimum` …), or None to leave the component as it is. One side of the
page shows one run; its components are a dropdown of runs or the decoded image, the buttons of the
category, and a slider per dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from unbraid.data.factors import FactorSpace
from unbraid.errors import UserError
from unbraid.explore import downloads, html
from unbraid.explore.grid import CATEGORIES, NOTHING, Grid, matching_dimensions, traversal_grid
from unbraid.explore.opened_run import OpenedRun, Point
from unbraid.explore.upload import read_image
from unbraid.report.pixels import data_uri
from unbraid.report.traversal import category_names

SLIDER_STEPS = 200
Updates = list[Any]


class SideState(NamedTuple):
    """Run and code of one side, and what its grid varies; `across` is None without a match."""

    run: OpenedRun
    point: Point
    across: int | None
    down: int | str
    note: str

    @property
    def grid(self) -> Grid | None:
        """The traversal grid; None if no dimension matches that of the left side."""
        if self.across is None:
            return None
        return traversal_grid(self.run, self.point, self.across, self.down)


class Session:
    """Updates of a page on runs of one dataset, of which one or two are visible."""

    def __init__(self, runs: Sequence[OpenedRun]) -> None:
        self.runs, self.table = list(runs), runs[0].table
        self.num_sides = min(2, len(runs))
        self.max_dims = max(len(run.dimensions) for run in runs)

    @property
    def side_length(self) -> int:
        """Number of components of a side."""
        return 2 + self.max_dims

    def first_image(self) -> tuple[list[int], Float[np.ndarray, "c h w"]]:
        """Return the first image and its settings: the middle value of each."""
        values = [size // 2 for _, size in self.settings()]
        return values, self._image(values)

    def settings(self) -> list[tuple[str, int]]:
        """Return name and number of values of each setting of the start image.

        They are the factors if the dataset is a full grid of them, otherwise the image number.
        """
        space = self.table.factors
        if not isinstance(space, FactorSpace):
            return [("image", len(self.table))]
        return list(zip(space.names, space.sizes, strict=True))

    def side(self, number: int, image: Float[np.ndarray, "c h w"]) -> Updates:
        """Show a run at the code of an image: decoded image, category buttons and sliders."""
        run = self.runs[number]
        point = run.encode(image)
        sliders = [self._slider(run, i, point) for i in range(self.max_dims)]
        return [html.decoded_figure(run, point), self._category_buttons(run, point), *sliders]

    def choices(self, number: int) -> Updates:
        """Show what the grid can vary across and down, for the run on the left."""
        run = self.runs[number]
        dimensions = [(d.label, i) for i, d in enumerate(run.dimensions)]
        down: list[tuple[str, int | str]] = [("nothing", NOTHING)]
        if run.categories:
            down = [(f"d{_suffix(run.category_factor)}", CATEGORIES), *down]
        down += [(d.name, i) for i, d in enumerate(run.dimensions)]
        first, *others = run.ranked_dimensions
        second = CATEGORIES if run.categories else others[0] if others else NOTHING
        return [{"choices": dimensions, "value": first}, {"choices": down, "value": second}]

    def move(self, *values: Any) -> Updates:
        """Show the decoded image of the code that a side's controls are set to."""
        run, point = self._run_and_code(values)
        return [html.decoded_figure(run, point)]

    def from_settings(self, *values: Any) -> Updates:
        """Start from an image of the dataset; `values` are the sides' runs, then the settings."""
        numbers, settings = values[: self.num_sides], values[self.num_sides :]
        item = self._item(settings)
        message = f"image {item:,} of {self.table.name}"
        space = self.table.factors
        if space.names and not isinstance(space, FactorSpace):
            pairs = zip(space.names, space.factors_of(np.array([item]))[0], strict=True)
            message += ": " + ", ".join(f"{name} {value}" for name, value in pairs)
        return self._start(self._image(settings), message, numbers)

    def from_random(self, *numbers: int) -> Updates:
        """Start from a random image of the dataset; the settings are updated too."""
        rng = np.random.default_rng()
        settings = [int(rng.integers(size)) for _, size in self.settings()]
        return [*settings, *self.from_settings(*numbers, *settings)]

    def from_upload(self, file: str | None, *numbers: int) -> Updates:
        """Start from an uploaded image, or show why it cannot be used; the file is deleted."""
        unchanged = [None] * (self.num_sides * self.side_length)
        if file is None:
            return [None, None, None, *unchanged]
        path = Path(file)
        try:
            image = read_image(path, self.table.shape)
        except UserError as error:
            return [None, None, html.error_message(f"rejected: {error}"), *unchanged]
        finally:
            path.unlink(missing_ok=True)
        height, width = self.table.shape[1:]
        return self._start(image, f"{path.name}, cropped to {width} × {height}", numbers)

    def grids(self, across: int, down: int | str, *values: Any) -> Updates:
        """Show the traversal grid of each side."""
        return [html.grid_table(s.grid, s.note) for s in self._sides(across, down, values)]

    def scatters(self, across: int, *numbers: int) -> Updates:
        """Show the dimension across of each side against the factors."""
        sides = self._sides(across, NOTHING, self._zero_codes(numbers))
        return [html.titled_scatter(s.run, s.across, s.note) for s in sides]

    def png(self, image: Any, across: int, down: int | str, *values: Any) -> Updates:
        """Return images and grids as a PNG, and its file name."""
        sides = self._sides(across, down, values)
        return self._download(downloads.panels_png, "png", image, across, sides)

    def gif(self, image: Any, across: int, down: int | str, *values: Any) -> Updates:
        """Return the grids as a GIF, and its file name."""
        sides = self._sides(across, down, values)
        return self._download(downloads.panels_gif, "gif", image, across, sides)

    def _download(
        self,
        draw: Callable[[Sequence[downloads.Panel]], bytes],
        kind: str,
        image: Float[np.ndarray, "c h w"],
        across: int,
        sides: Sequence[SideState],
    ) -> Updates:
        panels = [
            downloads.Panel(side.run.title, image, side.run.decode_point(side.point), grid)
            for side in sides
            if (grid := side.grid) is not None
        ]
        names = "-".join(side.run.name.replace("/", "-") for side in sides)
        return [data_uri(draw(panels), kind), f"unbraid-{names}-z{across + 1}.{kind}"]

    def _start(
        self, image: Float[np.ndarray, "c h w"], message: str, numbers: Sequence[int]
    ) -> Updates:
        sides = [update for number in numbers for update in self.side(number, image)]
        return [image, html.start_figure(image), html.status_message(message), *sides]

    def _sides(self, across: int, down: int | str, values: Sequence[Any]) -> list[SideState]:
        """Return the state of each side; the right one has the dimensions that match the left."""
        length = self.side_length
        codes = [self._run_and_code(values[i : i + length]) for i in range(0, len(values), length)]
        left = codes[0][0]
        across = min(across, len(left.dimensions) - 1)
        sides = [SideState(*codes[0], across, down, "")]
        for run, point in codes[1:]:
            pairs = matching_dimensions(left, run)
            right_down = pairs[down].right if isinstance(down, int) and down in pairs else down
            note = f"r = {pairs[across].correlation:+.2f} with the left run"
            right_down = NOTHING if right_down is None else right_down
            sides.append(SideState(run, point, pairs[across].right, right_down, note))
        return sides

    def _run_and_code(self, values: Sequence[Any]) -> tuple[OpenedRun, Point]:
        number, category, *z = values
        run = self.runs[number]
        visible = np.array(z[: len(run.dimensions)], np.float32)
        return run, Point(visible, int(category or 0))

    def _zero_codes(self, numbers: Sequence[int]) -> list[Any]:
        return [value for number in numbers for value in (number, 0, *[0.0] * self.max_dims)]

    def _item(self, settings: Sequence[Any]) -> int:
        if not isinstance(self.table.factors, FactorSpace):
            return int(settings[0])
        return int(self.table.factors.index_of(np.array([settings], np.int64))[0])

    def _image(self, settings: Sequence[Any]) -> Float[np.ndarray, "c h w"]:
        return self.table.images(np.array([self._item(settings)]))[0].astype(np.float32)

    def _slider(self, run: OpenedRun, i: int, point: Point) -> dict[str, Any]:
        """Return the slider of a dimension, hidden if the run has fewer dimensions."""
        if i >= len(run.dimensions):
            return {"visible": False}
        dimension = run.dimensions[i]
        value = float(np.clip(point.z[i], dimension.low, dimension.high))
        step = (dimension.high - dimension.low) / SLIDER_STEPS
        return {
            "minimum": dimension.low,
            "maximum": dimension.high,
            "step": round(step, 4),
            "value": round(value, 3),
            "label": dimension.label,
            "visible": True,
        }

    def _category_buttons(self, run: OpenedRun, point: Point) -> dict[str, Any]:
        """Return the buttons of the discrete code, hidden if there is none."""
        choices = [(name, k) for k, name in enumerate(category_names(run.categories))]
        return {
            "choices": choices,
            "value": point.category if choices else None,
            "label": f"discrete code{_suffix(run.category_factor)}",
            "visible": bool(choices),
        }


def _suffix(factor: str | None) -> str:
    return f" · {factor}" if factor else ""
