"""Custom datasets from folders: any format, any size, grey or colour, damaged files skipped."""

import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import unbraid
from unbraid.data import canonical_name, describe, folder
from unbraid.data.custom import parse
from unbraid.data.image_files import UnreadableError, decode
from unbraid.errors import UserError

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNBRAID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def save(file: Path, pixels: np.ndarray, **options: Any) -> np.ndarray:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **options)
    return pixels


def grey(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, size=(height, width), dtype=np.uint8)


def test_images_of_one_size_keep_their_size(tmp_path: Path) -> None:
    pictures = tmp_path / "flat"
    saved = [save(pictures / f"{n}.png", grey(30, 45)) for n in (2, 10, 1)]
    table = unbraid.load(f"folder:{pictures}")
    assert table.shape == (1, 30, 45)
    assert isinstance(table.bits, np.memmap)
    assert table.bits.nbytes == 3 * 30 * 45
    # In the order of their names.
    expected = np.stack([saved[2], saved[1], saved[0]])[:, None]
    assert np.array_equal(np.round(table.images(np.arange(3)) * 255), expected)
    assert table.factors.names == ()
    assert table.factors.factors_of(np.arange(3)).shape == (3, 0)
    text = describe(f"folder:{pictures}") or ""
    assert "3 images, grey, 30×45 (original size)" in text
    assert "labels: none, as all images are in one folder" in text
    sent = pickle.dumps(table)
    assert len(sent) < 2_000
    assert np.array_equal(pickle.loads(sent).images(np.array([1])), table.images(np.array([1])))


def test_subfolders_are_the_factor_folder(tmp_path: Path) -> None:
    for name in ("b/2.png", "a/3.jpg", "a/deep/1.png"):
        save(tmp_path / "nested" / name, grey(32, 32))
    table = unbraid.load(f"folder:{tmp_path / 'nested'}")
    assert table.factors.names == ("folder",)
    assert table.factors.label == "folder"
    assert table.factors.sizes == (3,)
    assert table.factors.factors_of(np.arange(3))[:, 0].tolist() == [0, 1, 2]
    assert "with 3 values (a, a/deep, b)" in (describe(table.name) or "")


def test_images_of_several_sizes_are_cropped_and_resized(tmp_path: Path) -> None:
    """A red square at the centre of a wide image stays centred and square."""
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[25:75, 125:175] = (255, 0, 0)
    save(tmp_path / "mixed" / "a.png", wide)
    save(tmp_path / "mixed" / "b.png", np.full((40, 20), 128, np.uint8))
    name = f"folder:{tmp_path / 'mixed'}"
    table = unbraid.load(name)
    assert table.shape == (3, 64, 64)
    red, middle = table.images(np.array([0, 1]))
    assert red[:, 20:44, 20:44].mean(axis=(1, 2)) == pytest.approx([1, 0, 0], abs=0.01)
    assert red[:, :12].max() == red[:, :, :12].max() == 0
    np.testing.assert_allclose(middle, 128 / 255, atol=1e-6)
    text = describe(name) or ""
    assert "2 sizes (40×20 to 100×300), cropped to a centred square and resized" in text
    assert "for another side use folder:PATH,size=N" in text
    assert unbraid.load(f"{name},size=28").shape == (3, 28, 28)


def test_small_images_of_one_size_are_enlarged(tmp_path: Path) -> None:
    save(tmp_path / "small" / "a.png", grey(8, 8))
    table = unbraid.load(f"folder:{tmp_path / 'small'}")
    assert table.shape == (1, 64, 64)
    assert "8×8, resized to 64×64" in (describe(table.name) or "")


def test_broken_files_are_listed_and_skipped(tmp_path: Path, cached: Path) -> None:
    pictures = tmp_path / "broken"
    good = save(pictures / "good.png", grey(64, 64))
    save(pictures / "cut.png", grey(64, 64))
    cut = pictures / "cut.png"
    cut.write_bytes(cut.read_bytes()[:-2_000])
    (pictures / "fake.jpg").write_text("<svg onload=alert(1)>")
    (pictures / "empty.png").write_bytes(b"")
    # Pillow would start a program to read it.
    (pictures / "eps.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (pictures / "page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (pictures / "lost.png").symlink_to(pictures / "nowhere.png")
    (pictures / "notes.txt").write_text("not an image")
    (pictures / ".hidden.png").write_text("nor this")
    table = unbraid.load(f"folder:{pictures}")
    assert len(table) == 1
    assert np.array_equal(np.round(table.images(np.array([0]))[0, 0] * 255), good)
    text = describe(table.name) or ""
    assert "skipped 5 unreadable files, listed in" in text
    assert "fake.jpg: not an image in a supported format" in text
    assert "ignored 2 files that are not images" in text
    listed = next(cached.glob("*.skipped.tsv")).read_text().splitlines()
    assert [line.split("\t")[0] for line in listed] == [
        "cut.png",
        "empty.png",
        "eps.png",
        "fake.jpg",
        "lost.png",
    ]


def test_files_are_decoded_again_only_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = tmp_path / "changing"
    for n in range(3):
        save(pictures / f"{n}.png", grey(28, 28))
    first = unbraid.load(f"folder:{pictures}").fingerprint
    with monkeypatch.context() as patch:
        patch.setattr(folder, "decode", lambda *_, **__: pytest.fail("decoded again"))
        assert unbraid.load(f"folder:{pictures}").fingerprint == first
    # A new modification time alone: decoded again, with the same result.
    os.utime(pictures / "1.png", (1, 1))
    assert unbraid.load(f"folder:{pictures}").fingerprint == first
    save(pictures / "1.png", grey(28, 28))
    assert unbraid.load(f"folder:{pictures}").fingerprint != first


def test_a_table_of_version_0_1_is_not_decoded_again(
    tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its metadata are written here as version 0.1 wrote them."""
    image = save(tmp_path / "x" / "a.png", grey(28, 30))
    custom = parse(f"folder:{tmp_path / 'x'}")
    assert custom is not None
    status = (tmp_path / "x" / "a.png").stat()
    entry = json.dumps(["a.png", status.st_size, status.st_mtime_ns])
    metadata = {
        "source": custom.name,
        "listing": hashlib.sha256(f"1 None{entry}".encode()).hexdigest(),
        "plan": "grey, 28×30 as they are",
        "others": 0,
        "images": 1,
        "depth": 8,
        "shape": [1, 28, 30],
        "skipped": [],
        "folders": ["."],
        "sha256": hashlib.sha256(image.tobytes()).hexdigest(),
    }
    cached.mkdir()
    custom.table_path.write_bytes(image.tobytes())
    custom.table_path.with_suffix(".json").write_text(json.dumps(metadata))
    monkeypatch.setattr(folder, "decode", lambda *_, **__: pytest.fail("decoded again"))
    table = unbraid.load(custom.name)
    assert np.array_equal(np.round(table.images(np.array([0]))[0, 0] * 255), image)
    assert "1 images, grey, 28×30" in (describe(custom.name) or "")


def test_a_damaged_table_is_refused(tmp_path: Path, cached: Path) -> None:
    save(tmp_path / "x" / "a.png", grey(28, 28))
    unbraid.load(f"folder:{tmp_path / 'x'}")
    stored = next(cached.glob("*.bits"))
    stored.write_bytes(bytes(28 * 28))
    with pytest.raises(
        UserError, match=r"damaged, as its SHA-256 is .*; delete .* to decode the images again"
    ):
        unbraid.load(f"folder:{tmp_path / 'x'}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder:nowhere", "no such folder; set `data` to folder:"),
        ("folder:", "data=folder:: the path is missing; set `data` to folder:PATH"),
        ("folder:empty", "must contain image files"),
        ("folder:broken", "none of its 1 images can be read"),
        ("folder:empty,size=27", "size=27: the size must be between 28 and 256 pixels"),
        ("folder:empty,size=big", "size=big: the size must be between 28 and 256"),
        ("files:empty", "data=files:empty: unknown dataset; set `data` to dsprites"),
    ],
)
def test_invalid_names_and_folders_are_refused(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.png").write_text("x")
    with pytest.raises(UserError, match=message) as raised:
        unbraid.load(name)
    assert "\n" not in str(raised.value)


def test_a_canonical_name_has_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert canonical_name("folder:some,size=32") == f"folder:{tmp_path}/some,size=32"
    assert canonical_name("folder:a,b") == f"folder:{tmp_path}/a,b"
    assert canonical_name("dsprites") == "dsprites"
    custom = parse("folder:some")
    assert custom is not None
    assert custom.table_path.name.startswith("folder-some-")


def test_all_modes_are_decoded(tmp_path: Path) -> None:
    """16 bits, transparency, palettes and images that EXIF rotates."""
    file = tmp_path / "x.png"
    save(file, np.array([[0, 257, 65535]], np.uint16))
    assert decode(file, 1, 3, grey=True).tolist() == [[[0, 1, 255]]]
    save(file, np.array([[[200, 100, 50, 0], [200, 100, 50, 255]]], np.uint8))
    assert decode(file, 1, 2, grey=False)[:, 0].T.tolist() == [[0, 0, 0], [200, 100, 50]]
    Image.fromarray(np.array([[[9, 8, 7], [1, 2, 3]]], np.uint8)).quantize(2).save(file)
    assert decode(file, 1, 2, grey=False)[:, 0].T.tolist() == [[9, 8, 7], [1, 2, 3]]
    rotated = Image.Exif()
    rotated[0x0112] = 6
    save(file, np.array([[10, 200]], np.uint8), exif=rotated)
    assert decode(file, 2, 1, grey=True)[0].tolist() == [[10], [200]]
    Image.fromarray(np.array([[0.5]], np.float32)).save(tmp_path / "x.tiff")
    with pytest.raises(UnreadableError, match="floating-point pixels"):
        decode(tmp_path / "x.tiff", 1, 1, grey=True)


def test_an_image_with_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    Image.new("1", (9_000, 8_000)).save(tmp_path / "bomb.png")
    with pytest.raises(UnreadableError, match="9,000×8,000 pixels, more than 64,000,000"):
        decode(tmp_path / "bomb.png", 64, 64, grey=True)
