"""What is shown, as PNG and GIF: pixels are enlarged, never blurred."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont, ImageOps

from unbraid.explore.grid import Grid

PAPER, INK, GAP, EDGE = 255, 30, 4, 12
FRAME_MS = 120
# About how many pixels of what is saved a picture of a grid and of an animation is wide.
TILE, FRAME = 128, 192


def png(image: Float[np.ndarray, "c h w"], scale: int = 1) -> bytes:
    """One picture, enlarged `scale` times."""
    return _saved([_picture(image, scale)], "PNG")


def as_uri(content: bytes, kind: str = "png") -> str:
    """A picture as text that a page holds."""
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()


class Panel(NamedTuple):
    """One run's part of a sheet: its title, start and decoded picture, and its grid."""

    title: str
    start: Float[np.ndarray, "c h w"]
    decoded: Float[np.ndarray, "c h w"]
    grid: Grid


def sheet(panels: Sequence[Panel]) -> bytes:
    """A PNG of all panels, one below the other: start and decoded picture, then the grid."""
    scale = max(1, TILE // panels[0].start.shape[1])
    return _saved([_framed([_sheet(panel, scale) for panel in panels])], "PNG")


def animation(panels: Sequence[Panel]) -> bytes:
    """A GIF of all grids: every row at once, the dimension across moving to and fro."""
    scale = max(1, FRAME // panels[0].start.shape[1])
    columns = min(len(panel.grid.values) for panel in panels)
    order = [*range(columns), *range(columns - 2, 0, -1)]
    return _saved([_framed([_frame(panel, c, scale) for panel in panels]) for c in order], "GIF")


def _sheet(panel: Panel, scale: int) -> Image.Image:
    pictures = [_picture(image, 2 * scale) for image in (panel.start, panel.decoded)]
    heads = _beside(pictures, ["start", "decoded"])
    rows = []
    for name, images in zip(panel.grid.rows, panel.grid.images, strict=True):
        tiles = _beside([_picture(image, scale) for image in images])
        rows.append(_beside([_label(name or panel.grid.title.split(" · ")[0], 96), tiles]))
    ends = f"{panel.grid.title}, from {panel.grid.values[0]:.1f} to {panel.grid.values[-1]:.1f}"
    return _stacked([_label(panel.title, bold=True), heads, _label(ends), *rows])


def _frame(panel: Panel, column: int, scale: int) -> Image.Image:
    tiles = [_picture(row[column], scale) for row in panel.grid.images]
    value = f"{panel.grid.title.split(' · ')[0]} = {panel.grid.values[column]:+.1f}"
    return _stacked(
        [_label(panel.title, bold=True), _label(value), _beside(tiles, panel.grid.rows)]
    )


def _picture(image: Float[np.ndarray, "c h w"], scale: int) -> Image.Image:
    pixels = _bytes(image)
    enlarged = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    return Image.fromarray(enlarged[:, :, 0] if enlarged.shape[2] == 1 else enlarged)


def _bytes(image: Float[np.ndarray, "c h w"]) -> UInt8[np.ndarray, "h w c"]:
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8).transpose(1, 2, 0)


def _label(text: str, width: int | None = None, *, bold: bool = False) -> Image.Image:
    font = _font("DejaVuSans-Bold" if bold else "DejaVuSans")
    left, _, right, _ = font.getbbox(text or " ")
    label = Image.new("RGB", (width or int(right - left) + 2 * GAP, 22), (PAPER,) * 3)
    ImageDraw.Draw(label).text((GAP, 3), text, fill=(INK,) * 3, font=font)
    return label


@functools.cache
def _font(name: str) -> ImageFont.FreeTypeFont:
    """Matplotlib's, as in all other figures; Pillow's own has no Greek."""
    return ImageFont.truetype(
        Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", 13
    )


def _beside(pictures: Sequence[Image.Image], names: Sequence[str] = ()) -> Image.Image:
    """Pictures in a row, each under its name where there is one."""
    if any(names):
        pictures = [
            _stacked([_label(name, picture.width), picture])
            for name, picture in zip(names, pictures, strict=True)
        ]
    width = sum(p.width for p in pictures) + GAP * (len(pictures) - 1)
    row = Image.new("RGB", (width, max(p.height for p in pictures)), (PAPER,) * 3)
    x = 0
    for picture in pictures:
        row.paste(picture, (x, (row.height - picture.height) // 2))
        x += picture.width + GAP
    return row


def _stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    size = (max(p.width for p in pictures), sum(p.height + GAP for p in pictures))
    column = Image.new("RGB", size, (PAPER,) * 3)
    y = 0
    for picture in pictures:
        column.paste(picture, (0, y))
        y += picture.height + GAP
    return column


def _framed(pictures: Sequence[Image.Image]) -> Image.Image:
    return ImageOps.expand(_stacked(pictures), EDGE, (PAPER,) * 3)


def _saved(frames: list[Image.Image], kind: str) -> bytes:
    file = io.BytesIO()
    more = {"save_all": True, "append_images": frames[1:], "duration": FRAME_MS, "loop": 0}
    frames[0].save(file, format=kind, **(more if kind == "GIF" else {}))
    return file.getvalue()
