"""What is kept of a study: tables and page as from the runs, in a sixth of the space or less."""

import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest
from benchmarks import tables
from PIL import Image

from unbraid import cli
from unbraid.data import load
from unbraid.engine import train
from unbraid.methods import METHODS
from unbraid.runs import checkpoint
from unbraid.runs.encode import encode, load_trained
from unbraid.studies.archive import shown_of
from unbraid.studies.formats import table
from unbraid.studies.store import Store
from unbraid.studies.study import Job
from unbraid.studies.study_file import read
from unbraid.studies.table import measure
from unbraid.studies.worker import read_result, work

STUDIES = Path(__file__).parents[2] / "studies"
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
    path = tmp_path_factory.mktemp("kept") / "trial.toml"
    path.write_text(FILE.replace("SEEDS", "4"))
    store, images = Store(path.parent / "out"), load("dsprites-corner")
    for job in read(path).jobs:
        assert not work({store.run(job): job}, images)
        store.append(read_result(store.run(job)))
    return path


def archive(study_file: Path, to: Path, *more: str) -> int:
    out = str(study_file.parent / "out")
    return cli.main(["study", "archive", str(study_file), "--out", out, "--to", str(to), *more])


def with_weights(study_file: Path, store: Store) -> list[Job]:
    return [job for job in read(study_file).jobs if store.run(job).checkpoint_file.exists()]


def test_what_is_kept_gives_the_table_and_the_page(study_file: Path, tmp_path: Path) -> None:
    study, runs, kept = read(study_file), Store(study_file.parent / "out"), Store(tmp_path / "kept")
    assert archive(study_file, kept.path) == 0
    assert table(study, kept) == table(study, runs)
    (line,) = measure(study, kept)
    assert all({"elbo", "udr", "agreement"} == m.criteria.keys() for m in line.members)
    best = max(line.done, key=lambda m: (m.score or 0.0, -m.seed))
    assert line.median is not None
    assert with_weights(study_file, kept) == [
        job for job in study.jobs if job in (best.job, line.median.job)
    ]
    assert cli.main(["report", str(study_file), "--out", str(kept.path)]) == 0
    assert (kept.path / "trial.html").read_text().count('<input type="range"') == 3
    sizes = [sum(f.stat().st_size for f in s.path.rglob("*.*")) for s in (kept, runs)]
    assert sizes[0] < sizes[1] / 6


def test_kept_weights_encode_as_the_runs_and_are_not_trained_on(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, kept = Store(study_file.parent / "out"), Store(tmp_path / "kept")
    archive(study_file, kept.path)
    images = load("dsprites-corner")
    job = with_weights(study_file, kept)[0]
    whole, small = (
        encode(load_trained(s.run(job), images), images, discrete=False) for s in (runs, kept)
    )
    np.testing.assert_allclose(small.mean, whole.mean, atol=2e-3)
    before = kept.run(job).checkpoint_file.read_bytes()
    longer = [
        "--stage-steps",
        "1",
        "--warmup-stages",
        "1",
        "--latent-dim",
        "3",
        "--batch-size",
        "4",
    ]
    longer += ["--data", "dsprites-corner", "--precision", "fp32", "--seed", str(job.config.seed)]
    longer += ["--steps", "9", "--out", str(kept.run(job).path), "--resume"]
    assert cli.main(["train", "cascade-vae", *longer]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "step 6: only the weights of this run were kept" in told
    assert kept.run(job).checkpoint_file.read_bytes() == before


def test_weights_are_kept_without_what_only_training_needs(cache: Path, tmp_path: Path) -> None:
    """FactorVAE's discriminator, ten times larger than the rest; the codes are the run's."""
    path, runs, kept = tmp_path / "factor.toml", Store(tmp_path / "out"), Store(tmp_path / "kept")
    text = FILE.replace("SEEDS", "1").partition("[[rows]]")[0]
    path.write_text(text + '[[rows]]\nmethod = "factor-vae"\n')
    (job,) = read(path).jobs
    images = load("dsprites-corner")
    assert not work({runs.run(job): job}, images)
    runs.append(read_result(runs.run(job)))
    assert (
        cli.main(["study", "archive", str(path), "--out", str(runs.path), "--to", str(kept.path)])
        == 0
    )
    assert kept.run(job).checkpoint_file.stat().st_size < 2_000_000
    whole, small = (encode(load_trained(s.run(job), images), images) for s in (runs, kept))
    np.testing.assert_allclose(small.mean, whole.mean, atol=2e-3)
    assert cli.main(["report", str(path), "--out", str(kept.path)]) == 0


def test_every_critic_is_a_part() -> None:
    """And no method's first group, whose parts encode and draw, has one."""
    for name, method in METHODS.items():
        made = method()
        assert set(made.training_only) <= made.build((1, 64, 64)).keys(), name
        assert not set(made.training_only) & set(next(iter(made.groups().values())).parts), name
    assert METHODS["factor-vae"].training_only


def test_keeping_again_adds_seeds_and_removes_nothing(study_file: Path, tmp_path: Path) -> None:
    """First one seed, then all, one of them failed: what stands there stays, nothing twice."""
    runs, kept = Store(study_file.parent / "out"), Store(tmp_path / "kept")
    fewer = study_file.with_name("fewer.toml")
    fewer.write_text(FILE.replace("SEEDS", "1"))
    archive(fewer, kept.path)
    (first,) = read(fewer).jobs
    assert with_weights(study_file, kept) == [first]
    more = study_file.with_name("more.toml")
    more.write_text(FILE.replace("SEEDS", "5"))
    *_, last = read(more).jobs
    runs.append({"key": last.key, "status": "failed", "reasons": ["hung"], "attempts": 2})
    for _ in range(2):
        archive(more, kept.path)
    lines = kept.results_file.read_text().splitlines()
    assert len(lines) == 5
    straight = Store(tmp_path / "straight")
    archive(study_file, straight.path)
    shown = with_weights(study_file, kept)
    assert set(shown) == {first, *with_weights(study_file, straight)}
    archive(fewer, kept.path, "--no-weights")
    assert with_weights(study_file, kept) == shown
    assert kept.results_file.read_text().splitlines() == lines


def contents(path: Path) -> dict[Path, bytes]:
    return {f: f.read_bytes() for f in path.rglob("*") if f.is_file() and f.name != "lock"}


@pytest.mark.parametrize("weights", ["--weights", "--no-weights"])
def test_a_directory_of_runs_takes_results_and_loses_nothing(
    study_file: Path, tmp_path: Path, weights: str
) -> None:
    """There a run is done, one was stopped, one killed before its session was recorded."""
    runs, kept = Store(tmp_path / "runs"), Store(tmp_path / "kept")
    archive(study_file, kept.path)
    done, stopped, killed, missing = read(study_file).jobs
    images = load("dsprites-corner")
    assert not work({runs.run(done): done}, images)
    runs.append(read_result(runs.run(done)))
    for job in (stopped, killed):
        budget = dataclasses.replace(job.config.budget, steps=3)
        train(dataclasses.replace(job.config, budget=budget), images, runs.run(job).path)
    runs.run(killed).provenance_file.unlink()
    checkpoint.previous_path(runs.run(killed).checkpoint_file).unlink(missing_ok=True)
    before = [contents(runs.run(job).path) for job in (done, stopped, killed)]
    arguments = ["--out", str(kept.path), "--to", str(runs.path), weights]
    assert cli.main(["study", "archive", str(study_file), *arguments]) == 0
    assert [contents(runs.run(job).path) for job in (done, stopped, killed)] == before
    assert runs.results().keys() == {done.key, missing.key}
    assert not work({runs.run(stopped): stopped}, images)
    result = read_result(runs.run(stopped))
    assert result["scores"] == kept.results()[stopped.key]["scores"]


def test_runs_of_ones_own_images_are_kept_with_their_weights(cache: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (150, 32, 32), np.uint8)
    np.savez(tmp_path / "own.npz", images=images, factors=rng.integers(0, 3, (150, 2)))
    path, runs, kept = tmp_path / "own.toml", Store(tmp_path / "out"), Store(tmp_path / "kept")
    path.write_text(
        f'data = "array:{tmp_path / "own.npz"}"\npreset = "quick"\nprecision = "fp32"\n'
        'seeds = 1\nsteps = 2\nbatch = 4\nmetrics = ["factor-vae"]\n'
        '[[rows]]\nmethod = "vae"\n'
    )
    (job,) = read(path).jobs
    table = load(job.config.data)
    assert not work({runs.run(job): job}, table)
    runs.append(read_result(runs.run(job)))
    arguments = ["--out", str(runs.path), "--to", str(kept.path)]
    assert cli.main(["study", "archive", str(path), *arguments]) == 0
    assert load_trained(kept.run(job), table).step == 2


def test_a_last_checkpoint_that_is_lost_is_trained_again(study_file: Path, tmp_path: Path) -> None:
    """Scored to the end, then cut short: what is claimed is of the last step all the same."""
    job = read(study_file).jobs[0]
    job = dataclasses.replace(job, scoring=dataclasses.replace(job.scoring, checkpoints=2))
    run, images = Store(tmp_path).run(job), load("dsprites-corner")
    assert not work({run: job}, images)
    whole = read_result(run)
    assert list(whole["checkpoints"]) == ["3", "6"]
    saved = run.checkpoint_file.read_bytes()
    run.checkpoint_file.write_bytes(saved[:-9])
    run.scores_file.unlink()
    assert not work({run: job}, images)
    again = read_result(run)
    assert again["step"] == 6
    assert again["scores"] == whole["scores"]
    assert run.checkpoint_file.read_bytes() == saved


def test_nothing_is_kept_of_nothing(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = study_file.parent / "out"
    assert archive(study_file, out) == 2
    assert f"{out}: that is where the runs are; give another --to" in capsys.readouterr().err
    arguments = ["--out", str(tmp_path / "none"), "--to", str(tmp_path / "kept")]
    assert cli.main(["study", "archive", str(study_file), *arguments]) == 2
    assert "no run of the study is there to keep" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()


def test_weights_that_another_member_has_taken_the_place_of_are_dropped(
    study_file: Path, tmp_path: Path
) -> None:
    """Kept of two seeds, then of four: of each study the best and the median stay."""
    fewer = tmp_path / "fewer.toml"
    fewer.write_text(FILE.replace("SEEDS", "2"))
    kept = Store(tmp_path / "kept")
    out = str(study_file.parent / "out")
    assert cli.main(["study", "archive", str(fewer), "--out", out, "--to", str(kept.path)]) == 0
    assert archive(study_file, kept.path) == 0
    both = [read(study_file), read(fewer)]
    shown = [{job.name for line in measure(s, kept) for job in shown_of(line)} for s in both]
    tables.drop_weights(both, kept.path)
    assert {job.name for job in with_weights(study_file, kept)} == shown[0] | shown[1]
    tables.drop_weights(both[:1], kept.path)
    assert {job.name for job in with_weights(study_file, kept)} == shown[0]


def test_weights_of_a_member_that_is_the_median_again_come_back_from_history(
    study_file: Path, tmp_path: Path
) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    kept, studies = Store(tmp_path / "kept"), [read(study_file)]
    assert archive(study_file, kept.path) == 0
    first, second = (kept.run(j).checkpoint_file for j in with_weights(study_file, kept))
    saved = first.read_bytes(), second.read_bytes()
    git("init")
    git("add", ".")
    git("commit", "-m", "both")
    assert tables.bring_weights_back(studies, kept.path) == []
    first.unlink()
    git("commit", "-a", "-m", "without one")
    second.unlink()
    assert tables.bring_weights_back(studies, kept.path) == [second]
    assert first.read_bytes() == saved[0]
    git("commit", "-a", "-m", "without the other")
    assert tables.bring_weights_back(studies, kept.path) == []
    assert second.read_bytes() == saved[1]


def test_a_table_is_filled_in_between_its_marks_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    text = "a\n<!-- one -->\n\n{}\n<!-- end -->\nb\n<!-- two -->\n\nold\n\n<!-- end -->\nc\n"
    page.write_text(text.format("old\n"))
    tables.fill(page, "one", "| new |\n")
    assert page.read_text() == text.format("| new |\n")
    tables.fill(page, "three", "| lost |\n")
    assert page.read_text() == text.format("| new |\n")
    assert "no table is filled in" in capsys.readouterr().out
    page.write_text(without := "<!-- one -->\n\nno end of its own\n" + text[text.index("b\n") :])
    tables.fill(page, "one", "| new |\n")
    assert page.read_text() == without


def test_medians_are_drawn_where_their_weights_are_kept(study_file: Path, tmp_path: Path) -> None:
    kept, picture = Store(tmp_path / "kept"), tmp_path / "medians.png"
    assert archive(study_file, kept.path) == 0
    study = read(study_file)
    tables.draw_medians(study, kept.path, picture)
    with Image.open(picture) as drawn:
        pixels = np.asarray(drawn.convert("L"))
    # Frames of three dimensions are on it, dark but for a shape; around them is white.
    assert 0.3 < (pixels < 128).mean() < 0.9
    picture.unlink()
    for job in with_weights(study_file, kept):
        kept.run(job).checkpoint_file.unlink()
    tables.draw_medians(study, kept.path, picture)
    assert not picture.exists()


def test_what_is_published_stands_beside_its_own_metric_alone() -> None:
    study = read(STUDIES / "table1-quick.toml")
    own, other = tables.views(study)
    assert own == study
    assert other.primary_score.job.metric == "classification"
    assert {row.published for row in other.rows} == {None}
    assert other.source == ""
