"""Checkpoints are written atomically and refused if they are damaged or of another run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from unbraid import files
from unbraid.errors import StorageError, UserError
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


def test_empty_array_is_saved_whatever_its_strides(tmp_path: Path) -> None:
    """numpy may give it strides of 0, which torch cannot view."""
    path = tmp_path / "checkpoint.safetensors"
    empty = torch.from_numpy(np.array([], np.int64))
    assert empty.stride() == (0,)
    save(path, Checkpoint(1, {"pseudo_labels.item": empty}), "me")
    restored = read(path, "me").tensors["pseudo_labels.item"]
    assert (restored.dtype, tuple(restored.shape)) == (torch.int64, (0,))


def test_readable_without_unbraid(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save(path, STATE, "me")
    assert torch.equal(safetensors.torch.load_file(path)["parts.w"], STATE.tensors["parts.w"])
    with safetensors.safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["manifest"])["step"] == 7


def test_every_damaged_byte_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save(path, STATE, "me")
    content = path.read_bytes()
    for position in range(0, len(content), 3):
        changed = bytearray(content)
        changed[position] ^= 0x10
        path.write_bytes(changed)
        with pytest.raises(UserError) as caught:
            read(path, "me")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_truncated_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save(path, STATE, "me")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match="not a complete safetensors file"):
        read(path, "me")


def test_missing_files_and_those_of_other_programs_or_runs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(UserError, match="no such checkpoint; train the run first"):
        read(path, "me")
    safetensors.torch.save_file(STATE.tensors, path)
    with pytest.raises(UserError, match="another program wrote it"):
        read(path, "me")
    save(path, STATE, "you")
    with pytest.raises(UserError, match="has another configuration"):
        read(path, "me")


@pytest.mark.parametrize("damage", ["truncated", "bit flipped", "missing", "of another run"])
def test_previous_checkpoint_is_used_if_the_latest_is_refused(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    for step in (7, 8):
        save(path, STATE._replace(step=step), "me")
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[:-1])
    elif damage == "bit flipped":
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "missing":
        path.unlink()
    else:
        save(path, STATE._replace(step=9), "you")
    assert read(path, "me").step == 7
    line = capsys.readouterr().err
    assert line.startswith(f"{path}: ")
    assert line.endswith("; resumes from the previous checkpoint, of step 7\n")
    assert line.count("\n") == 1
    # The damaged file does not become the previous checkpoint.
    save(path, STATE._replace(step=10), "me")
    assert read(path, "me").step == 10
    assert read(previous_path(path), "me").step == 7
    previous_path(path).write_bytes(b"")
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"checkpoint.safetensors: not a complete safetensors file"):
        read(path, "me")


@pytest.mark.parametrize("moment", range(1, 5))
def test_kill_during_saving_leaves_a_valid_checkpoint(
    tmp_path: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files are written, each flushed and then renamed; the kill is before one of these."""
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


def test_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save(path, STATE, "me")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StorageError, match=r"No space left on device.*free disk space"):
        save(path, STATE._replace(step=8), "me")
    monkeypatch.undo()
    assert read(path, "me").step == 7
    assert list(tmp_path.iterdir()) == [path]
