"""Exact geometry of dSprites, rasterised as by the GPU that rendered the dataset.

A triangle fan fills a pixel if its centre lies in any triangle, whatever the orientation of the
triangle. In terms of the winding number w of the outline, that union is {w odd} ∪ {triangles of
opposite orientation}: a pixel that no such triangle covers has w = 1 inside and w = 0 outside.
Therefore an image is the parity of the outline's crossings, computed row by row in 64-bit words,
plus the few sliver triangles near the notch of the heart that rounding has flipped.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt64

SIDE = 64
SUBPIXELS = 256
POSITIONS = 32
RADIUS = 9.6


def outline(shape: int) -> Float[np.ndarray, "v 2"]:
    """Return the polygon of a shape at scale 1.

    Parameters
    ----------
    shape : int
        0 square, 1 ellipse, 2 heart.

    Returns
    -------
    float array of shape (v, 2)
        Vertices in pixels: u to the right, v down.

    Examples
    --------
    >>> outline(0).tolist()
    [[-9.6, -9.6], [9.6, -9.6], [9.6, 9.6], [-9.6, 9.6]]
    """
    if shape == 0:
        return RADIUS * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    if shape == 1:
        t = 2 * np.pi * np.arange(100) / 100
        return np.stack([1.33 * RADIUS * np.cos(t), RADIUS / 1.33 * np.sin(t)], axis=1)
    t = 2 * np.pi * np.arange(150) / 150
    lobes = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([RADIUS * np.sin(t) ** 3, -0.15 * RADIUS - 2 * RADIUS / 29 * lobes], axis=1)


def vertices(
    shape: int, scale: int, orientation: int
) -> tuple[Int[np.ndarray, "p v"], Int[np.ndarray, "p v"]]:
    """Compute the vertices of an outline at every position.

    The computation uses double precision up to absolute pixels, then the float32 steps of a GPU's
    vertex pipeline (device coordinates, viewport, snapping half to even), in this order.

    Parameters
    ----------
    shape, scale, orientation : int
        Factor values, as in `dsprites.render`.

    Returns
    -------
    x : int array of shape (32, v)
        Horizontal coordinates for each posX, in 1/256 pixel.
    y : int array of shape (32, v)
        Vertical coordinates for each posY, in 1/256 pixel.
    """
    k = 0.5 + 0.1 * scale
    angle = 2 * np.pi * orientation / 39
    u, v = outline(shape).T
    anchor_p1 = (16 + 32 * np.arange(POSITIONS) / 31)[:, None]
    x_pv = anchor_p1 + k * (np.cos(angle) * u + np.sin(angle) * v)
    y_pv = anchor_p1 + k * (-np.sin(angle) * u + np.cos(angle) * v)
    return _snap(x_pv), _snap(y_pv)


def _snap(pixels: Float[np.ndarray, "p v"]) -> Int[np.ndarray, "p v"]:
    # The vertical axis of device coordinates is the other way round, but a sign rounds nothing.
    half = np.float32(SIDE / 2)
    device = pixels.astype(np.float32) * (1 / half) - 1
    window = device * half + half
    return np.rint(window * np.float32(SUBPIXELS)).astype(np.int64)


def rasterise(shape: int, scale: int, orientation: int) -> UInt64[np.ndarray, "x y rows"]:
    """Render one outline at all 32×32 positions.

    Parameters
    ----------
    shape, scale, orientation : int
        Factor values, as in `dsprites.render`.

    Returns
    -------
    uint64 array of shape (32, 32, 64)
        Rows of the image at each posX and posY, one 64-bit word per row; the leftmost pixel is the
        highest bit.
    """
    x_pv, y_pv = vertices(shape, scale, orientation)
    rows = np.zeros((POSITIONS * SIDE, POSITIONS), np.uint64)
    _draw_outline(rows, x_pv, y_pv)
    _draw_backward_triangles(rows, x_pv, y_pv)
    return rows.reshape(POSITIONS, SIDE, POSITIONS).transpose(2, 0, 1)


def _draw_outline(
    rows: UInt64[np.ndarray, "yrow x"], x_pv: Int[np.ndarray, "p v"], y_pv: Int[np.ndarray, "p v"]
) -> None:
    """Flip each row to the right of every crossing; odd numbers of flips are inside."""
    first, last = y_pv, np.roll(y_pv, -1, axis=1)
    first_row, count = _rows_crossed(first, last)
    position, edge = np.nonzero(count)
    repeats = count[position, edge]
    position, edge = np.repeat(position, repeats), np.repeat(edge, repeats)
    row = first_row[position, edge] + _concatenated_ranges(repeats)
    after = (edge + 1) % x_pv.shape[1]
    words = _from_crossing_on(
        x_pv[:, edge].T,
        y_pv[position, edge][:, None],
        x_pv[:, after].T,
        y_pv[position, after][:, None],
        row[:, None],
    )
    target = position * SIDE + row
    order = np.argsort(target, kind="stable")
    target, starts = np.unique(target[order], return_index=True)
    rows[target] ^= np.bitwise_xor.reduceat(words[order], starts, axis=0)


def _draw_backward_triangles(
    rows: UInt64[np.ndarray, "yrow x"], x_pv: Int[np.ndarray, "p v"], y_pv: Int[np.ndarray, "p v"]
) -> None:
    """Add the triangles (0, i, i+1) whose orientation is opposite to that of the outline."""
    ax, ay = x_pv[:, 1:] - x_pv[:, :1], y_pv[:, 1:] - y_pv[:, :1]
    area = ax[None, :, :-1] * ay[:, None, 1:] - ax[None, :, 1:] * ay[:, None, :-1]
    forward = np.sign(area.sum(axis=2, keepdims=True))
    y, x, i = np.nonzero(area * forward < 0)
    if not len(i):
        return
    corners = np.stack([np.zeros_like(i), i + 1, i + 2])
    px, py = x_pv[x, corners], y_pv[y, corners]
    top = (py.min(axis=0) - SUBPIXELS // 2) // SUBPIXELS
    bottom = (py.max(axis=0) - SUBPIXELS // 2) // SUBPIXELS
    for offset in range(int((bottom - top).max()) + 1):
        row = top + offset
        words = np.zeros(len(i), np.uint64)
        for a, b in ((0, 1), (1, 2), (2, 0)):
            start, count = _rows_crossed(py[a], py[b])
            crossing = _from_crossing_on(px[a], py[a], px[b], py[b], row)
            words ^= np.where((start <= row) & (row < start + count), crossing, np.uint64(0))
        drawn = words != 0
        np.bitwise_or.at(rows, (y[drawn] * SIDE + row[drawn], x[drawn]), words[drawn])


def _rows_crossed(
    first: Int[np.ndarray, " *s"], last: Int[np.ndarray, " *s"]
) -> tuple[Int[np.ndarray, " *s"], Int[np.ndarray, " *s"]]:
    """First row and number of rows whose centres an edge crosses, the bottom end included."""
    half = SUBPIXELS // 2
    top, bottom = np.minimum(first, last), np.maximum(first, last)
    start = (top - half) // SUBPIXELS + 1
    return start, (bottom - half) // SUBPIXELS + 1 - start


def _from_crossing_on(
    x0: Int[np.ndarray, ...],
    y0: Int[np.ndarray, ...],
    x1: Int[np.ndarray, ...],
    y1: Int[np.ndarray, ...],
    row: Int[np.ndarray, ...],
) -> UInt64[np.ndarray, ...]:
    """Pixels of a row whose centres are on or to the right of an edge."""
    half = SUBPIXELS // 2
    rise = np.where(y1 == y0, 1, y1 - y0)
    run = (row * SUBPIXELS + half - y0) * (x1 - x0)
    # ceil(a/b) = −floor(−a/b), exact for either sign of b in integers.
    crossing = x0 - (-run) // rise
    column = np.clip(-((half - crossing) // SUBPIXELS), 0, SIDE - 1).astype(np.uint64)
    return np.uint64(0xFFFF_FFFF_FFFF_FFFF) >> column


def _concatenated_ranges(repeats: Int[np.ndarray, " e"]) -> Int[np.ndarray, " n"]:
    """Concatenate 0 … r−1 for each r of `repeats`."""
    ends = np.cumsum(repeats)
    return np.arange(ends[-1]) - np.repeat(ends - repeats, repeats)
