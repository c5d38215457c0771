"""Archived studies: tables and page as from the runs, in a tenth of the bytes or less."""

import dataclasses
import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import tables
from PIL import Image

from unbraid import cli
from unbraid.data import load
from unbraid.engine import train
from unbraid.methods import METHODS
from unbraid.runs import Run
from unbraid.runs.encode import encode, load_trained
from unbraid.studies.archive import thinned
from unbraid.studies.formats import table
from unbraid.studies.store import Store
from unbraid.studies.study import Job
from unbraid.studies.study_file import read
from unbraid.studies.table import measure
from unbraid.studies.worker import read_result, work

FILE = """
data = "dsprites-corner"
preset = "quick"
precision = "fp32"
seeds = SEEDS
steps = 6
batch_size = 4
[[rows]]
method = "cascade-vae"
hyperparameters = { latent_dim = 3, stage_steps = 1, warmup_stages = 1 }
"""


@pytest.fixture(scope="module")
def study_file(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of four seeds, run in out/."""
    path = tmp_path_factory.mktemp("archive") / "trial.toml"
    path.write_text(FILE.replace("SEEDS", "4"))
    run_study(path, Store(path.parent / "out"))
    return path


def run_study(path: Path, store: Store) -> None:
    images = load(read(path).jobs[0].config.data)
    for job in read(path).jobs:
        assert not work({store.run(job): job}, images)
        store.append(read_result(store.run(job)))


def archive(study_file: Path, to: Path, *flags: str, out: Path | None = None) -> int:
    runs = str(out or study_file.parent / "out")
    return cli.main(["study", "archive", str(study_file), "--out", runs, "--to", str(to), *flags])


def with_weights(study_file: Path, store: Store) -> list[Job]:
    return [job for job in read(study_file).jobs if store.run(job).checkpoint_file.exists()]


def median(study_file: Path, store: Store) -> Job:
    (row,) = measure(read(study_file), store)
    assert row.median_member is not None
    return row.median_member.job


def test_an_archive_gives_the_table_and_the_page(study_file: Path, tmp_path: Path) -> None:
    study, runs = read(study_file), Store(study_file.parent / "out")
    archived = Store(tmp_path / "archive")
    assert archive(study_file, archived.path) == 0
    assert table(study, archived) == table(study, runs)
    (row,) = measure(study, archived)
    assert all({"elbo", "udr", "agreement"} == m.criteria.keys() for m in row.members)
    assert with_weights(study_file, archived) == [median(study_file, runs)]
    assert cli.main(["report", str(study_file), "--out", str(archived.path)]) == 0
    page = (archived.path / "trial.html").read_text()
    assert page.count('<input type="range"') == 3
    # Above the tables, in the captions of three, below the strip plot, and in a note.
    assert page.count("quick: not comparable with the paper") == 6
    sizes = [sum(f.stat().st_size for f in s.path.rglob("*.*")) for s in (archived, runs)]
    assert sizes[0] < sizes[1] / 10


def test_archived_weights_encode_as_the_run_and_cannot_be_trained(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, archived = Store(study_file.parent / "out"), Store(tmp_path / "archive")
    archive(study_file, archived.path)
    images = load("dsprites-corner")
    (job,) = with_weights(study_file, archived)
    full, compressed = (
        encode(load_trained(s.run(job), images), images, discrete=False) for s in (runs, archived)
    )
    np.testing.assert_allclose(compressed.mean, full.mean, atol=5e-2)
    before = archived.run(job).checkpoint_file.read_bytes()
    longer = ["--stage-steps", "1", "--warmup-stages", "1", "--latent-dim", "3"]
    longer += ["--batch-size", "4", "--data", "dsprites-corner", "--precision", "fp32"]
    longer += ["--seed", str(job.config.seed), "--steps", "9"]
    longer += ["--out", str(archived.run(job).path), "--resume"]
    assert cli.main(["train", "cascade-vae", *longer]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "only" in error
    assert "weights" in error
    assert archived.run(job).checkpoint_file.read_bytes() == before


def test_modules_used_only_in_training_are_not_archived(cache: Path, tmp_path: Path) -> None:
    """FactorVAE's discriminator is ten times larger than the rest; the codes are the run's."""
    path, runs, archived = tmp_path / "factor.toml", Store(tmp_path / "out"), Store(tmp_path / "to")
    text = FILE.replace("SEEDS", "1").partition("[[rows]]")[0]
    path.write_text(text + '[[rows]]\nmethod = "factor-vae"\n')
    run_study(path, runs)
    (job,) = read(path).jobs
    assert archive(path, archived.path, out=runs.path) == 0
    assert archived.run(job).checkpoint_file.stat().st_size < 1_000_000
    images = load("dsprites-corner")
    full, compressed = (encode(load_trained(s.run(job), images), images) for s in (runs, archived))
    np.testing.assert_allclose(compressed.mean, full.mean, atol=5e-2)
    assert cli.main(["report", str(path), "--out", str(archived.path)]) == 0


def test_modules_used_only_in_training_do_not_encode_or_decode() -> None:
    for name, method in METHODS.items():
        instance = method()
        training_only = set(instance.training_only)
        assert training_only <= instance.build((1, 64, 64)).keys(), name
        first_group = next(iter(instance.groups().values()))
        assert not training_only & set(first_group.parts), name
    assert METHODS["factor-vae"].training_only


def test_archiving_again_adds_seeds_and_removes_nothing(study_file: Path, tmp_path: Path) -> None:
    """One seed, then five, one of them failed: what is there stays, and no result is repeated."""
    runs, archived = Store(study_file.parent / "out"), Store(tmp_path / "archive")
    fewer = study_file.with_name("fewer.toml")
    fewer.write_text(FILE.replace("SEEDS", "1"))
    archive(fewer, archived.path)
    (first,) = read(fewer).jobs
    assert with_weights(study_file, archived) == [first]
    more = study_file.with_name("more.toml")
    more.write_text(FILE.replace("SEEDS", "5"))
    *_, last = read(more).jobs
    runs.append({"key": last.key, "status": "failed", "reasons": ["hung"], "attempts": 2})
    for _ in range(2):
        archive(more, archived.path)
    lines = archived.results_file.read_text().splitlines()
    assert len(lines) == 5
    weights = with_weights(study_file, archived)
    assert set(weights) == {first, median(study_file, runs)}
    archive(fewer, archived.path, "--no-weights")
    assert with_weights(study_file, archived) == weights
    assert archived.results_file.read_text().splitlines() == lines


def contents(path: Path) -> dict[Path, bytes]:
    return {f: f.read_bytes() for f in path.rglob("*") if f.is_file() and "lock" not in f.name}


@pytest.mark.parametrize("weights", ["--weights", "--no-weights"])
def test_a_directory_with_runs_gets_results_and_loses_nothing(
    study_file: Path, tmp_path: Path, weights: str
) -> None:
    """One run there is done, one was stopped, one killed before its session was recorded."""
    runs, archived = Store(tmp_path / "runs"), Store(tmp_path / "archive")
    archive(study_file, archived.path)
    done, stopped, killed, missing = read(study_file).jobs
    images = load("dsprites-corner")
    assert not work({runs.run(done): done}, images)
    runs.append(read_result(runs.run(done)))
    for job in (stopped, killed):
        budget = dataclasses.replace(job.config.budget, steps=3)
        train(dataclasses.replace(job.config, budget=budget), images, runs.run(job).path)
    runs.run(killed).provenance_file.unlink()
    runs.run(killed).previous_checkpoint_file.unlink(missing_ok=True)
    before = [contents(runs.run(job).path) for job in (done, stopped, killed)]
    assert archive(study_file, runs.path, weights, out=archived.path) == 0
    assert [contents(runs.run(job).path) for job in (done, stopped, killed)] == before
    assert runs.results().keys() == {done.key, missing.key}
    assert not work({runs.run(stopped): stopped}, images)
    result = read_result(runs.run(stopped))
    assert tuple(result["scores"]) == archived.results()[stopped.key].scores


def test_runs_of_custom_images_are_archived_with_their_weights(cache: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (150, 32, 32), np.uint8)
    np.savez(tmp_path / "own.npz", images=images, factors=rng.integers(0, 3, (150, 2)))
    path, runs, archived = tmp_path / "own.toml", Store(tmp_path / "out"), Store(tmp_path / "to")
    path.write_text(
        f'data = "array:{tmp_path / "own.npz"}"\npreset = "quick"\nprecision = "fp32"\n'
        'seeds = 1\nsteps = 2\nbatch_size = 4\nmetrics = ["factor-vae"]\n'
        '[[rows]]\nmethod = "vae"\n'
    )
    run_study(path, runs)
    (job,) = read(path).jobs
    assert archive(path, archived.path, out=runs.path) == 0
    assert load_trained(archived.run(job), load(job.config.data)).step == 2


def test_a_lost_last_checkpoint_is_trained_again(study_file: Path, tmp_path: Path) -> None:
    """It was scored before it was truncated; the result is of the last step all the same."""
    job = read(study_file).jobs[0]
    job = dataclasses.replace(job, scoring=dataclasses.replace(job.scoring, checkpoints=2))
    run, images = Store(tmp_path).run(job), load("dsprites-corner")
    assert not work({run: job}, images)
    first = read_result(run)
    assert list(first["checkpoints"]) == ["3", "6"]
    saved = run.checkpoint_file.read_bytes()
    run.checkpoint_file.write_bytes(saved[:-9])
    run.scores_file.unlink()
    assert not work({run: job}, images)
    again = read_result(run)
    assert again["step"] == 6
    assert again["scores"] == first["scores"]
    assert run.checkpoint_file.read_bytes() == saved


def test_without_finished_runs_nothing_is_archived(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = study_file.parent / "out"
    assert archive(study_file, out) == 2
    error = capsys.readouterr().err
    assert f"{out}: this is the directory of the runs; choose another --to" in error
    assert archive(study_file, tmp_path / "archive", out=tmp_path / "none") == 2
    assert "no run of the study is finished" in capsys.readouterr().err
    assert not (tmp_path / "archive").exists()


def record(step: int, beta: float) -> dict[str, Any]:
    return {"step": step, "elbo": -1.0 * step, "kl": [1.0], "beta": [beta]}


def changes_of_beta(log: list[Any]) -> list[int]:
    """Steps of the records at which β begins to change."""
    changes = [False, *[a["beta"] != b["beta"] for a, b in itertools.pairwise(log)]]
    pairs = zip(log[1:], itertools.pairwise(changes), strict=True)
    return [r["step"] for r, (before, now) in pairs if now and not before]


def test_a_thinned_log_has_its_ends_and_every_change_of_beta() -> None:
    """β is 2, falls over records 12 to 16, is cut at 23, and is constant to the end."""
    betas = [2.0] * 12 + [1.8, 1.6, 1.4, 1.2, 1.0] + [1.0] * 6 + [0.5] * 19
    log: Any = [record(100 * (i + 1), beta) for i, beta in enumerate(betas)]
    log.append(record(4210, 0.5))
    short = thinned(log)
    assert len(short) < len(log) / 2
    assert [short[0], short[-1]] == [log[0], log[-1]]
    assert all(r in short for r in log[4::5])
    assert changes_of_beta(short) == changes_of_beta(log) == [1300, 2400]
    assert thinned(short) == short
    assert thinned([]) == []


def test_an_archived_log_is_thinned(study_file: Path, tmp_path: Path) -> None:
    job = read(study_file).jobs[0]
    runs, archived = Store(tmp_path / "runs"), Store(tmp_path / "archive")
    runs.path.mkdir()
    run = runs.run(job)
    run.write_config(job.config)
    log = [record(100 * (i + 1), 2.0) for i in range(50)]
    log[4]["elbo"] = -123.4567890
    run.log_file.write_text("".join(json.dumps(r) + "\n" for r in log))
    runs.append({"key": job.key, "status": "done", "scores": [], "checkpoints": {}})
    assert archive(study_file, archived.path, out=runs.path) == 0
    log[4]["elbo"] = -123.457
    assert archived.run(job).read_log() == [log[0], *log[4::5]]


def test_weights_of_members_that_are_no_longer_a_median_are_removed(
    study_file: Path, tmp_path: Path
) -> None:
    """Archived with two seeds, then with four: each study's median stays."""
    fewer = tmp_path / "fewer.toml"
    fewer.write_text(FILE.replace("SEEDS", "2"))
    archived, out = Store(tmp_path / "archive"), study_file.parent / "out"
    assert archive(fewer, archived.path, out=out) == 0
    assert archive(study_file, archived.path) == 0
    both = [median(path, archived).name for path in (study_file, fewer)]
    tables.remove_weights([read(study_file), read(fewer)], archived.path)
    assert {job.name for job in with_weights(study_file, archived)} == set(both)
    tables.remove_weights([read(study_file)], archived.path)
    assert [job.name for job in with_weights(study_file, archived)] == both[:1]


def test_weights_of_a_median_are_restored_from_the_history(
    study_file: Path, tmp_path: Path
) -> None:
    def git(*arguments: str) -> None:
        config = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *config, *arguments], cwd=tmp_path, check=True, capture_output=True)

    archived, studies = Store(tmp_path / "archive"), [read(study_file)]
    assert archive(study_file, archived.path) == 0
    file = archived.run(median(study_file, archived)).checkpoint_file
    saved = file.read_bytes()
    git("init")
    file.unlink()
    git("add", ".")
    git("commit", "-m", "without weights")
    assert tables.restore_weights(studies, archived.path) == [file]
    file.write_bytes(saved)
    git("add", ".")
    git("commit", "-m", "with weights")
    assert tables.restore_weights(studies, archived.path) == []
    file.unlink()
    git("commit", "-a", "-m", "without weights again")
    assert tables.restore_weights(studies, archived.path) == []
    assert file.read_bytes() == saved


def test_a_table_is_written_only_between_its_own_comments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    text = "a\n<!-- one -->\n\n{}\n<!-- end -->\nb\n<!-- two -->\n\nold\n\n<!-- end -->\nc\n"
    page.write_text(text.format("old\n"))
    tables.fill(page, "one", "| new |\n")
    assert page.read_text() == text.format("| new |\n")
    tables.fill(page, "three", "| lost |\n")
    assert page.read_text() == text.format("| new |\n")
    assert "table not written" in capsys.readouterr().out
    without_end = "<!-- one -->\n\nno end\n" + text[text.index("b\n") :]
    page.write_text(without_end)
    tables.fill(page, "one", "| new |\n")
    assert page.read_text() == without_end


def test_medians_are_drawn_if_their_weights_are_archived(study_file: Path, tmp_path: Path) -> None:
    archived, picture = Store(tmp_path / "archive"), tmp_path / "medians.png"
    assert archive(study_file, archived.path) == 0
    study = read(study_file)
    tables.draw_medians(study, archived.path, picture)
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L"))
    # Frames of three dimensions are dark but for a shape, and white around them.
    assert 0.3 < (pixels < 128).mean() < 0.9
    picture.unlink()
    for job in with_weights(study_file, archived):
        archived.run(job).checkpoint_file.unlink()
    tables.draw_medians(study, archived.path, picture)
    assert not picture.exists()


def test_published_figures_belong_to_their_own_metric_alone() -> None:
    study = read("table1-quick")
    own, other = tables.by_every_metric(study)
    assert own == study
    assert other.primary_score.spec.metric == "classification"
    assert {row.published for row in other.rows} == {None}
    assert other.source == ""


def test_run_archives_have_small_pictures_and_provenance(tmp_path: Path) -> None:
    from benchmarks.archived_run import archive_run

    run = Run(tmp_path / "run")
    run.path.mkdir()
    run.config_file.write_text("seed = 0\n")
    run.log_file.write_text(json.dumps(record(100, 2.0)) + "\n")
    run.provenance_file.write_text('[{"seconds": 1.0}]')
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(run.traversal_figure)
    archive_run(run, tmp_path / "to", ["train", "vae"])
    provenance = json.loads((tmp_path / "to" / "provenance.json").read_text())
    assert provenance["command"] == "unbraid train vae"
    assert provenance["sessions"] == [{"seconds": 1.0}]
    with Image.open(tmp_path / "to" / "traversal.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 16) or []) <= 16
