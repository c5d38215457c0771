"""The command line: what a user types, what comes back, and one line for every mistake."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from unbraid import cli, metrics
from unbraid.data.images import ImageTable
from unbraid.runs import Run


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = cli.main(arguments)
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


TRAIN = ("train", "cascade-vae", "--steps", "3", "--stage-steps", "1", "--warmup-stages", "1")


def test_the_whole_path(
    capsys: pytest.CaptureFixture[str],
    table: ImageTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """data, train, stop, resume, evaluate, traverse, as the README says."""
    out = str(tmp_path / "x")
    code, printed, _ = run(capsys, "data", "dsprites")
    assert code == 0
    assert "737,280 images, 128,328,862 pixels on (as published)" in printed
    assert "(the reference)" in printed
    code, printed, _ = run(capsys, *TRAIN, "--batch-size", "4", "--out", out, "--threads", "1")
    assert code == 0
    assert "3 steps done" in printed
    code, _, _ = run(capsys, "train", "cascade-vae", "--resume", "--steps", "4", "--out", out)
    assert code == 0
    assert Run(Path(out)).read_log()[-1]["step"] == 4
    # Scoring all 737,280 images takes minutes; the path is the same on the first thousand.
    few = ImageTable(
        "dsprites",
        np.array(table.bits[:: len(table) // 1024][:1024]),
        64,
        64,
        table.factors,
    )
    factors = table.factors.factors_of(np.arange(0, len(table), len(table) // 1024)[:1024])
    monkeypatch.setattr("unbraid.data.load", lambda name: few)
    monkeypatch.setattr(type(few.factors), "factors_of", lambda self, index: factors[index])
    code, printed, _ = run(capsys, "evaluate", out)
    assert code == 0
    for protocol in (*metrics.factor_vae.PROTOCOLS, "one_to_one", "majority"):
        assert protocol in printed
    code, printed, _ = run(capsys, "traverse", out, "--columns", "3")
    assert code == 0
    files = {p.name for p in Path(out).iterdir()}
    assert files == {
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
    ("arguments", "message"),
    [
        ((), "the following arguments are required"),
        (("bake",), "invalid choice: 'bake' (choose from"),
        (("train", "gan", "--out", "x"), "invalid choice: 'gan' (choose from"),
        (("data", "faces"), "invalid choice: 'faces' (choose from"),
        (("train", "vae", "--out", "x", "--data", "faces"), "dataset 'faces': unknown; give one"),
        (("train", "vae", "--out", "x", "--gamma", "3"), "unrecognized arguments: --gamma 3; see"),
        (("train", "vae", "--out", "x", "--step", "3"), "unrecognized arguments: --step 3; see"),
        (("train", "vae"), "the following arguments are required: --out; see"),
        (("train", "cascade-vae", "--latent-dim", "1", "--out", "x"), "m=1 leaves nothing to"),
        (("train", "cascade-vae", "--latent-dim", "0", "--out", "x"), "latent_dim=0: a code needs"),
        (("train", "cascade-vae", "--categories", "1", "--out", "x"), "K=1 leaves nothing to"),
        (("train", "cascade-vae", "--beta-low", "11", "--out", "x"), "beta_low=11.0: an open"),
        (("train", "vae", "--steps", "0", "--out", "x"), "steps=0: a run has steps"),
        (("train", "vae", "--steps", "many", "--out", "x"), "invalid int value: 'many'"),
        (("train", "vae", "--batch-size", "0", "--out", "x"), "batch_size=0: a step sees images"),
        (("train", "vae", "--seed", "-1", "--out", "x"), "seed=-1: a seed is 0 to"),
        (("train", "vae", "--threads", "0", "--out", "x"), "threads=0: work needs a thread"),
        (("train", "vae", "--precision", "fp8", "--out", "x"), "precision 'fp8': unknown"),
        (("train", "vae", "--device", "tpu9", "--out", "x"), "device 'tpu9': not usable here"),
        (("train", "vae", "--preset", "best", "--out", "x"), "invalid choice: 'best'"),
        (("evaluate", "nowhere"), "nowhere: it holds no config.toml, so it is no run"),
        (("evaluate", "nowhere", "--metrics", "best"), "metric 'best': unknown; give all or some"),
        (("evaluate", "nowhere", "--metrics", "udr"), "metric 'udr': it compares the members"),
        (("evaluate", "nowhere", "--repeats", "x"), "invalid int value: 'x'"),
        (("traverse", "nowhere"), "nowhere: it holds no config.toml, so it is no run"),
        (("information", "nowhere"), "nowhere: it holds no config.toml, so it is no run"),
        (("export", "nowhere", "--onnx"), "nowhere: it holds no config.toml, so it is no run"),
        (("export", "nowhere"), "the following arguments are required: --onnx; see"),
        (("codes", "nowhere"), "nowhere: it holds no config.toml, so it is no run"),
        (("codes", "nowhere", "--format", "csv"), "invalid choice: 'csv'"),
        (("study", "run", "nowhere"), "nowhere: no study can be read from it"),
        (("study", "run", "x", "--workers", "many"), "invalid int value: 'many'"),
        (("study", "table", "x", "--format", "pdf"), "invalid choice: 'pdf'"),
        (("study", "stop"), "invalid choice: 'stop' (choose from"),
        (("explore", "nowhere"), "nowhere: it holds no config.toml, so it is no run"),
        (("explore",), "the following arguments are required: RUN; see"),
        (("explore", "x", "--port", "many"), "invalid int value: 'many'"),
        (("compare", "nowhere", "x"), "nowhere: it holds no config.toml, so it is no run"),
        (("train", "factor-vae", "--gamma", "-1", "--out", "x"), "gamma=-1.0: a weight is not"),
        (
            ("train", "factor-vae", "--batch-size", "1", "--out", "x"),
            "batch_size=1: FactorVAE compares the",
        ),
        (
            ("train", "joint-vae", "--capacity-discrete", "2", "--out", "x"),
            "holds 0 to ln K=1.0986",
        ),
        (
            ("train", "qlae", "--codebook-size", "5000", "--out", "x"),
            "codebook_size=5000: a codebook of 2 to",
        ),
        (
            ("train", "qlae", "--codebook-size", "1", "--out", "x"),
            "codebook_size=1: a codebook of 2 to 1000",
        ),
        (
            ("train", "qlae", "--commitment-weight", "-1", "--out", "x"),
            "commitment_weight=-1.0: a weight is not",
        ),
        (
            ("train", "factor-vae", "--gamma", "nan", "--out", "x"),
            "gamma=nan: every hyperparameter",
        ),
        (("train", "annealed-vae", "--gamma", "-1", "--out", "x"), "gamma=-1.0: a weight is not"),
        (("train", "annealed-vae", "--capacity", "-1", "--out", "x"), "capacity=-1.0: a KL is not"),
        (("train", "joint-vae", "--gamma", "-1", "--out", "x"), "gamma=-1.0: a weight is not"),
        (("train", "joint-vae", "--temperature", "0", "--out", "x"), "temperature=0.0: it divides"),
        (
            ("train", "beta-vae", "--beta", "-1", "--out", "x"),
            "beta=-1.0: a weight is not negative",
        ),
        (("train", "beta-tcvae", "--beta", "-1", "--out", "x"), "beta=-1.0: a weight is not"),
        (
            ("train", "beta-tcvae", "--batch-size", "1", "--out", "x"),
            "batch_size=1: β-TCVAE compares the",
        ),
        (
            ("train", "beta-tcvae", "--dataset-size", "99", "--out", "x"),
            "batch_size=2048: β-TCVAE weighs",
        ),
        (
            ("train", "dip-vae-i", "--batch-size", "1", "--out", "x"),
            "batch_size=1: DIP-VAE-I compares the",
        ),
        (
            ("train", "dip-vae-ii", "--lambda-diagonal", "-1", "--out", "x"),
            "lambda_diagonal=-1.0: a weight is not",
        ),
        (("data", "dsprites", "--official", "nowhere.npz"), "nowhere.npz: cannot be read"),
        (("data", "mnist", "--local-path", "nowhere"), "train-images-idx3-ubyte.gz: no such file"),
        (
            ("data", "dsprites-scream"),
            "the picture behind the sprites is missing; give one: unbraid",
        ),
        (("data", "folder", "nowhere"), "nowhere: no such folder; give the path of a folder"),
        (("train", "vae", "--out", "x", "--data", "folder:y"), "y: no such folder; give the path"),
        (("train", "vae", "--out", "x", "--data", "mnist"), "get it first: unbraid data mnist"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed, complaint = run(capsys, *arguments)
    assert code == 2
    assert printed == ""
    assert complaint.count("\n") == 1
    assert message in complaint
    assert not list(tmp_path.iterdir())


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
    damage: str,
    command: str,
    tiny_run: Run,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
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
    kept = {p: p.read_bytes() for p in copy.path.iterdir() if p.is_file()}
    resume = ("train", "cascade-vae", "--resume", "--steps", "20", "--out", str(copy.path))
    arguments = resume if command == "resume" else (command, str(copy.path))
    code, _, complaint = run(capsys, *arguments)
    assert code == 2
    assert complaint.strip().splitlines()[-1].startswith("unbraid: ")
    assert all(path.read_bytes() == data for path, data in kept.items())


def test_a_run_killed_before_its_first_checkpoint_starts_again(
    tiny_run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    copy = Run(tmp_path / "run")
    shutil.copytree(tiny_run.path, copy.path)
    copy.checkpoint_file.unlink()
    code, _, _ = run(capsys, "train", "cascade-vae", "--resume", "--out", str(copy.path))
    assert code == 0
    assert copy.checkpoint_file.read_bytes() == tiny_run.checkpoint_file.read_bytes()


def test_information_and_compare(
    tiny_runs: dict[str, Run], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    vae = tmp_path / "vae"
    shutil.copytree(tiny_runs["vae"].path, vae)
    code, printed, _ = run(capsys, "information", str(vae), "--images", "128")
    assert code == 0
    assert "I(x;z), at most ln 128 = 4.85" in printed
    assert json.loads((vae / "information.json").read_text())["images"] == 128
    code, _, complaint = run(capsys, "information", str(vae), "--images", "3")
    assert code == 2
    assert "images=3: they make batches of 64" in complaint
    cascade = tmp_path / "cascade"
    shutil.copytree(tiny_runs["cascade-vae"].path, cascade)
    code, printed, _ = run(capsys, "information", str(cascade), "--images", "64", "--stages")
    assert code == 0
    assert printed.endswith(f"written to {cascade / 'stages.png'}\n")
    assert (cascade / "stages.png").exists()
    other = str(tiny_runs["joint-vae"].path)
    code, printed, _ = run(capsys, "compare", str(vae), other, "--columns", "3")
    assert code == 0
    assert (vae / "compare.png").exists()
    elsewhere = str(tmp_path / "c.png")
    code, printed, _ = run(capsys, "compare", str(vae), other, "--columns", "3", "--out", elsewhere)
    assert printed == f"written to {elsewhere}\n"


def test_another_method_does_not_continue_a_run(
    tiny_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, complaint = run(capsys, "train", "vae", "--resume", "--out", str(tiny_run.path))
    assert code == 2
    assert "trained with cascade-vae, not vae" in complaint


def test_a_flag_that_contradicts_the_run_is_named(
    tiny_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, complaint = run(
        capsys, "train", "cascade-vae", "--resume", "--beta-low", "3", "--out", str(tiny_run.path)
    )
    assert code == 2
    assert "trained with beta_low=1.0, not 3.0; continue with --beta-low 1.0" in complaint


def test_an_unwritable_output_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, complaint = run(capsys, "train", "vae", "--out", str(tmp_path / "file" / "run"))
    assert code == 2
    assert "cannot be written" in complaint


def test_ctrl_c_is_130(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unbraid.engine.train", stop)
    code, _, complaint = run(capsys, "train", "vae", "--out", str(tmp_path / "run"))
    assert code == 130
    assert "what was reached is saved" in complaint


def test_metrics_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, _ = run(capsys, "metrics")
    assert code == 0
    for name, metric in metrics.METRICS.items():
        assert f"{name}: " in printed
        for protocol in metric.PROTOCOLS:
            assert protocol in printed


@pytest.mark.parametrize(
    "command",
    [["metrics"], [], ["data"], ["data", "dsprites"], ["data", "celeba"], ["train"], ["evaluate"]],
)
def test_help_teaches(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, _ = run(capsys, *command, "--help")
    assert code == 0
    assert "usage: unbraid" in printed
