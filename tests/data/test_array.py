"""Custom datasets from arrays, with and without labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unbraid
from unbraid.data import describe
from unbraid.errors import UserError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, size=(5, 28, 40), dtype=np.uint8)
LABELS = np.array([[0, 7], [1, 7], [0, -2], [2, 9], [2, 9]])


@pytest.fixture(autouse=True)
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNBRAID_CACHE", str(tmp_path / "cache"))


def save(folder: Path, **arrays: Any) -> str:
    np.savez_compressed(folder / "custom.npz", **arrays)
    return f"array:{folder / 'custom.npz'}"


@pytest.mark.parametrize(
    ("images", "depth", "values"),
    [
        (GREY, 8, GREY[:, None] / 255),
        (GREY > 99, 1, (GREY > 99)[:, None]),
        ((GREY > 99).astype(np.uint8), 1, (GREY > 99)[:, None]),
        ((GREY / 255).astype(np.float32), 8, GREY[:, None] / 255),
        (GREY[..., None], 8, GREY[:, None] / 255),
        (np.stack([GREY] * 3, axis=3), 8, np.stack([GREY] * 3, axis=1) / 255),
        (RNG.random((2, 45, 30)) > 0.5, 1, None),
    ],
)
def test_images_of_every_type(
    images: np.ndarray, depth: int, values: np.ndarray | None, tmp_path: Path
) -> None:
    table = unbraid.load(save(tmp_path, images=images))
    assert table.depth == depth
    assert table.shape[1:] == images.shape[1:3]
    found = table.images(np.arange(len(images)))
    np.testing.assert_allclose(found, images[:, None] if values is None else values, atol=1e-6)
    assert table.bits.nbytes == len(images) * -(-found[0].size * depth // 8)
    assert table.factors.names == ()


def test_factors_need_not_form_a_grid(tmp_path: Path) -> None:
    name = save(tmp_path, images=GREY, factors=LABELS, names=["shape", "size"])
    factors = unbraid.load(name).factors
    assert (factors.names, factors.sizes, factors.label) == (("shape", "size"), (3, 3), "shape")
    assert np.array_equal(factors.factors_of(np.arange(5)), LABELS)
    assert factors.index_of(np.array([[2, 9], [0, -2]])).tolist() == [3, 2]
    assert "labels: shape, size (discrete codes are scored against shape)" in (describe(name) or "")
    with pytest.raises(UserError, match="factors=shape 1, size 9: no item has this combination"):
        factors.index_of(np.array([[1, 9]]))


def test_samples_are_rows_of_the_table(tmp_path: Path) -> None:
    factors = unbraid.load(save(tmp_path, images=GREY, factors=LABELS)).factors
    assert factors.names == ("factor 0", "factor 1")
    assert factors.label is None
    rng = np.random.default_rng(0)
    sample = factors.sample_fixed(50, "factor 1", 9, rng)
    assert np.unique(sample, axis=0).tolist() == [[2, 9]]
    assert set(map(tuple, factors.sample(200, rng))) == set(map(tuple, LABELS))
    with pytest.raises(UserError, match="factor 1=8: no item has this value"):
        factors.sample_fixed(1, "factor 1", 8, rng)


def test_the_label_is_the_only_factor_or_the_named_one(tmp_path: Path) -> None:
    single = {"images": GREY, "factors": LABELS[:, :1]}
    assert unbraid.load(save(tmp_path, **single, names=["kind"])).factors.label == "kind"
    both = {"images": GREY, "factors": LABELS, "names": ["kind", "size"]}
    assert unbraid.load(save(tmp_path, **both)).factors.label is None
    assert unbraid.load(save(tmp_path, **both, label="size")).factors.label == "size"


def test_the_archive_is_read_again_after_a_change(tmp_path: Path) -> None:
    first = unbraid.load(save(tmp_path, images=GREY))
    again = unbraid.load(save(tmp_path, images=GREY[::-1], factors=LABELS))
    assert again.fingerprint != first.fingerprint
    other = unbraid.load(save(tmp_path, images=GREY[::-1], factors=LABELS + 1))
    assert other.fingerprint != again.fingerprint


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": GREY}, "must contain an array named images; it contains pictures"),
        ({"images": GREY[0]}, r"images must be of shape N×H×W .* from \(28, 40\)"),
        ({"images": np.stack([GREY] * 2, axis=3)}, "with 1 or 3 channels"),
        ({"images": GREY[:0]}, r"from \(0, 28, 40\)"),
        (
            {"images": GREY[:, :20]},
            "sides of images must be 28 to 256 pixels; resize them from 20×40",
        ),
        ({"images": GREY.astype(np.int64)}, "must be uint8, bool or floats .* from int64"),
        ({"images": GREY / 200}, r"must be in \[0, 1\]; rescale them from \[0"),
        ({"images": np.full((2, 28, 28), np.nan)}, r"must be in \[0, 1\]"),
        (
            {"images": GREY, "factors": LABELS[:3]},
            r"factors must be integers of shape 5×F, not int64 of shape \(3, 2\)",
        ),
        ({"images": GREY, "factors": LABELS / 2}, "must be integers of shape 5×F, not float64"),
        ({"images": GREY, "factors": LABELS, "names": ["a"]}, "names=a: must be 2 different names"),
        (
            {"images": GREY, "factors": LABELS, "label": "b"},
            "factor=b: no such factor; pass one of factor 0",
        ),
        ({"images": np.array([{}] * 3)}, r"from \(3,\)"),
    ],
)
def test_invalid_arrays_are_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    name = save(tmp_path, **arrays)
    with pytest.raises(UserError, match=message) as raised:
        unbraid.load(name)
    assert "\n" not in str(raised.value)


def test_an_unreadable_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        unbraid.load(f"array:{tmp_path / 'nowhere.npz'}")
    (tmp_path / "x.npz").write_bytes(b"not one")
    with pytest.raises(UserError, match=r"not a readable \.npz archive"):
        unbraid.load(f"array:{tmp_path / 'x.npz'}")
    name = save(tmp_path, images=GREY)
    archive = tmp_path / "custom.npz"
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 255
    archive.write_bytes(data)
    with pytest.raises(UserError, match="truncated or damaged"):
        unbraid.load(name)


@pytest.mark.parametrize("damage", ["changed", "cut", "lost"])
def test_damaged_labels_are_refused(damage: str, tmp_path: Path) -> None:
    name = save(tmp_path, images=GREY, factors=LABELS)
    unbraid.load(name)
    file = next((tmp_path / "cache").glob("*.labels.npy"))
    data = bytearray(file.read_bytes())
    if damage == "changed":
        data[-1] ^= 1
        file.write_bytes(data)
    elif damage == "cut":
        file.write_bytes(data[:-3])
    else:
        file.unlink()
    with pytest.raises(UserError, match=r"delete .* to copy the images again") as raised:
        unbraid.load(name)
    assert "\n" not in str(raised.value)


def test_the_fingerprint_does_not_depend_on_the_type_of_the_labels(tmp_path: Path) -> None:
    first = unbraid.load(save(tmp_path, images=GREY, factors=LABELS.astype(np.int8)))
    again = unbraid.load(save(tmp_path, images=GREY, factors=LABELS))
    assert again.fingerprint == first.fingerprint
