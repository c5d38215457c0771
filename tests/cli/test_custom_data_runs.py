"""Runs on custom datasets from the command line: train, evaluate, traverse, resume, refuse."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unbraid
from unbraid.engine import train_population
from unbraid.errors import UserError
from unbraid.methods import find
from unbraid.report.traversal import traverse
from unbraid.runs import Run, configure
from unbraid.runs.encode import load_trained

Command = Callable[..., tuple[int, str, str]]
TRAIN = ("--steps", "3", "--batch-size", "4", "--threads", "1", "--precision", "fp32")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNBRAID_CACHE", str(tmp_path / "cache"))


def folder(path: Path, folders: tuple[str, ...] = ("a", "b"), *, colour: bool = False) -> Path:
    """Twelve pictures of 28×30 in each subfolder."""
    for name in folders:
        (path / name).mkdir(parents=True)
        for n in range(12):
            shape = (30, 28, 3) if colour else (30, 28)
            pixels = RNG.integers(0, 256, size=shape, dtype=np.uint8)
            Image.fromarray(pixels).save(path / name / f"{n}.png")
    return path


def cascade(pictures: str, out: Path, *more: str) -> tuple[str, ...]:
    stages = ("--stage-steps", "1", "--warmup-stages", "1", "--latent-dim", "2")
    return ("train", "cascade-vae", *stages, *TRAIN, "--data", pictures, "--out", str(out), *more)


def test_a_folder_from_training_to_scores(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images are found from another working directory, and after the folder has moved."""
    pictures, out = folder(tmp_path / "pictures"), tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    code, printed, _ = run(*cascade("folder:pictures", out))
    assert code == 0
    assert "24 images, grey, 30×28 (original size)" in printed
    assert "labels: the factor folder with 2 values (a, b)" in printed
    monkeypatch.chdir(out)
    code, printed, _ = run("evaluate", str(out))
    assert code == 0
    assert "one_to_one" in printed
    assert "not scored: factor-vae: " in printed
    assert printed.count("\n") == 9
    scores = json.loads((out / "scores.json").read_text())
    assert np.sum(scores["images_by_category_and_folder"]) == 24
    assert np.shape(scores["images_by_category_and_folder"]) == (3, 2)
    assert [entry["name"] for entry in scores["not_scored"]] == ["factor-vae"]
    code, printed, _ = run("evaluate", str(out), "--metrics", "mig,modularity")
    assert code == 0
    assert "MIG" in printed
    assert "not scored: modularity: " in printed
    code, printed, _ = run("traverse", str(out), "--columns", "3")
    assert code == 0
    shutil.move(pictures, tmp_path / "moved")
    code, _, error = run("evaluate", str(out))
    assert code == 2
    assert "no such folder" in error
    moved = f"folder:{tmp_path / 'moved'}"
    code, _, _ = run(*cascade(moved, out, "--resume", "--steps", "4"))
    assert code == 0
    assert Run(out).read_config().data == moved
    code, printed, _ = run("evaluate", str(out))
    assert code == 0
    assert "step 4" in printed


@pytest.mark.parametrize("change", ["picture", "label", "other"])
def test_a_run_refuses_images_that_it_was_not_trained_on(
    change: str, run: Command, tmp_path: Path
) -> None:
    pictures, out = folder(tmp_path / "pictures"), tmp_path / "run"
    name = f"folder:{pictures}"
    assert run(*cascade(name, out))[0] == 0
    checkpoint = (out / "checkpoint.safetensors").read_bytes()
    if change == "picture":
        Image.new("L", (28, 30)).save(pictures / "a" / "3.png")
    elif change == "label":
        (pictures / "a").rename(pictures / "c")
    else:
        name = f"folder:{folder(tmp_path / 'others')}"
    commands: list[tuple[str, ...]] = [cascade(name, out, "--resume", "--steps", "5")]
    if change != "other":
        commands += [("evaluate", str(out)), ("traverse", str(out))]
    for command in commands:
        code, _, error = run(*command)
        assert code == 2, command
        message = error.rpartition("unbraid: ")[2]
        assert "the images or labels differ from those that the run was trained on" in message
        assert message.count("\n") == 1
    assert (out / "checkpoint.safetensors").read_bytes() == checkpoint


def test_images_without_labels(run: Command, tmp_path: Path) -> None:
    """In colour; metrics that need labels are refused in one line."""
    name = f"folder:{folder(tmp_path / 'pictures', ('all',), colour=True)}"
    out = tmp_path / "run"
    code, printed, _ = run(*cascade(name, out))
    assert code == 0
    assert "labels: none" in printed
    code, printed, error = run("evaluate", str(out))
    assert (code, printed) == (2, "")
    assert error.count("\n") == 1
    assert "no labels, which this metric needs; choose the metric unsupervised" in error
    assert not (out / "scores.json").exists()
    code, printed, _ = run("evaluate", str(out), "--metrics", "unsupervised,mig")
    assert code == 0
    assert "gaussian tc" in printed
    assert printed.count("not scored: ") == 1
    assert run("traverse", str(out), "--columns", "3")[0] == 0
    traversal = traverse(load_trained(Run(out), table := unbraid.load(name)), table, columns=3)
    assert traversal.images.shape == (3, 2, 3, 30, 28, 3)
    index = np.random.default_rng(0).choice(12, 12, replace=False)[:8]
    assert np.array_equal(traversal.originals, table.images(index).transpose(0, 2, 3, 1))
    with Image.open(out / "traversal.gif") as gif:
        assert getattr(gif, "n_frames", 0) == 4
    code, _, _ = run("compare", str(out), str(out), "--columns", "3")
    assert code == 0


def test_arrays_with_labels_are_scored_by_every_metric(run: Command, tmp_path: Path) -> None:
    """Three factors that do not form a grid."""
    factors = np.column_stack([RNG.integers(0, n, size=60) for n in (2, 3, 5)])
    images = RNG.random((60, 28, 28)) > 0.5
    np.savez(tmp_path / "x.npz", images=images, factors=factors, names=["shape", "b", "c"])
    out = tmp_path / "run"
    assert run(*cascade(f"array:{tmp_path / 'x.npz'}", out))[0] == 0
    metrics = "factor-vae,classification,beta-vae,mig,sap,modularity,irs,infomec,unsupervised"
    code, printed, _ = run("evaluate", str(out), "--metrics", metrics)
    assert code == 0
    assert "not scored" not in printed
    scores = json.loads((out / "scores.json").read_text())
    assert {row["name"] for row in scores["scores"]} == set(metrics.split(","))
    assert np.shape(scores["images_by_category_and_shape"]) == (3, 2)


def test_a_population_refuses_other_images(tmp_path: Path) -> None:
    name = f"folder:{folder(tmp_path / 'pictures')}"
    config = configure(find("vae"), overrides={"data": name, "steps": 1})
    other = dataclasses.replace(config, fingerprint="of another folder")
    with pytest.raises(UserError, match="differ from those that the run was trained on"):
        train_population(other, unbraid.load(name), tmp_path / "pop", [1])
    assert not (tmp_path / "pop").exists()


def test_custom_images_are_prepared_ahead_of_time(run: Command, tmp_path: Path) -> None:
    pictures = folder(tmp_path / "pictures")
    code, printed, _ = run("data", "folder", str(pictures), "--size", "32")
    assert code == 0
    assert "30×28, cropped to a centred square and resized to 32×32" in printed
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 28, 28), bool))
    code, printed, _ = run("data", "array", str(tmp_path / "x.npz"))
    assert code == 0
    assert "3 images, grey, 28×28, one bit per value" in printed
    code, _, error = run("data", "shapes3d", "--local-path", str(tmp_path))
    assert code == 2
    assert "3dshapes.h5: no such file; set --local-path to the folder that contains" in error
