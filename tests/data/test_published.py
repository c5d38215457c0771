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
    """A folder with official files, and what is in them."""
    folder = tmp_path / "official"
    folder.mkdir()
    return folder, RELEASES[request.param](folder)


def test_every_format_has_a_release() -> None:
    """Datasets of one reader differ in their facts alone."""
    readers = {facts.read for facts in PUBLISHED.values()}
    assert readers == {PUBLISHED[name].read for name in RELEASES}


def test_the_right_layout_becomes_a_table(release: tuple[Path, Small]) -> None:
    folder, (facts, images, factors, tolerance) = release
    text = facts.prepare(folder)
    assert facts.licence in text
    assert facts.homepage in text
    table = facts.load()
    assert table.shape == facts.shape
    assert len(table) == len(images)
    assert table.depth == 8
    assert isinstance(table.bits, np.memmap)
    found = table.images(np.arange(len(table)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found * 255, images, atol=tolerance + 1e-3)
    assert np.array_equal(table.factors.factors_of(np.arange(len(table))), factors)
    # From now on without the files, and the same again.
    assert facts.prepare() == text
    assert facts.load().fingerprint == table.fingerprint != ""


def test_another_file_is_refused_by_its_digest(release: tuple[Path, Small]) -> None:
    folder, (facts, *_) = release
    file = folder / facts.files[0].name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"its SHA256 is .* the official file's is") as raised:
        facts.prepare(folder)
    assert "\n" not in str(raised.value)
    assert not facts.stored.exists()


def test_a_file_cut_short_is_refused(release: tuple[Path, Small]) -> None:
    """By its size, and where none is known by its reader."""
    folder, (facts, *_) = release
    file = folder / facts.files[0].name
    file.write_bytes(file.read_bytes()[:-600] if file.suffix == ".tar" else file.read_bytes()[:-40])
    with pytest.raises(UserError, match="bytes, the official file has"):
        facts.prepare(folder)
    if file.suffix == ".tar":  # the end of a tar is padding
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    unknown = tuple(RemoteFile(remote.name, ()) for remote in facts.files)
    with pytest.raises(UserError, match=r"cut short|damaged|not the official release|no \.npz") as (
        raised
    ):
        dataclasses.replace(facts, files=unknown).prepare(folder)
    assert "\n" not in str(raised.value)
    assert not facts.stored.exists()


def test_other_numbers_of_images_are_refused(release: tuple[Path, Small]) -> None:
    folder, (facts, *_) = release
    grid = facts.factors
    more = dataclasses.replace(grid, sizes=(*grid.sizes[:-1], 5)) if grid else None
    other = dataclasses.replace(facts, images=len(more) if more else 99, factors=more)
    with pytest.raises(UserError, match="not the official release; get it from") as raised:
        other.prepare(folder)
    assert "\n" not in str(raised.value)
    assert not facts.stored.exists()


def test_labels_in_another_order_than_the_grid_are_refused(tmp_path: Path, cached: Path) -> None:
    facts = RELEASES["shapes3d"](tmp_path).facts
    assert facts.factors is not None
    turned = dataclasses.replace(facts.factors, sizes=(2, 1, 2, 1, 3, 2))
    with pytest.raises(UserError, match="labels that do not run through the grid"):
        dataclasses.replace(facts, factors=turned).prepare(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path, cached: Path) -> None:
    with pytest.raises(UserError, match=r"list_attr_celeba\.txt"):
        PUBLISHED["celeba"].prepare(tmp_path)


@pytest.mark.parametrize("name", PUBLISHED)
def test_facts_hold_together(name: str, cached: Path) -> None:
    facts = PUBLISHED[name]
    assert facts.name == name
    if facts.factors is not None:
        assert len(facts.factors) == facts.images
    else:
        assert facts.labels
    for remote in facts.files:
        algorithm, _, digest = remote.digest.partition(":")
        lengths = {"sha256": 64, "md5": 32, "": 0}
        assert len(digest) == lengths[algorithm]
    with pytest.raises(UserError, match=f"get it first: unbraid data {name}"):
        load(name)


def test_what_may_not_be_sold_says_so() -> None:
    for name in ("celeba", "smallnorb"):
        assert PUBLISHED[name].licence.startswith("NON-COMMERCIAL")


def test_the_documentation_has_every_dataset() -> None:
    text = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
    for name in DATASETS:
        assert f"`{name}`" in text, name
    for facts in PUBLISHED.values():
        assert facts.homepage in text, facts.name
        assert facts.check in text, facts.name
