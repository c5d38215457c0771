"""Latent traversals: what each dimension of a code changes in the image.

Index letters: `k` categories, `z` continuous dimensions, `columns` positions of the dimension that
moves, `n` images.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from torch import Tensor

from unbraid.data.images import ImageTable
from unbraid.errors import ArgumentError
from unbraid.files import written_atomically
from unbraid.report.pixels import encode_gif, forth_and_back, to_pixels
from unbraid.report.style import draw_block, save_png
from unbraid.runs.encode import Trained, encode

KL_IMAGES = 10_000
EXTENT = 2.0
COLUMNS = 11
PAIRS = 8


@dataclass(frozen=True)
class Traversal:
    """Decoded images in which one dimension moves at a time, in a block per category.

    Parameters
    ----------
    images : array of shape (k, z, columns, h, w) or, in colour, (k, z, columns, h, w, 3)
        Pixel probabilities in [0, 1]. Without a discrete code k is 1.
    values : array of shape (columns,)
        Positions of the dimension that moves.
    kl : array of shape (z,) or None
        Mean KL of each dimension in nats; None for a deterministic encoder.
    originals, reconstructions : arrays of shape (pairs, h, w) or (pairs, h, w, 3)
        Images of the dataset and their reconstructions. The traversals start at the code of the
        first.
    discrete : bool
        Whether the method has a discrete code.
    category : int
        Category of the first image; 0 without a discrete code.
    mean : array of shape (n, z)
        Posterior means of the images that the KL is averaged over.
    """

    images: Float[np.ndarray, "k z columns h w *c"]
    values: Float[np.ndarray, " columns"]
    kl: Float[np.ndarray, " z"] | None
    originals: Float[np.ndarray, "pairs h w *c"]
    reconstructions: Float[np.ndarray, "pairs h w *c"]
    discrete: bool
    category: int
    mean: Float[np.ndarray, "n z"]

    @property
    def from_to(self) -> str:
        """Range of the dimension that moves, as text."""
        return f"{self.values[0]:g} to {self.values[-1]:g}"


@torch.no_grad()
def traverse(
    trained: Trained,
    table: ImageTable,
    *,
    extent: float = EXTENT,
    columns: int = COLUMNS,
    seed: int = 0,
) -> Traversal:
    """Move every dimension of one image's posterior mean, under every category.

    Parameters
    ----------
    trained : Trained
        A run's networks.
    table : ImageTable
        Its dataset.
    extent : float, default 2
        Half the range of a dimension, in prior standard deviations; a method may use another range
        (`Method.traversal_range`).
    columns : int, default 11
        Number of positions.
    seed : int, default 0
        Seed for sampling the images: the one to start at, those to reconstruct, and up to 10,000
        to average the KL over.

    Returns
    -------
    Traversal
        Decoded images, KL and reconstructions.

    Raises
    ------
    ArgumentError
        If `extent` is not positive or `columns` less than 2.
    """
    if not extent > 0:
        raise ArgumentError("extent", extent, "must be greater than 0", "set `extent` to 2")
    if columns < 2:
        raise ArgumentError("columns", columns, "must be at least 2", "set `columns` to 11")
    method, parts = trained.config.method, trained.parts
    rng = np.random.default_rng(seed)
    index = rng.choice(len(table), min(KL_IMAGES, len(table)), replace=False)
    codes = encode(trained, table, index=index, discrete=False)
    values = np.linspace(*method.traversal_range(parts, extent), columns, dtype=np.float32)
    pairs = index[:PAIRS]
    x = torch.from_numpy(table.images(pairs)).float()
    mean = torch.from_numpy(codes.mean[:PAIRS])
    category = method.predict_category(parts, x, mean)
    return Traversal(
        _decode_moved(trained, codes.mean[0], values),
        values,
        codes.kl(),
        _channels_last(table.images(pairs).astype(np.float32)),
        _channels_last(method.decode(parts, mean, category).numpy()),
        bool(method.categories),
        int(category[0]),
        codes.mean,
    )


def _decode_moved(
    trained: Trained, start: Float[np.ndarray, " z"], values: Float[np.ndarray, " columns"]
) -> Float[np.ndarray, "k z columns h w *c"]:
    method, parts = trained.config.method, trained.parts
    z, columns = len(start), len(values)
    moved = np.broadcast_to(start, (z, columns, z)).copy()
    for i in range(z):
        moved[i, :, i] = values
    flat = torch.from_numpy(moved.reshape(-1, z))
    blocks = []
    for k in range(max(1, method.categories)):
        category: Tensor = torch.full((len(flat),), k)
        decoded = _channels_last(method.decode(parts, flat, category).numpy())
        blocks.append(decoded.reshape(z, columns, *decoded.shape[1:]))
    return np.stack(blocks)


def draw_png(path: Path, traversal: Traversal, title: str) -> None:
    """Draw originals over reconstructions, then a block of traversals per category.

    Parameters
    ----------
    path : Path
        PNG file to write.
    traversal : Traversal
        Images to draw.
    title : str
        Title of the figure.

    Raises
    ------
    UserError or StorageError
        If the file cannot be written.
    """
    k, z, columns = traversal.images.shape[:3]
    ratios = [2, *[z] * k]
    size = (1.8 + 0.62 * columns, 0.9 + 0.62 * sum(ratios) + 0.35 * k)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(k + 1, 1, height_ratios=ratios, squeeze=False)[:, 0]
    draw_reconstructions(axes[0], traversal, title)
    rows, names = row_labels(traversal), category_names(k)
    for axis, block, name in zip(axes[1:], traversal.images, names, strict=True):
        label = f"d = {name}, " if traversal.discrete else ""
        draw_block(axis, block, rows, f"{label}each z from {traversal.from_to}; KL in nats")
    save_png(path, figure, tight=True)


def draw_gif(path: Path, traversal: Traversal) -> None:
    """Animate the traversals: a row per dimension and a column per category.

    Parameters
    ----------
    path : Path
        GIF file to write.
    traversal : Traversal
        Images to draw.

    Raises
    ------
    UserError or StorageError
        If the file cannot be written.
    """
    k, z, columns, height, width = traversal.images.shape[:5]
    left, top, gap = 84, 16, 4
    pixels = to_pixels(traversal.images)
    names = category_names(k)
    frames = []
    for c in forth_and_back(columns):
        size = (left + k * (width + gap), top + z * (height + gap))
        frame = Image.new("RGB" if pixels.ndim == 6 else "L", size, "white")
        pen = ImageDraw.Draw(frame)
        for row, label in enumerate(row_labels(traversal)):
            y = top + row * (height + gap)
            pen.text((4, y + height // 2 - 6), label, fill="black")
            for block in range(k):
                tile = Image.fromarray(pixels[block, row, c])
                frame.paste(tile, (left + block * (width + gap), y))
        for block in range(k):
            text = names[block] if traversal.discrete else f"{traversal.values[c]:+.1f}"
            pen.text((left + block * (width + gap) + 4, 2), text, fill="black")
        frames.append(frame)
    with written_atomically(path) as file:
        file.write(encode_gif(frames))


def row_labels(traversal: Traversal) -> list[str]:
    """Return a label for each dimension.

    Parameters
    ----------
    traversal : Traversal
        Traversals of a run.

    Returns
    -------
    list of str
        Name and, unless the encoder is deterministic, mean KL in nats.
    """
    names = [f"z{i + 1}" for i in range(traversal.images.shape[1])]
    if traversal.kl is None:
        return names
    return [f"{name} KL {nats:.2f}" for name, nats in zip(names, traversal.kl, strict=True)]


def category_names(categories: int) -> list[str]:
    """Return a name for each category of a discrete code.

    Parameters
    ----------
    categories : int
        Number of categories.

    Returns
    -------
    list of str
        One-hot vectors for up to five categories, numbers from 1 otherwise.

    Examples
    --------
    >>> category_names(3)
    ['[1,0,0]', '[0,1,0]', '[0,0,1]']
    >>> category_names(6)
    ['1', '2', '3', '4', '5', '6']
    """
    if categories > 5:
        return [str(k + 1) for k in range(categories)]
    one_hot = np.eye(categories, dtype=int)
    return [f"[{','.join(map(str, row))}]" for row in one_hot]


def draw_reconstructions(axis: Axes, traversal: Traversal, title: str) -> None:
    """Draw originals over reconstructions, as many as a traversal has columns.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Where to draw.
    traversal : Traversal
        Traversals of a run.
    title : str
        Title of the axis.
    """
    pairs = np.stack([traversal.originals, traversal.reconstructions])
    draw_block(axis, pairs[:, : len(traversal.values)], ["original", "reconstruction"], title)


def _channels_last(images: Float[np.ndarray, "b c h w"]) -> Float[np.ndarray, "b h w *c"]:
    """Drop the axis of a single channel, or move that of three channels to the end."""
    return images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)
