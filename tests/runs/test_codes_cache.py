"""Cached codes: the same bits, never those of anything else, replaced if damaged."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unbraid.codes import Codes
from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.runs import Run, codes_cache
from unbraid.runs.codes_cache import encode_once
from unbraid.runs.encode import Trained, encode, load_trained

SOME = np.arange(0, 7000, 100)


@pytest.fixture
def few(table: ImageTable) -> ImageTable:
    """The first images of dSprites."""
    space = dataclasses.replace(table.factors, sizes=(1, 1, 1, 3, 32))
    return dataclasses.replace(table, bits=np.array(table.bits[:96]), factors=space)


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path) -> Run:
    shutil.copytree(tiny_run.path, tmp_path / "run")
    shutil.rmtree(Run(tmp_path / "run").codes_folder, ignore_errors=True)
    return Run(tmp_path / "run")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Calls of `encode`."""
    calls: list[Any] = []

    def counted(*arguments: Any, **more: Any) -> Codes:
        calls.append(more)
        return encode(*arguments, **more)

    monkeypatch.setattr(codes_cache, "encode", counted)
    return calls


def same(one: Codes, other: Codes) -> bool:
    pairs = [(one.mean, other.mean), (one.std, other.std), (one.category, other.category)]
    return one.categories == other.categories and all(
        b is None if a is None else b is not None and a.dtype == b.dtype and np.array_equal(a, b)
        for a, b in pairs
    )


@pytest.mark.parametrize("name", ["cascade-vae", "vae", "qlae"])
def test_cached_codes_have_the_same_bits(
    name: str, tiny_runs: dict[str, Run], few: ImageTable, tmp_path: Path, encoded: list[Any]
) -> None:
    shutil.copytree(tiny_runs[name].path, tmp_path / "run")
    run = Run(tmp_path / "run")
    trained = load_trained(run, few)
    first = encode_once(run, trained, few)
    assert same(first, encode(trained, few))
    assert same(encode_once(run, trained, few), first)
    assert len(encoded) == 1
    with np.load(run.codes_folder / "all-fp32.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["mean"], first.mean)


def changed_weight(trained: Trained) -> Trained:
    with torch.no_grad():
        next(iter(trained.parts["decoder"].parameters())).view(-1)[0] += 1e-3
    return trained


CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "weights": lambda g: g | {"trained": changed_weight(g["trained"])},
    "step": lambda g: g | {"trained": g["trained"]._replace(step=13)},
    "precision": lambda g: g | {"precision": "bf16"},
    "images": lambda g: g | {"index": SOME[::-1] % 96},
    "number": lambda g: g | {"index": np.arange(95)},
    "discrete": lambda g: g | {"discrete": False},
}


@pytest.mark.parametrize("change", CHANGES)
def test_codes_of_anything_else_are_not_used(
    change: str, run: Run, few: ImageTable, encoded: list[Any]
) -> None:
    arguments = {"trained": load_trained(run, few), "table": few, "index": np.arange(96)}
    encode_once(run, **arguments)
    changed = CHANGES[change](arguments)
    codes = encode_once(run, **changed)
    assert len(encoded) == 2
    assert same(codes, encode(**changed))


def test_other_images_under_the_same_name_are_encoded(
    run: Run, few: ImageTable, encoded: list[Any]
) -> None:
    """An official archive may differ from the rendered one by a pixel."""
    trained = load_trained(run, few)
    for index in (None, np.arange(90)):
        encode_once(run, trained, few, index=index)
        bits = few.bits.copy()
        bits[40, 7] ^= 1
        other = dataclasses.replace(few, bits=bits)
        assert same(
            encode_once(run, trained, other, index=index), encode(trained, other, index=index)
        )
    assert len(encoded) == 4


def test_damaged_codes_are_replaced(run: Run, few: ImageTable, encoded: list[Any]) -> None:
    trained = load_trained(run, few)
    expected = encode_once(run, trained, few)
    file = run.codes_folder / "all-fp32.npz"
    content, metadata = file.read_bytes(), file.with_suffix(".json").read_bytes()
    damages = [(content[:-9], metadata), (b"", metadata)]
    damages += [(content, damaged) for damaged in (b"", b"[]", b"\xff")]
    for position in range(0, len(content), 97):
        damages.append((content[:position] + b"\x07" + content[position + 1 :], metadata))
    damages = [damage for damage in damages if damage != (content, metadata)]
    for number, damage in enumerate(damages):
        file.write_bytes(damage[0])
        file.with_suffix(".json").write_bytes(damage[1])
        assert same(encode_once(run, trained, few), expected)
        assert len(encoded) == number + 2
        assert file.read_bytes() == content
    file.with_suffix(".json").unlink()
    assert same(encode_once(run, trained, few), expected)
    assert json.loads(file.with_suffix(".json").read_text())["step"] == 12


def test_codes_that_cannot_be_stored_are_returned(
    run: Run, few: ImageTable, encoded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = load_trained(run, few)
    run.codes_folder.write_text("in the way")
    assert same(encode_once(run, trained, few), encode(trained, few))
    run.codes_folder.unlink()
    monkeypatch.setattr(codes_cache, "MAX_BYTES", 96 * 3 * 8 + 95)
    encode_once(run, trained, few)
    assert not run.codes_folder.exists()
    monkeypatch.setattr(codes_cache, "MAX_BYTES", 96 * 3 * 8 + 96)
    encode_once(run, trained, few)
    assert run.codes_folder.exists()
    assert len(encoded) == 3


def test_errors_of_encode_are_raised(run: Run, few: ImageTable) -> None:
    trained = load_trained(run, few)
    with torch.no_grad():
        next(iter(trained.parts["encoder"].parameters())).fill_(torch.nan)
    with pytest.raises(UserError, match="NaN or infinite"):
        encode_once(run, trained, few)
