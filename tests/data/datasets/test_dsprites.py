"""The dataset: known totals, the cache, and the official archive in its published layout."""

import dataclasses
import hashlib
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

import unbraid
from unbraid.data.datasets import dsprites, dsprites_official
from unbraid.data.images import ImageTable
from unbraid.errors import UserError


def on_pixels(table: ImageTable) -> np.ndarray:
    """Pixels on, by image."""
    parts = np.array_split(table.bits, 720)
    return np.concatenate([np.bitwise_count(part).sum(axis=1) for part in parts])


def test_the_published_total_and_the_areas(table: ImageTable) -> None:
    on = on_pixels(table)
    assert len(on) == 737_280
    # The published mean of the archive is 0.042494423521889584 over 737,280·4,096 pixels.
    assert int(on.sum()) == 128_328_862 == round(0.042494423521889584 * 737_280 * 4_096)
    by_shape_scale = on.reshape(3, 6, -1)
    assert by_shape_scale.sum(axis=(1, 2)).tolist() == [53_612_874, 42_070_960, 32_645_028]
    areas = [
        [92.2, 132.7, 180.6, 236.0, 298.7, 368.7],
        [72.3, 104.1, 141.8, 185.2, 234.3, 289.3],
        [56.1, 80.8, 110.0, 143.7, 181.8, 224.5],
    ]
    assert np.abs(by_shape_scale.mean(axis=2) - areas).max() <= 0.0501


def test_no_sprite_leaves_its_frame(table: ImageTable) -> None:
    union = np.unpackbits(np.bitwise_or.reduce(table.bits, axis=0)).reshape(64, 64)
    assert not union[[0, 1, 62, 63]].any()
    assert not union[:, [0, 1, 62, 63]].any()


def test_first_and_last_orientation_are_the_same(table: ImageTable) -> None:
    by_orientation = table.bits.reshape(18, 40, 1024, 512)
    assert (by_orientation[:, 0] == by_orientation[:, 39]).all()


def test_images_by_index_are_the_rendered_ones(
    table: ImageTable, frames: dict[str, np.ndarray]
) -> None:
    index = table.factors.index_of(frames["factors"])
    images = table.images(index)
    assert images.shape == (320, 1, 64, 64)
    assert images.dtype == np.uint8
    assert (images[:, 0] == frames["frames"]).all()


def test_the_stored_bits_are_the_reference(table: ImageTable, cache: Path) -> None:
    metadata = json.loads((cache / "dsprites-rendered.json").read_text())
    assert metadata["sha256"] == dsprites.RENDERED_SHA256
    assert isinstance(unbraid.load("dsprites").factors, unbraid.FactorSpace)


def test_a_memory_map_is_pickled_by_its_name(table: ImageTable) -> None:
    pickled = pickle.dumps(table)
    assert len(pickled) < 2_000
    assert isinstance(pickle.loads(pickled).bits, np.memmap)
    index = np.arange(0, len(table), 50_000)
    assert np.array_equal(pickle.loads(pickled).images(index), table.images(index))
    part = dataclasses.replace(table, bits=table.bits[5:9])
    assert np.array_equal(pickle.loads(pickle.dumps(part)).bits, part.bits)


def test_unknown_names_and_values_are_refused() -> None:
    with pytest.raises(UserError, match="data=shapes: unknown dataset; set `data` to dsprites"):
        unbraid.load("shapes")
    with pytest.raises(UserError, match="scale=7 to 7"):
        dsprites.render(*np.array([[0, 7, 0, 0, 0]]).T)


@pytest.mark.parametrize("damage", ["truncated", "changed", "metadata"])
def test_a_damaged_cache_is_refused(
    damage: str, table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNBRAID_CACHE", str(tmp_path))
    bits = np.array(table.bits[:1000])
    stored = tmp_path / "dsprites-rendered.bits"
    bits.tofile(stored)
    metadata = stored.with_suffix(".json")
    metadata.write_text(json.dumps({"sha256": hashlib.sha256(bits.tobytes()).hexdigest()}))
    if damage == "truncated":
        with stored.open("r+b") as file:
            file.truncate(512 * 999)
    elif damage == "changed":
        bits[500, 100] ^= 1
        bits.tofile(stored)
    else:
        metadata.write_text("{")
    with pytest.raises(UserError, match="unbraid data dsprites --again"):
        unbraid.load("dsprites")


class OfficialArchive:
    """An archive in the official layout: the rendered images, two of them changed."""

    def __init__(self, table: ImageTable, folder: Path, kind: str, outlines: int) -> None:
        bits = np.array(table.bits[: 1024 * outlines])
        items = [len(bits) * 3 // 8, len(bits) - 1]
        bits[items[0], 0] ^= 0b1000_0000
        bits[items[1], 80] ^= 0b1110_0000
        self.changed = np.unpackbits(bits[items], axis=1).reshape(-1, 64, 64)
        self.items, self.shape = np.array(items), (len(bits), 64, 64)
        self.path = folder / f"archive.{kind}"
        # In parts, since all unpacked images would be 3 GB.
        parts = (np.unpackbits(p, axis=1).reshape(-1, 64, 64) for p in np.split(bits, outlines))
        if kind == "npz":
            self._write_npz(parts)
        else:
            with h5py.File(self.path, "w") as file:
                shape, chunks = self.shape, (1024, 64, 64)
                images = file.create_dataset(
                    "imgs", shape, np.uint8, chunks=chunks, compression="lzf"
                )
                for number, part in enumerate(parts):
                    images[number * 1024 : (number + 1) * 1024] = part
        with self.path.open("rb") as file:
            self.hash = hashlib.file_digest(file, "sha1" if kind == "npz" else "sha256").hexdigest()

    def _write_npz(self, parts: Iterator[np.ndarray]) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open("imgs.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for part in parts:
                    file.write(part.tobytes())
            with archive.open("latents_classes.npy", "w") as file:
                np.save(file, np.zeros((1, 6), np.int64))


@pytest.mark.parametrize(
    ("sizes", "listed"),
    [
        # 1,536 = ((0·1 + 0)·4 + 1)·1,024 + 16·32 + 0.
        ((1, 1, 4, 32, 32), ["1536,0,0,1,16,0,1", "4095,0,0,3,31,31,3"]),
        # 276,480 = ((1·6 + 0)·40 + 30)·1,024 + 0·32 + 0.
        pytest.param(
            (3, 6, 40, 32, 32),
            ["276480,1,0,30,0,0,1", "737279,2,5,39,31,31,3"],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["first four outlines", "all"],
)
@pytest.mark.parametrize("kind", ["npz", "hdf5"])
def test_the_official_archive_is_compared_and_then_used(
    kind: str,
    sizes: tuple[int, ...],
    listed: list[str],
    table: ImageTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    factors = dataclasses.replace(dsprites.FACTORS, sizes=sizes)
    number = len(factors) // 1024
    archive = OfficialArchive(table, tmp_path, kind, number)
    monkeypatch.setenv("UNBRAID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(dsprites_official, "OFFICIAL_SHA1_NPZ", archive.hash)
    monkeypatch.setattr(dsprites_official, "OFFICIAL_SHA256_HDF5", archive.hash)
    for module in (dsprites, dsprites_official):
        monkeypatch.setattr(module, "FACTORS", factors)
    monkeypatch.setattr(dsprites_official, "NUM_OUTLINES", number)
    text = dsprites_official.prepare(archive.path)
    assert f"2 of {len(factors):,} images differ" in text
    last, *values = listed[1].split(",")
    described = ", ".join(map(" ".join, zip(factors.names, values[:5], strict=True)))
    assert f"image {last} ({described}): 3 pixel" in text
    written = (tmp_path / "cache" / "dsprites-differences.csv").read_text().splitlines()
    assert written == ["item,shape,scale,orientation,posX,posY,pixels", *listed]
    used = unbraid.load("dsprites")
    assert (used.images(archive.items)[:, 0] == archive.changed).all()
    (tmp_path / "cache" / "dsprites-official.bits").write_bytes(b"")
    with pytest.raises(UserError, match="store the archive again"):
        unbraid.load("dsprites")


def test_another_file_is_not_the_official_archive(tmp_path: Path) -> None:
    fake = tmp_path / "dsprites.npz"
    fake.write_bytes(b"not it")
    with pytest.raises(
        UserError, match=r"its SHA1 is .*, but that of the official archive is 3e0a46a9"
    ):
        dsprites_official.store(fake)
    with pytest.raises(UserError, match="cannot be read"):
        dsprites_official.store(tmp_path / "absent.npz")
