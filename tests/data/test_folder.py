"""A folder of one's own images: any file, any size, grey or colour, broken ones left out."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import unbraid
from unbraid.data import canonical, folder, report
from unbraid.data.custom import parse
from unbraid.data.image_files import UnreadableError, decode
from unbraid.errors import UserError

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNBRAID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def save(file: Path, pixels: np.ndarray, **how: Any) -> np.ndarray:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **how)
    return pixels


def grey(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, size=(height, width), dtype=np.uint8)


def test_pictures_of_one_size_are_taken_as_they_are(tmp_path: Path) -> None:
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
    told = report(f"folder:{pictures}") or ""
    assert "3 images, grey, 30×45 as they are" in told
    assert "labels: none, as all lie in one folder" in told
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
    assert "of 3 values (a, a/deep, b)" in (report(table.name) or "")


def test_pictures_of_several_sizes_are_cut_and_resized(tmp_path: Path) -> None:
    """A white square in the middle of a wide picture stays in the middle, and square."""
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
    told = report(name) or ""
    assert "of 2 sizes (40×20 to 100×300), cut square around the centre and resized" in told
    assert "another side: folder:PATH,size=N" in told
    assert unbraid.load(f"{name},size=28").shape == (3, 28, 28)


def test_small_pictures_of_one_size_are_enlarged(tmp_path: Path) -> None:
    save(tmp_path / "small" / "a.png", grey(8, 8))
    table = unbraid.load(f"folder:{tmp_path / 'small'}")
    assert table.shape == (1, 64, 64)
    assert "8×8, resized to 64×64" in (report(table.name) or "")


def test_broken_files_are_listed_and_skipped(tmp_path: Path, cached: Path) -> None:
    pictures = tmp_path / "broken"
    good = save(pictures / "good.png", grey(64, 64))
    save(pictures / "cut.png", grey(64, 64))
    cut = pictures / "cut.png"
    cut.write_bytes(cut.read_bytes()[:-2_000])
    (pictures / "fake.jpg").write_text("<svg onload=alert(1)>")
    (pictures / "empty.png").write_bytes(b"")
    # What would start a program is no picture, whatever its name says.
    (pictures / "eps.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (pictures / "page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (pictures / "lost.png").symlink_to(pictures / "nowhere.png")
    (pictures / "notes.txt").write_text("not a picture")
    (pictures / ".hidden.png").write_text("nor this")
    table = unbraid.load(f"folder:{pictures}")
    assert len(table) == 1
    assert np.array_equal(np.round(table.images(np.array([0]))[0, 0] * 255), good)
    told = report(table.name) or ""
    assert "broken files skipped: 5, listed in" in told
    assert "fake.jpg: not a picture that Pillow knows" in told
    assert "files that are no images left out: 2" in told
    listed = next(cached.glob("*.skipped.tsv")).read_text().splitlines()
    assert [line.split("\t")[0] for line in listed] == [
        "cut.png",
        "empty.png",
        "eps.png",
        "fake.jpg",
        "lost.png",
    ]


def test_nothing_is_decoded_twice_and_a_change_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = tmp_path / "changing"
    for n in range(3):
        save(pictures / f"{n}.png", grey(28, 28))
    first = unbraid.load(f"folder:{pictures}").fingerprint
    with monkeypatch.context() as patch:
        patch.setattr(folder, "decode", lambda *_, **__: pytest.fail("decoded again"))
        assert unbraid.load(f"folder:{pictures}").fingerprint == first
    # Touched alone: decoded again, to the same.
    os.utime(pictures / "1.png", (1, 1))
    assert unbraid.load(f"folder:{pictures}").fingerprint == first
    save(pictures / "1.png", grey(28, 28))
    assert unbraid.load(f"folder:{pictures}").fingerprint != first


def test_a_damaged_table_is_refused(tmp_path: Path, cached: Path) -> None:
    save(tmp_path / "x" / "a.png", grey(28, 28))
    unbraid.load(f"folder:{tmp_path / 'x'}")
    stored = next(cached.glob("*.bits"))
    stored.write_bytes(bytes(28 * 28))
    with pytest.raises(UserError, match=r"its SHA-256 is .* delete .* first"):
        unbraid.load(f"folder:{tmp_path / 'x'}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder:nowhere", "no such folder; give the path"),
        ("folder:", "no path in it; give folder:PATH"),
        ("folder:empty", "no image in it; give a folder of"),
        ("folder:broken", "none of its 1 images can be read"),
        ("folder:empty,size=27", "size=27: networks take sides of 28 to 256 pixels"),
        ("folder:empty,size=big", "size=big: networks take sides of 28 to 256"),
        ("files:empty", "dataset 'files:empty': unknown; give one of dsprites"),
    ],
)
def test_what_cannot_be_taken_is_named(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.png").write_text("x")
    with pytest.raises(UserError, match=message) as raised:
        unbraid.load(name)
    assert "\n" not in str(raised.value)


def test_a_name_stands_for_the_same_folder_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert canonical("folder:some,size=32") == f"folder:{tmp_path}/some,size=32"
    assert canonical("folder:a,b") == f"folder:{tmp_path}/a,b"
    assert canonical("dsprites") == "dsprites"
    own = parse("folder:some")
    assert own is not None
    assert own.stored.name.startswith("folder-some-")


def test_every_mode_is_read(tmp_path: Path) -> None:
    """16 bits, transparency, palettes and pictures lying on their side."""
    file = tmp_path / "x.png"
    save(file, np.array([[0, 257, 65535]], np.uint16))
    assert decode(file, 1, 3, grey=True).tolist() == [[[0, 1, 255]]]
    save(file, np.array([[[200, 100, 50, 0], [200, 100, 50, 255]]], np.uint8))
    assert decode(file, 1, 2, grey=False)[:, 0].T.tolist() == [[0, 0, 0], [200, 100, 50]]
    Image.fromarray(np.array([[[9, 8, 7], [1, 2, 3]]], np.uint8)).quantize(2).save(file)
    assert decode(file, 1, 2, grey=False)[:, 0].T.tolist() == [[9, 8, 7], [1, 2, 3]]
    turned = Image.Exif()
    turned[0x0112] = 6
    save(file, np.array([[10, 200]], np.uint8), exif=turned)
    assert decode(file, 2, 1, grey=True)[0].tolist() == [[10], [200]]
    Image.fromarray(np.array([[0.5]], np.float32)).save(tmp_path / "x.tiff")
    with pytest.raises(UnreadableError, match="floating-point pixels"):
        decode(tmp_path / "x.tiff", 1, 1, grey=True)


def test_a_picture_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    Image.new("1", (9_000, 8_000)).save(tmp_path / "bomb.png")
    with pytest.raises(UnreadableError, match="9000×8000 pixels, more than 64 million"):
        decode(tmp_path / "bomb.png", 64, 64, grey=True)
