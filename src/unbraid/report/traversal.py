"""The traversal figure: what each dimension of a code does to the picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.runs.encode import Trained, encode

KL_IMAGES = 10_000
PAIRS = 8


@dataclass(frozen=True)
class Traversal:
    """Decoded pictures: one dimension moved at a time, in a block per category.

    `images` is (k, z, columns, h, w) in [0, 1], of colour images (k, z, columns, h, w, 3); `values`
    the positions of the moved dimension; `originals` and `reconstructions` are (pairs, h, w), or
    (pairs, h, w, 3); the first of them, of category `category`, is the image around which z moves.
    `kl` is None for a code that is not random.
    """

    images: Float[np.ndarray, "k z columns h w *c"]
    values: Float[np.ndarray, " columns"]
    kl: Float[np.ndarray, " z"] | None
    originals: Float[np.ndarray, "pairs h w *c"]
    reconstructions: Float[np.ndarray, "pairs h w *c"]
    discrete: bool
    category: int


@torch.no_grad()
def traverse(
    trained: Trained, table: ImageTable, *, extent: float = 2.0, columns: int = 11, seed: int = 0
) -> Traversal:
    """Move every dimension over ±extent prior stds (`Method.traversal_range`) around one posterior mean.

    The image, the reconstructed ones and the sample for the KL are drawn by `seed`. UserError if
    the range or the number of columns leaves nothing to move.
    """
    if not extent > 0 or columns < 2:
        raise UserError(
            f"extent={extent}, columns={columns}: a traversal moves; give --extent above 0 and"
            " --columns 2 or more"
        )
    method, parts = trained.config.method, trained.parts
    rng = np.random.default_rng(seed)
    index = rng.choice(len(table), min(KL_IMAGES, len(table)), replace=False)
    codes = encode(trained, table, index=index, discrete=False)
    values = np.linspace(*method.traversal_range(parts, extent), columns, dtype=np.float32)
    moved = np.broadcast_to(codes.mean[0], (method.latent_dim, columns, method.latent_dim)).copy()
    for z in range(method.latent_dim):
        moved[z, :, z] = values
    blocks = []
    for k in range(max(1, method.categories)):
        flat = torch.from_numpy(moved.reshape(-1, method.latent_dim))
        decoded = method.decode(parts, flat, torch.full((len(flat),), k))
        shown = _shown(decoded.numpy())
        blocks.append(shown.reshape(method.latent_dim, columns, *shown.shape[1:]))
    pairs = index[:PAIRS]
    x = torch.from_numpy(table.images(pairs)).float()
    mean = torch.from_numpy(codes.mean[:PAIRS])
    category = method.predict_category(parts, x, mean)
    reconstructed = method.decode(parts, mean, category)
    return Traversal(
        np.stack(blocks),
        values,
        codes.kl(),
        _shown(table.images(pairs).astype(np.float32)),
        _shown(reconstructed.numpy()),
        bool(method.categories),
        int(category[0]),
    )


def draw_png(path: Path, traversal: Traversal, title: str) -> None:
    """The whole figure: originals over reconstructions, then a block per category."""
    k, z, columns = traversal.images.shape[:3]
    ratios = [2, *[z] * k]
    size = (1.8 + 0.62 * columns, 0.9 + 0.62 * sum(ratios) + 0.35 * k)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(k + 1, 1, height_ratios=ratios, squeeze=False)[:, 0]
    pairs = np.stack([traversal.originals, traversal.reconstructions])[:, :columns]
    draw_block(axes[0], pairs, ["original", "reconstruction"], title)
    rows = row_labels(traversal)
    ends = f"{traversal.values[0]:g} to {traversal.values[-1]:g}"
    for number, (axis, block) in enumerate(zip(axes[1:], traversal.images, strict=True)):
        label = f"d = {_one_hot(number, k)}, " if traversal.discrete else ""
        draw_block(axis, block, rows, f"{label}each z from {ends}; KL in nats")
    with written_atomically(path) as file:
        figure.savefig(file, format="png", dpi=110, bbox_inches="tight")


def draw_gif(path: Path, traversal: Traversal) -> None:
    """The same as an animation: a row per dimension, a column per category, moving to and fro."""
    k, z, columns, height, width = traversal.images.shape[:5]
    left, top, gap = 84, 16, 4
    colour = traversal.images.ndim == 6
    frames = []
    for c in [*range(columns), *range(columns - 2, 0, -1)]:
        size = (left + k * (width + gap), top + z * (height + gap))
        frame = Image.new("RGB" if colour else "L", size, "white")
        pen = ImageDraw.Draw(frame)
        for row, label in enumerate(row_labels(traversal)):
            y = top + row * (height + gap)
            pen.text((4, y + height // 2 - 6), label, fill="black")
            for block in range(k):
                pixels = (255 * traversal.images[block, row, c]).astype(np.uint8)
                frame.paste(Image.fromarray(pixels), (left + block * (width + gap), y))
        for block in range(k):
            text = _one_hot(block, k) if traversal.discrete else f"{traversal.values[c]:+.1f}"
            pen.text((left + block * (width + gap) + 4, 2), text, fill="black")
        frames.append(frame)
    with written_atomically(path) as file:
        frames[0].save(
            file, format="GIF", save_all=True, append_images=frames[1:], duration=120, loop=0
        )


def row_labels(traversal: Traversal) -> list[str]:
    """Each dimension's name and, where it has one, its mean KL in nats."""
    names = [f"z{i + 1}" for i in range(traversal.images.shape[1])]
    if traversal.kl is None:
        return names
    return [f"{name} KL {nats:.2f}" for name, nats in zip(names, traversal.kl, strict=True)]


def draw_block(axis: Axes, images: np.ndarray, rows: list[str], title: str) -> None:
    """Images (rows, columns, h, w), or of colour (…, 3), as one picture with a label a row."""
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


def _shown(images: Float[np.ndarray, "b c h w"]) -> Float[np.ndarray, "b h w *c"]:
    """Images as pictures are drawn: without an axis for one channel, with it last for three."""
    return images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)


def _one_hot(category: int, categories: int) -> str:
    return "[" + ",".join(str(int(k == category)) for k in range(categories)) + "]"
