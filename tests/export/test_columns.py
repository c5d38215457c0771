"""Codes as columns: the numbers of `encode`, an image a row, whoever reads them."""

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
def few(table: ImageTable) -> ImageTable:
    """The first images of dSprites, one of whose factors has a code's name."""
    space = dataclasses.replace(
        table.factors,
        names=("category", "scale", "orientation", "posX", "posY"),
        sizes=(1, 1, 1, 3, 32),
        label=None,
    )
    return dataclasses.replace(table, bits=np.array(table.bits[:96]), factors=space)


def copy(run: Run, to: Path) -> Run:
    shutil.copytree(run.path, to)
    shutil.rmtree(to / "codes", ignore_errors=True)
    return Run(to)


@pytest.mark.parametrize("name", ["cascade-vae", "vae", "qlae"])
@pytest.mark.parametrize("form", columns.FORMATS)
def test_both_formats_hold_every_number(
    name: str, form: str, tiny_runs: dict[str, Run], few: ImageTable, tmp_path: Path
) -> None:
    run = copy(tiny_runs[name], tmp_path / "run")
    told = columns.write(run, few, form)
    file = run.path / f"codes.{form}"
    assert told.startswith("96 images, ")
    assert told.endswith(f"written to {file}")
    if form == "npz":
        with np.load(file, allow_pickle=False) as archive:
            held = dict(archive)
    else:
        read = parquet.read_table(file)
        held = {name: read[name].to_numpy() for name in read.column_names}
    codes = encode(load_trained(run, few), few)
    z = range(codes.mean.shape[1])
    expected = [f"mean_{i}" for i in z]
    expected += [f"std_{i}" for i in z] if codes.std is not None else []
    expected += ["category"] if codes.category is not None else []
    expected += ["factor_category", "scale", "orientation", "posX", "posY"]
    assert list(held) == expected
    for i in z:
        assert np.array_equal(held[f"mean_{i}"], codes.mean[:, i])
        if codes.std is not None:
            assert np.array_equal(held[f"std_{i}"], codes.std[:, i])
    if codes.category is not None:
        assert np.array_equal(held["category"], codes.category)
    assert np.array_equal(held["posX"] * 32 + held["posY"], np.arange(96))


def test_they_serve_the_metrics(tiny_runs: dict[str, Run], few: ImageTable, tmp_path: Path) -> None:
    run = copy(tiny_runs["vae"], tmp_path / "run")
    columns.write(run, few, "npz", tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as held:
        mean = np.stack([held[f"mean_{i}"] for i in range(4)], axis=1)
        factors = np.stack([held["posX"], held["posY"]], axis=1)
    score = metrics.mig.score(
        metrics.Codes(mean), factors, np.random.default_rng(0), "locatello2019"
    )
    codes = encode(load_trained(run, few), few)
    labels = few.factors.factors_of(np.arange(96))[:, 3:]
    same = metrics.mig.score(codes, labels, np.random.default_rng(0), "locatello2019")
    assert score == same


def test_kept_codes_are_used(
    tiny_runs: dict[str, Run], few: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy(tiny_runs["cascade-vae"], tmp_path / "run")
    columns.write(run, few)
    monkeypatch.setattr("unbraid.runs.codes_cache.encode", None)
    before = (run.path / "codes.npz").read_bytes()
    columns.write(run, few, to=tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == before


def test_parquet_without_pyarrow_names_its_extra(
    tiny_run: Run, few: ImageTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"it needs pyarrow; .*unbraid\[parquet\].*--format npz"):
        columns.write(tiny_run, few, "parquet")
