"""Published datasets, read from small files in their official formats."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tests.data.official import RELEASES, Small

from unbraid.data import DATASETS, PUBLISHED, load
from unbraid.data.downloads import RemoteFile
from unbraid.errors import UserError


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNBRAID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest, tmp_path: Path, cached: Path) -> tuple[Path, Small]:
    """A folder of official files, and their expected content."""
    folder = tmp_path / "official"
    folder.mkdir()
    return folder, RELEASES[request.param](folder)


def test_every_format_has_a_release() -> None:
    """Every reader is tested: several datasets can share one."""
    readers = {info.read for info in PUBLISHED.values()}
    assert readers == {PUBLISHED[name].read for name in RELEASES}


def test_the_right_layout_becomes_a_table(release: tuple[Path, Small]) -> None:
    folder, (info, images, factors, tolerance) = release
    text = info.prepare(folder)
    assert info.licence in text
    assert info.homepage in text
    table = info.load()
    assert table.shape == info.shape
    assert len(table) == len(images)
    assert table.depth == 8
    assert isinstance(table.bits, np.memmap)
    found = table.images(np.arange(len(table)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found * 255, images, atol=tolerance + 1e-3)
    assert np.array_equal(table.factors.factors_of(np.arange(len(table))), factors)
    # The files are not needed any more.
    assert info.prepare() == text
    assert info.load().fingerprint == table.fingerprint != ""


def test_a_file_with_another_digest_is_refused(release: tuple[Path, Small]) -> None:
    folder, (info, *_) = release
    file = folder / info.files[0].name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(
        UserError, match=r"its SHA256 is .*, but that of the official file is"
    ) as raised:
        info.prepare(folder)
    assert "\n" not in str(raised.value)
    assert not info.table_path.exists()


def test_a_truncated_file_is_refused(release: tuple[Path, Small]) -> None:
    """By its size, or by its reader if the size is unknown."""
    folder, (info, *_) = release
    file = folder / info.files[0].name
    file.write_bytes(file.read_bytes()[:-600] if file.suffix == ".tar" else file.read_bytes()[:-40])
    with pytest.raises(UserError, match="bytes, but the official file has"):
        info.prepare(folder)
    if file.suffix == ".tar":  # the last bytes of a tar file are padding
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    unknown = tuple(RemoteFile(remote.name, ()) for remote in info.files)
    with pytest.raises(
        UserError, match=r"truncated|damaged|not the official release|not a readable \.npz"
    ) as (raised):
        dataclasses.replace(info, files=unknown).prepare(folder)
    assert "\n" not in str(raised.value)
    assert not info.table_path.exists()


def test_another_number_of_images_is_refused(release: tuple[Path, Small]) -> None:
    folder, (info, *_) = release
    grid = info.factors
    more = dataclasses.replace(grid, sizes=(*grid.sizes[:-1], 5)) if grid else None
    other = dataclasses.replace(info, images=len(more) if more else 99, factors=more)
    with pytest.raises(
        UserError, match=r"not the official release \(.*\); download it from"
    ) as raised:
        other.prepare(folder)
    assert "\n" not in str(raised.value)
    assert not info.table_path.exists()


def test_labels_in_another_order_than_the_grid_are_refused(tmp_path: Path, cached: Path) -> None:
    info = RELEASES["shapes3d"](tmp_path).info
    assert info.factors is not None
    turned = dataclasses.replace(info.factors, sizes=(2, 1, 2, 1, 3, 2))
    with pytest.raises(UserError, match="labels that do not run through the grid"):
        dataclasses.replace(info, factors=turned).prepare(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path, cached: Path) -> None:
    with pytest.raises(UserError, match=r"list_attr_celeba\.txt"):
        PUBLISHED["celeba"].prepare(tmp_path)


@pytest.mark.parametrize("name", PUBLISHED)
def test_dataset_infos_are_consistent(name: str, cached: Path) -> None:
    info = PUBLISHED[name]
    assert info.name == name
    if info.factors is not None:
        assert len(info.factors) == info.images
    else:
        assert info.labels
    for remote in info.files:
        algorithm, _, digest = remote.digest.partition(":")
        lengths = {"sha256": 64, "md5": 32, "": 0}
        assert len(digest) == lengths[algorithm]
    with pytest.raises(UserError, match=f"download it first with: unbraid data {name}"):
        load(name)


def test_non_commercial_licences_are_marked() -> None:
    for name in ("celeba", "smallnorb"):
        assert PUBLISHED[name].licence.startswith("NON-COMMERCIAL")


def test_the_documentation_lists_every_dataset() -> None:
    text = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
    for name in DATASETS:
        assert f"`{name}`" in text, name
    for info in PUBLISHED.values():
        assert info.homepage in text, info.name
        assert info.to_verify in text, info.name
