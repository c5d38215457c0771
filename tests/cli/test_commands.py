"""Commands from their flags to their output."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unbraid import cli, metrics
from unbraid.data.images import ImageTable
from unbraid.runs import Run

Command = Callable[..., tuple[int, str, str]]
TRAIN = ("train", "cascade-vae", "--steps", "3", "--stage-steps", "1", "--warmup-stages", "1")


def test_the_commands_of_the_readme_work_in_their_order(
    run: Command, table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "x")
    code, printed, _ = run("data", "dsprites")
    assert code == 0
    assert "737,280 images, 128,328,862 white pixels (as published)" in printed
    code, printed, _ = run(*TRAIN, "--batch-size", "4", "--out", out, "--threads", "1")
    assert code == 0
    assert "3 steps done" in printed
    code, _, _ = run("train", "cascade-vae", "--resume", "--steps", "4", "--out", out)
    assert code == 0
    assert Run(Path(out)).read_log()[-1]["step"] == 4
    # Scoring all 737,280 images takes minutes; 1,024 of them take the same path.
    subset = ImageTable(
        "dsprites",
        np.array(table.bits[:: len(table) // 1024][:1024]),
        64,
        64,
        table.factors,
    )
    factors = table.factors.factors_of(np.arange(0, len(table), len(table) // 1024)[:1024])
    monkeypatch.setattr("unbraid.data.load", lambda name: subset)
    monkeypatch.setattr(type(subset.factors), "factors_of", lambda self, index: factors[index])
    code, printed, _ = run("evaluate", out)
    assert code == 0
    for protocol in (*metrics.factor_vae.PROTOCOLS, "one_to_one", "majority"):
        assert protocol in printed
    code, printed, _ = run("traverse", out, "--columns", "3")
    assert code == 0
    files = {p.name for p in Path(out).iterdir()}
    assert files == {
        ".lock",
        "config.toml",
        "log.jsonl",
        "events",
        "checkpoint.safetensors",
        "previous.safetensors",
        "codes",
        "provenance.json",
        "scores.json",
        "cascade.png",
        "stages",
        "traversal.png",
        "traversal.gif",
    }
    assert len(json.loads((Path(out) / "provenance.json").read_text())) == 2


@pytest.mark.parametrize(
    ("damage", "command"),
    [
        (damage, command)
        for damage in ("missing", "truncated", "foreign", "another")
        for command in ("evaluate", "traverse", "resume")
        if (damage, command) != ("missing", "resume")  # see the next test
    ],
)
def test_a_bad_checkpoint_is_one_line_and_loses_nothing(
    damage: str, command: str, tiny_run: Run, run: Command, tmp_path: Path
) -> None:
    copy = Run(tmp_path / "run")
    shutil.copytree(tiny_run.path, copy.path)
    checkpoint = copy.checkpoint_file
    if damage == "missing":
        checkpoint.unlink()
    elif damage == "truncated":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    elif damage == "foreign":
        checkpoint.write_bytes(b"PK\x03\x04 a zip archive of pickles")
    else:
        copy.config_file.write_text(copy.config_file.read_text().replace("seed = 0", "seed = 5"))
    before = {p: p.read_bytes() for p in copy.path.iterdir() if p.is_file()}
    resume = ("train", "cascade-vae", "--resume", "--steps", "20", "--out", str(copy.path))
    code, _, error = run(*(resume if command == "resume" else (command, str(copy.path))))
    assert code == 2
    assert error.strip().splitlines()[-1].startswith("unbraid: ")
    assert all(path.read_bytes() == data for path, data in before.items())


def test_a_run_killed_before_its_first_checkpoint_starts_again(
    tiny_run: Run, run: Command, tmp_path: Path
) -> None:
    copy = Run(tmp_path / "run")
    shutil.copytree(tiny_run.path, copy.path)
    copy.checkpoint_file.unlink()
    code, _, _ = run("train", "cascade-vae", "--resume", "--out", str(copy.path))
    assert code == 0
    assert copy.checkpoint_file.read_bytes() == tiny_run.checkpoint_file.read_bytes()


def test_information_and_compare(tiny_runs: dict[str, Run], run: Command, tmp_path: Path) -> None:
    vae = tmp_path / "vae"
    shutil.copytree(tiny_runs["vae"].path, vae)
    code, printed, _ = run("information", str(vae), "--images", "128")
    assert code == 0
    assert "I(x;z), at most ln 128 = 4.85" in printed
    assert json.loads((vae / "information.json").read_text())["images"] == 128
    code, _, error = run("information", str(vae), "--images", "3")
    assert code == 2
    assert "--images 3: " in error
    cascade = tmp_path / "cascade"
    shutil.copytree(tiny_runs["cascade-vae"].path, cascade)
    code, printed, _ = run("information", str(cascade), "--images", "64", "--stages")
    assert code == 0
    assert printed.endswith(f"written to {cascade / 'stages.png'}\n")
    assert (cascade / "stages.png").exists()
    other = str(tiny_runs["joint-vae"].path)
    code, printed, _ = run("compare", str(vae), other, "--columns", "3")
    assert code == 0
    assert (vae / "compare.png").exists()
    elsewhere = str(tmp_path / "c.png")
    code, printed, _ = run("compare", str(vae), other, "--columns", "3", "--out", elsewhere)
    assert printed == f"written to {elsewhere}\n"


def test_another_method_does_not_resume_a_run(tiny_run: Run, run: Command) -> None:
    code, _, error = run("train", "vae", "--resume", "--out", str(tiny_run.path))
    assert code == 2
    assert "trained with cascade-vae, not vae" in error


def test_a_flag_that_contradicts_the_run_is_named(tiny_run: Run, run: Command) -> None:
    resume = ("train", "cascade-vae", "--resume", "--out", str(tiny_run.path))
    code, _, error = run(*resume, "--beta-low", "3")
    assert code == 2
    assert "trained with beta_low=1.0, not 3.0" in error
    assert "--beta-low" in error


def test_an_unwritable_output_is_named(run: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, error = run("train", "vae", "--out", str(tmp_path / "file" / "run"))
    assert code == 2
    assert "cannot be written" in error


def test_ctrl_c_is_130(run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unbraid.engine.train", interrupt)
    code, _, error = run("train", "vae", "--out", str(tmp_path / "run"))
    assert code == 130
    assert error == "unbraid: interrupted; progress saved\n"


def test_metrics_are_listed(run: Command) -> None:
    code, printed, _ = run("metrics")
    assert code == 0
    for name, metric in metrics.METRICS.items():
        assert f"{name}: " in printed
        for protocol in metric.PROTOCOLS:
            assert protocol in printed


def test_of_a_repeated_flag_the_last_one_counts(tiny_run: Run, run: Command) -> None:
    code, _, error = run("traverse", str(tiny_run.path), "--columns", "3", "--columns", "x")
    assert code == 2
    assert "--columns" in error
    code, _, _ = run("train", "vae", "--steps", "9", "--steps", "0", "--out", "x")
    assert code == 2


def test_a_method_that_is_registered_at_run_time_has_a_command(
    run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unbraid.methods import METHODS
    from unbraid.methods.vae import VAE

    class Plugin(VAE):
        """Minimise nothing in particular.

        Details follow.
        """

        name = "plug-in"

    monkeypatch.setitem(METHODS, "plug-in", Plugin)
    assert "  plug-in               Minimise nothing in particular.\n" in run("train", "--help")[1]
    code, printed, _ = run("train", "plug-in", "--help")
    assert code == 0
    assert "--latent-dim" in printed
    assert "Details follow." in printed


def test_without_arguments_those_of_the_process_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["unbraid", "--foo"])
    assert cli.main() == 2
