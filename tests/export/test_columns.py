"""Codes as columns: the same numbers as `encode`, with a row per image, in both formats."""

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from unbraid import metrics
from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.export import columns
from unbraid.runs import Run
from unbraid.runs.encode import encode, load_trained


@pytest.fixture
def subset(table: ImageTable) -> ImageTable:
    """The first images of dSprites; one factor has the name of a code's column."""
    space = dataclasses.replace(
        table.factors,
        names=("category", "scale", "orientation", "posX", "posY"),
        sizes=(1, 1, 1, 3, 32),
        label=None,
    )
    return dataclasses.replace(table, bits=np.array(table.bits[:96]), factors=space)


def copy(run: Run, to: Path) -> Run:
    """Copy a run without its cached codes."""
    shutil.copytree(run.path, to)
    shutil.rmtree(to / "codes", ignore_errors=True)
    return Run(to)


@pytest.mark.parametrize("name", ["cascade-vae", "vae", "qlae"])
@pytest.mark.parametrize("form", columns.FORMATS)
def test_both_formats_have_all_columns(
    name: str, form: str, tiny_runs: dict[str, Run], subset: ImageTable, tmp_path: Path
) -> None:
    run = copy(tiny_runs[name], tmp_path / "run")
    line = columns.write(run, subset, form)
    file = run.path / f"codes.{form}"
    assert line.startswith("96 images, ")
    assert line.endswith(f"written to {file}")
    if form == "npz":
        with np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
    else:
        read = parquet.read_table(file)
        arrays = {name: read[name].to_numpy() for name in read.column_names}
    codes = encode(load_trained(run, subset), subset)
    z = range(codes.mean.shape[1])
    expected = [f"mean_{i}" for i in z]
    expected += [f"std_{i}" for i in z] if codes.std is not None else []
    expected += ["category"] if codes.category is not None else []
    expected += ["factor_category", "scale", "orientation", "posX", "posY"]
    assert list(arrays) == expected
    for i in z:
        assert np.array_equal(arrays[f"mean_{i}"], codes.mean[:, i])
        if codes.std is not None:
            assert np.array_equal(arrays[f"std_{i}"], codes.std[:, i])
    if codes.category is not None:
        assert np.array_equal(arrays["category"], codes.category)
    assert np.array_equal(arrays["posX"] * 32 + arrays["posY"], np.arange(96))


def test_columns_give_the_same_score_as_codes(
    tiny_runs: dict[str, Run], subset: ImageTable, tmp_path: Path
) -> None:
    run = copy(tiny_runs["vae"], tmp_path / "run")
    columns.write(run, subset, "npz", tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        mean = np.stack([arrays[f"mean_{i}"] for i in range(4)], axis=1)
        factors = np.stack([arrays["posX"], arrays["posY"]], axis=1)
    score = metrics.mig.score(
        metrics.Codes(mean), factors, np.random.default_rng(0), "locatello2019"
    )
    codes = encode(load_trained(run, subset), subset)
    labels = subset.factors.factors_of(np.arange(96))[:, 3:]
    expected = metrics.mig.score(codes, labels, np.random.default_rng(0), "locatello2019")
    assert score == expected


def test_cached_codes_are_used(
    tiny_runs: dict[str, Run], subset: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy(tiny_runs["cascade-vae"], tmp_path / "run")
    columns.write(run, subset)
    monkeypatch.setattr("unbraid.runs.codes_cache.encode", None)
    before = (run.path / "codes.npz").read_bytes()
    columns.write(run, subset, to=tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == before


def test_without_pyarrow_the_error_names_the_extra(
    tiny_run: Run, subset: ImageTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"requires pyarrow; .*unbraid\[parquet\].*`format`"):
        columns.write(tiny_run, subset, "parquet")
