"""Uploaded images: accepted formats, equality with training images, refusals before decoding."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import unbraid
from unbraid.errors import UserError
from unbraid.explore.upload import MAX_BYTES, read_image

GREY, COLOUR = (1, 64, 64), (3, 32, 48)


def bomb(path: Path, side: int) -> Path:
    """A PNG of side × side pixels, one bit each, all 0, in a few kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    compressor = zlib.compressobj(9)
    row = b"\0" * (side // 8 + 1)
    body = b"".join(compressor.compress(row) for _ in range(side)) + compressor.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    path.write_bytes(start + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


def save_example(kind: str, folder: Path) -> Path:
    """An image of random values, of one kind of file."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    shape = {"grey": (90, 130), "16 bits": (90, 130), "transparent": (90, 130, 4)}
    values = rng.integers(0, 256, shape.get(kind, (90, 130, 3)), dtype=np.uint8)
    if kind == "16 bits":
        values = rng.integers(0, 2**16, values.shape, dtype=np.uint16)
    path = folder / ("x.jpg" if kind in ("jpeg", "rotated") else "x.png")
    exif = Image.Exif()
    if kind == "rotated":
        exif[0x0112] = 6
    image = Image.fromarray(values)
    image = image.quantize(16) if kind == "palette" else image
    image.save(path, exif=exif)
    return path


@pytest.mark.parametrize("size", [64, 40])
@pytest.mark.parametrize(
    "kind", ["grey", "colour", "transparent", "rotated", "16 bits", "palette", "jpeg"]
)
def test_an_upload_equals_the_training_image_of_the_same_file(
    kind: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNBRAID_CACHE", str(tmp_path / "cache"))
    path = save_example(kind, tmp_path / "images")
    table = unbraid.load(f"folder:{path.parent},size={size}")
    trained = table.images(np.array([0]))[0]
    assert table.channels == (1 if kind in ("grey", "16 bits") else 3)
    uploaded = read_image(path, table.shape)
    assert uploaded.dtype == trained.dtype == np.float32
    assert np.array_equal(uploaded, trained)
    assert np.ptp(uploaded) > 0.2


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "bmp"])
@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_five_formats_are_read(kind: str, shape: tuple[int, int, int], tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    Image.new("RGB", (200, 150), (200, 200, 200)).save(path)
    picture = read_image(path, shape)
    assert picture.shape == shape
    assert picture.dtype == np.float32
    np.testing.assert_allclose(picture, 200 / 255, atol=0.02)


def test_the_centre_is_cropped_and_channels_are_first(tmp_path: Path) -> None:
    """Of three squares in a row, red, green and blue, the green one remains."""
    pixels = np.zeros((64, 192, 3), np.uint8)
    for i in range(3):
        pixels[:, 64 * i : 64 * (i + 1), i] = 255
    Image.fromarray(pixels).save(tmp_path / "x.png")
    picture = read_image(tmp_path / "x.png", (3, 64, 64))
    assert (picture[1] == 1).all()
    assert (picture[[0, 2]] == 0).all()


def test_transparent_pixels_are_black_and_rotated_photos_are_upright(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
    clear.paste((255, 255, 255, 255), (0, 0, 32, 64))
    clear.save(tmp_path / "x.png")
    picture = read_image(tmp_path / "x.png", GREY)
    assert (picture[0, :, :32] == 1).all()
    assert (picture[0, :, 32:] == 0).all()
    top = Image.new("L", (64, 64), 0)
    top.paste(255, (0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    top.save(tmp_path / "x.jpg", exif=exif, quality=95)
    picture = read_image(tmp_path / "x.jpg", GREY)
    assert picture[0, :28].max() < 0.1
    assert picture[0, 36:].min() > 0.9


def test_other_files_are_refused(tmp_path: Path) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/hostname"/></svg>'
    for name, content in (("x.png", b"hello"), ("x.svg", svg.encode()), ("x.gif", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            UserError, match=rf"^{name}: not an image in a supported format; upload a PNG"
        ):
            read_image(tmp_path / name, GREY)
    Image.new("L", (8, 8)).save(tmp_path / "x.tiff")
    Image.new("L", (8, 8)).save(tmp_path / "x.ppm")
    for name in ("x.tiff", "x.ppm"):
        with pytest.raises(UserError, match="not an image in a supported format"):
            read_image(tmp_path / name, GREY)


@pytest.mark.parametrize("side", [8_000, 11_000, 40_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int, tmp_path: Path) -> None:
    """Sizes below Pillow's warning, between its warning and its error, and above both."""
    path = bomb(tmp_path / "x.png", side)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(UserError, match=r"^x.png: .* more than 50,000,000"):
        read_image(path, GREY)


def test_a_compressed_text_that_is_too_large_is_refused(tmp_path: Path) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("x", "a" * 80_000_000, zip=True)
    Image.new("L", (8, 8)).save(tmp_path / "x.png", pnginfo=notes)
    with pytest.raises(UserError, match=r"^x\.png: "):
        read_image(tmp_path / "x.png", GREY)


def test_large_and_truncated_files_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(UserError, match=r"^x\.png: it has 10,240 MB; upload a .* of at most 10 MB"):
        read_image(tmp_path / "x.png", GREY)
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    for kind in ("png", "jpg", "webp", "gif", "bmp"):
        whole = tmp_path / f"whole.{kind}"
        Image.fromarray(noise).save(whole)
        assert whole.stat().st_size < MAX_BYTES
        cut = tmp_path / f"cut.{kind}"
        cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        with pytest.raises(UserError, match=rf"^cut.{kind}: [^\n]+$"):
            read_image(cut, GREY)


def test_an_error_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.png"
    path.write_bytes(b"x")
    with pytest.raises(UserError, match=r"^a\?b.png: not an image in a supported format; [^\n]*$"):
        read_image(path, GREY)
