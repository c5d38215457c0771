"""Checkpoints: whole, ours and unchanged, or refused; atomic."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from unbraid import files
from unbraid.errors import UserError
from unbraid.runs.checkpoint import Checkpoint, previous_path, read, save

STATE = Checkpoint(7, {"parts.w": torch.arange(6.0).reshape(2, 3), "counts.kl": torch.tensor(3)})


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save(path, STATE, "me")
    step, tensors = read(path, "me")
    assert step == 7
    assert tensors.keys() == STATE.tensors.keys()
    assert all(torch.equal(tensors[n], STATE.tensors[n]) for n in tensors)
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_array_is_kept_whatever_its_strides(tmp_path: Path) -> None:
    """numpy may give it strides of 0, by which torch cannot view it."""
    path = tmp_path / "checkpoint.safetensors"
    empty = torch.from_numpy(np.array([], np.int64))
    assert empty.stride() == (0,)
    save(path, Checkpoint(1, {"pseudo_labels.item": empty}), "me")
    found = read(path, "me").tensors["pseudo_labels.item"]
    assert (found.dtype, tuple(found.shape)) == (torch.int64, (0,))


def test_readable_without_unbraid(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save(path, STATE, "me")
    assert torch.equal(safetensors.torch.load_file(path)["parts.w"], STATE.tensors["parts.w"])
    with safetensors.safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["manifest"])["step"] == 7


def test_every_damaged_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save(path, STATE, "me")
    whole = path.read_bytes()
    for position in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[position] ^= 0x10
        path.write_bytes(changed)
        with pytest.raises(UserError) as caught:
            read(path, "me")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("left", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, left: int) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save(path, STATE, "me")
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        read(path, "me")


def test_missing_foreign_and_another_runs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(UserError, match="there is no checkpoint; train the run first"):
        read(path, "me")
    safetensors.torch.save_file(STATE.tensors, path)
    with pytest.raises(UserError, match="another program wrote it"):
        read(path, "me")
    save(path, STATE, "you")
    with pytest.raises(UserError, match="belongs to another configuration"):
        read(path, "me")


@pytest.mark.parametrize("damage", ["cut short", "bit flipped", "gone", "another run's"])
def test_the_previous_one_serves_when_the_newest_is_refused(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    for step in (7, 8):
        save(path, STATE._replace(step=step), "me")
    whole = bytearray(path.read_bytes())
    if damage == "cut short":
        path.write_bytes(whole[:-1])
    elif damage == "bit flipped":
        whole[-1] ^= 1
        path.write_bytes(whole)
    elif damage == "gone":
        path.unlink()
    else:
        save(path, STATE._replace(step=9), "you")
    assert read(path, "me").step == 7
    line = capsys.readouterr().err
    assert line.startswith(f"{path}: ")
    assert line.endswith("; the previous one, of step 7, is used\n")
    assert line.count("\n") == 1
    # The damaged file does not take the good one's place.
    save(path, STATE._replace(step=10), "me")
    assert read(path, "me").step == 10
    assert read(previous_path(path), "me").step == 7
    previous_path(path).write_bytes(b"")
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"checkpoint.safetensors: not a whole safetensors file"):
        read(path, "me")


@pytest.mark.parametrize("moment", range(1, 5))
def test_killed_at_any_moment_of_saving_leaves_a_whole_one(
    tmp_path: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files are written, each flushed and then renamed; the kill falls before one of these."""
    path = tmp_path / "checkpoint.safetensors"
    save(path, STATE, "me")
    done: list[str] = []

    class KilledError(BaseException):
        pass

    def killed(what: str) -> Any:
        plain = {"fsync": files.os.fsync, "replace": Path.replace}[what]

        def act(*arguments: Any) -> Any:
            done.append(what)
            if len(done) == moment:
                raise KilledError
            return plain(*arguments)

        return act

    monkeypatch.setattr(files.os, "fsync", killed("fsync"))
    monkeypatch.setattr(Path, "replace", killed("replace"))
    with pytest.raises(KilledError):
        save(path, STATE._replace(step=8), "me")
    monkeypatch.undo()
    assert len(done) == moment
    assert read(path, "me").step == 7


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save(path, STATE, "me")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left on device.*nothing that was there is lost"):
        save(path, STATE._replace(step=8), "me")
    monkeypatch.undo()
    assert read(path, "me").step == 7
    assert list(tmp_path.iterdir()) == [path]
