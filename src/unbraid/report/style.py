"""What the Matplotlib figures have in common."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unbraid.files import written_atomically

DPI = 110


def dimension_colours(dimensions: int) -> Float[np.ndarray, "z rgba"]:
    """Return a colour for each latent dimension, from dark blue (first) to yellow (last)."""
    return matplotlib.colormaps["viridis"](np.linspace(0, 0.92, dimensions))


def save_png(path: Path, figure: Figure, *, tight: bool = False) -> None:
    """Write a figure atomically; `tight` crops or extends it to all that is drawn."""
    with written_atomically(path) as file:
        figure.savefig(file, format="png", dpi=DPI, bbox_inches="tight" if tight else None)


def draw_block(axis: Axes, images: np.ndarray, rows: list[str], title: str) -> None:
    """Draw images of shape (rows, columns, h, w) or (…, 3) as a grid with a label per row."""
    widths = [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)][: images.ndim]
    padded = np.pad(images, widths, constant_values=0.5)
    r, c, h, w = padded.shape[:4]
    tiled = padded.swapaxes(1, 2).reshape(r * h, c * w, *padded.shape[4:])
    axis.imshow(tiled, cmap="gray", vmin=0, vmax=1)
    axis.set_yticks([h * (i + 0.5) for i in range(r)], rows)
    axis.set_xticks([])
    axis.tick_params(length=0)
    axis.set_title(title, fontsize=10, loc="left")
    for spine in axis.spines.values():
        spine.set_visible(False)
