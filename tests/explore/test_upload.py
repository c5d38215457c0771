"""Pictures from outside: what is taken, how it is cut, and what is refused before it is decoded."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from unbraid.errors import UserError
from unbraid.explore.upload import MOST_BYTES, read_picture

GREY, COLOUR = (1, 64, 64), (3, 32, 48)


def bomb(path: Path, side: int) -> Path:
    """A PNG of side × side pixels, one bit each, all 0: a few kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    press = zlib.compressobj(9)
    row = b"\0" * (side // 8 + 1)
    body = b"".join(press.compress(row) for _ in range(side)) + press.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    path.write_bytes(start + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "bmp"])
@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_five_formats_are_read(kind: str, shape: tuple[int, int, int], tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    Image.new("RGB", (200, 150), (200, 200, 200)).save(path)
    picture = read_picture(path, shape)
    assert picture.shape == shape
    assert picture.dtype == np.float32
    np.testing.assert_allclose(picture, 200 / 255, atol=0.02)


def test_the_middle_is_kept_and_channels_come_first(tmp_path: Path) -> None:
    """Three squares in a row, red, green and blue: the green one is left."""
    pixels = np.zeros((64, 192, 3), np.uint8)
    for i in range(3):
        pixels[:, 64 * i : 64 * (i + 1), i] = 255
    Image.fromarray(pixels).save(tmp_path / "x.png")
    picture = read_picture(tmp_path / "x.png", (3, 64, 64))
    assert (picture[1] == 1).all()
    assert (picture[[0, 2]] == 0).all()


def test_what_is_transparent_is_black_and_a_turned_photo_is_upright(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
    clear.paste((255, 255, 255, 255), (0, 0, 32, 64))
    clear.save(tmp_path / "x.png")
    picture = read_picture(tmp_path / "x.png", GREY)
    assert (picture[0, :, :32] == 1).all()
    assert (picture[0, :, 32:] == 0).all()
    top = Image.new("L", (64, 64), 0)
    top.paste(255, (0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    top.save(tmp_path / "x.jpg", exif=exif, quality=95)
    picture = read_picture(tmp_path / "x.jpg", GREY)
    assert picture[0, :28].max() < 0.1
    assert picture[0, 36:].min() > 0.9


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/hostname"/></svg>'
    for name, content in (("x.png", b"hello"), ("x.svg", svg.encode()), ("x.gif", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"^{name}: not a picture that is read here; give a"):
            read_picture(tmp_path / name, GREY)
    Image.new("L", (8, 8)).save(tmp_path / "x.tiff")
    Image.new("L", (8, 8)).save(tmp_path / "x.ppm")
    for name in ("x.tiff", "x.ppm"):
        with pytest.raises(UserError, match="not a picture that is read here"):
            read_picture(tmp_path / name, GREY)


@pytest.mark.parametrize("side", [8_000, 11_000, 40_000])
def test_a_bomb_is_refused_before_it_goes_off(side: int, tmp_path: Path) -> None:
    """Below Pillow's own warning, between it and its error, above both."""
    path = bomb(tmp_path / "x.png", side)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(UserError, match=r"x.png: .*; give a picture of 50,000,000 pixels or fewer"):
        read_picture(path, GREY)


def test_a_text_that_swells_is_refused(tmp_path: Path) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("x", "a" * 80_000_000, zip=True)
    Image.new("L", (8, 8)).save(tmp_path / "x.png", pnginfo=notes)
    with pytest.raises(UserError, match=r"^x\.png: "):
        read_picture(tmp_path / "x.png", GREY)


def test_what_is_too_large_or_cut_short_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(
        UserError, match=r"x\.png: it has 10,240 MB; give a picture of 10 MB or less"
    ):
        read_picture(tmp_path / "x.png", GREY)
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    for kind in ("png", "jpg", "webp", "gif", "bmp"):
        whole = tmp_path / f"whole.{kind}"
        Image.fromarray(noise).save(whole)
        assert whole.stat().st_size < MOST_BYTES
        cut = tmp_path / f"cut.{kind}"
        cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        with pytest.raises(UserError, match=rf"^cut.{kind}: [^\n]+$"):
            read_picture(cut, GREY)


def test_a_refusal_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.png"
    path.write_bytes(b"x")
    with pytest.raises(UserError, match=r"^a\?b.png: not a picture that is read here; [^\n]*$"):
        read_picture(path, GREY)
