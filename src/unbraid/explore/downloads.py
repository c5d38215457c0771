"""PNG and GIF of what the page shows. Pixels are repeated, never interpolated."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont, ImageOps

from unbraid.explore.grid import Grid
from unbraid.report.pixels import encode_gif, encode_png, forth_and_back, to_pixels

BACKGROUND, TEXT = (255,) * 3, (30,) * 3
GAP, MARGIN = 4, 12
START, DECODED = "start image", "decoded image"
# Approximate width of an image of the dataset in a PNG and in a GIF, in pixels.
PNG_TILE, GIF_TILE = 128, 192


class Panel(NamedTuple):
    """What is downloaded of one run: its title, the start image, the decoded image, the grid."""

    title: str
    start: Float[np.ndarray, "c h w"]
    decoded: Float[np.ndarray, "c h w"]
    grid: Grid


def image_png(image: Float[np.ndarray, "c h w"], scale: int = 1) -> bytes:
    """Return an image as PNG, enlarged `scale` times."""
    return encode_png(_enlarged(image, scale))


def panels_png(panels: Sequence[Panel]) -> bytes:
    """Return all panels as one PNG, from top to bottom."""
    scale = max(1, PNG_TILE // panels[0].start.shape[1])
    return encode_png(_with_margin([_panel(panel, scale) for panel in panels]))


def panels_gif(panels: Sequence[Panel]) -> bytes:
    """Return all grids as one GIF in which the dimension across moves forth and back."""
    scale = max(1, GIF_TILE // panels[0].start.shape[1])
    columns = min(len(panel.grid.values) for panel in panels)
    return encode_gif(
        [
            _with_margin([_frame(panel, column, scale) for panel in panels])
            for column in forth_and_back(columns)
        ]
    )


def _panel(panel: Panel, scale: int) -> Image.Image:
    grid, name = panel.grid, panel.grid.title.split(" · ")[0]
    pair = [_enlarged(image, 2 * scale) for image in (panel.start, panel.decoded)]
    rows = []
    for label, images in zip(grid.rows, grid.images, strict=True):
        tiles = _hstack([_enlarged(image, scale) for image in images])
        rows.append(_hstack([_label(label or name, 96), tiles]))
    ends = f"{grid.title}, from {grid.values[0]:.1f} to {grid.values[-1]:.1f}"
    top = _hstack(pair, [START, DECODED])
    return _vstack([_label(panel.title, bold=True), top, _label(ends), *rows])


def _frame(panel: Panel, column: int, scale: int) -> Image.Image:
    grid, name = panel.grid, panel.grid.title.split(" · ")[0]
    tiles = [_enlarged(row[column], scale) for row in grid.images]
    value = _label(f"{name} = {grid.values[column]:+.1f}")
    return _vstack([_label(panel.title, bold=True), value, _hstack(tiles, grid.rows)])


def _enlarged(image: Float[np.ndarray, "c h w"], scale: int) -> Image.Image:
    pixels = to_pixels(image).transpose(1, 2, 0).repeat(scale, axis=0).repeat(scale, axis=1)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _label(text: str, width: int | None = None, *, bold: bool = False) -> Image.Image:
    font = _font("DejaVuSans-Bold" if bold else "DejaVuSans")
    left, _, right, _ = font.getbbox(text or " ")
    label = Image.new("RGB", (width or int(right - left) + 2 * GAP, 22), BACKGROUND)
    ImageDraw.Draw(label).text((GAP, 3), text, fill=TEXT, font=font)
    return label


@functools.cache
def _font(name: str) -> ImageFont.FreeTypeFont:
    """Return a font of Matplotlib, as in all other figures; Pillow's own has no Greek letters."""
    return ImageFont.truetype(
        Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", 13
    )


def _hstack(pictures: Sequence[Image.Image], names: Sequence[str] = ()) -> Image.Image:
    """Put pictures in a row, with their names above."""
    if any(names):
        pictures = [
            _vstack([_label(name, picture.width), picture])
            for name, picture in zip(names, pictures, strict=True)
        ]
    width = sum(p.width for p in pictures) + GAP * (len(pictures) - 1)
    row = Image.new("RGB", (width, max(p.height for p in pictures)), BACKGROUND)
    x = 0
    for picture in pictures:
        row.paste(picture, (x, (row.height - picture.height) // 2))
        x += picture.width + GAP
    return row


def _vstack(pictures: Sequence[Image.Image]) -> Image.Image:
    size = (max(p.width for p in pictures), sum(p.height + GAP for p in pictures))
    column = Image.new("RGB", size, BACKGROUND)
    y = 0
    for picture in pictures:
        column.paste(picture, (0, y))
        y += picture.height + GAP
    return column


def _with_margin(pictures: Sequence[Image.Image]) -> Image.Image:
    return ImageOps.expand(_vstack(pictures), MARGIN, BACKGROUND)
