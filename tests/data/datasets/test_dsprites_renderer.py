"""The renderer compared with real frames and with a triangle fan in exact arithmetic."""

import numpy as np
import pytest

from unbraid.data.datasets import dsprites
from unbraid.data.datasets.dsprites_renderer import (
    SIDE,
    SUBPIXELS,
    _draw_outline,
    _snap,
    rasterise,
    vertices,
)


def triangle_fan(x: list[int], y: list[int]) -> np.ndarray:
    """Reference: test every pixel centre in every triangle by three exact edge functions.

    A tie is broken by moving the centre a little to the right and, much less, up: left and bottom
    edges are inside, right and top edges are outside.
    """
    image = np.zeros((SIDE, SIDE), np.uint8)
    centre = np.arange(SIDE) * SUBPIXELS + SUBPIXELS // 2
    px, py = np.meshgrid(centre, centre)
    for i in range(1, len(x) - 1):
        corners = [(x[0], y[0]), (x[i], y[i]), (x[i + 1], y[i + 1])]
        area = (corners[1][0] - corners[0][0]) * (corners[2][1] - corners[0][1]) - (
            corners[2][0] - corners[0][0]
        ) * (corners[1][1] - corners[0][1])
        if area == 0:
            continue
        if area < 0:
            corners.reverse()
        inside = np.ones((SIDE, SIDE), bool)
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
            side = (bx - ax) * (py - ay) - (by - ay) * (px - ax)
            # Derivatives of `side` along the two moves that break a tie: right, then up.
            right, up = -(by - ay), -(bx - ax)
            inside &= (side > 0) | ((side == 0) & (up > 0 if up != 0 else right > 0))
        image |= inside.astype(np.uint8)
    return image


def unpacked(rows: np.ndarray) -> np.ndarray:
    return np.unpackbits(rows.astype(">u8").view(np.uint8)).reshape(SIDE, SIDE)


def test_every_real_frame_is_reproduced_exactly(frames: dict[str, np.ndarray]) -> None:
    drawn = dsprites.render(*frames["factors"].T)
    assert drawn.shape == (320, 64, 64)
    assert int((drawn != frames["frames"]).sum()) == 0


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_agrees_with_the_triangle_fan(shape: int) -> None:
    rng = np.random.default_rng(shape)
    for _ in range(60):
        scale, orientation, x, y = (int(rng.integers(n)) for n in (6, 40, 32, 32))
        x_pv, y_pv = vertices(shape, scale, orientation)
        expected = triangle_fan(x_pv[x].tolist(), y_pv[y].tolist())
        drawn = unpacked(rasterise(shape, scale, orientation)[x, y])
        assert (drawn == expected).all(), (shape, scale, orientation, x, y)


def test_vertices_are_rounded_twice_in_float32_around_the_centre_of_the_image() -> None:
    """Device coordinates (p − 32)/32 divide by a power of two, which rounds nothing.

    So what remains of the vertex pipeline is p − 32, rounded, plus 32, rounded. Another centre or a
    divisor that is not a power of two would change images of the dataset.
    """
    pixels = np.random.default_rng(0).uniform(2, 62, (1_000, 100))
    # Points within a rounding error of half a unit, where every operation matters.
    pixels = np.rint(pixels * 256) / 256 + 1 / 512 + np.linspace(-4e-6, 4e-6, 100)
    centre = np.float32(32)
    window = (pixels.astype(np.float32) - centre) + centre
    assert (_snap(pixels) == np.rint(window * np.float32(256))).all()


@pytest.mark.parametrize(
    ("scale", "orientation", "x", "y", "row"),
    [
        (1, 8, 27, 27, 45),
        (1, 31, 4, 27, 45),
        (3, 16, 17, 8, 27),
        (3, 21, 18, 24, 44),
        (3, 23, 14, 8, 27),
    ],
)
def test_a_backward_triangle_fills_the_pixel_that_the_outline_leaves_out(
    scale: int, orientation: int, x: int, y: int, row: int
) -> None:
    """These five hearts are the only images of the dataset with such a pixel."""
    x_pv, y_pv = vertices(2, scale, orientation)
    whole = rasterise(2, scale, orientation)
    assert whole.shape == (32, 32, SIDE)
    expected = triangle_fan(x_pv[x].tolist(), y_pv[y].tolist())
    assert (unpacked(whole[x, y]) == expected).all()
    rows = np.zeros((32 * SIDE, 32), np.uint64)
    _draw_outline(rows, x_pv, y_pv)
    outline_only = rows.reshape(32, SIDE, 32).transpose(2, 0, 1)
    assert np.argwhere(whole != outline_only).tolist() == [[x, y, row]]


def test_backward_triangles_are_drawn() -> None:
    """Without them, five pixels of the hearts would be missing in the whole dataset."""
    missing = 0
    for scale in range(6):
        for orientation in range(40):
            x_pv, y_pv = vertices(2, scale, orientation)
            rows = np.zeros((32 * SIDE, 32), np.uint64)
            _draw_outline(rows, x_pv, y_pv)
            outline_only = rows.reshape(32, SIDE, 32).transpose(2, 0, 1)
            whole = rasterise(2, scale, orientation)
            missing += int(np.bitwise_count(whole & ~outline_only).sum())
            assert not (outline_only & ~whole).any()
    assert missing == 5


def test_edges_by_hand() -> None:
    """The upright square of the largest scale (k = 1) at x = 0 extends from 6.4 to 25.6 pixels.

    Columns 6…25 have their centres at 6.5…25.5, inside (6.4, 25.6): 20 pixels a side.
    """
    image = dsprites.render(*np.array([[0, 5, 0, 0, 0]]).T)[0]
    assert image.sum() == 400
    assert image[6:26, 6:26].all()
