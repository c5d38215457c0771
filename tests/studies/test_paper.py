"""results/paper/: filled as runs come in, with every seed, and again from the archive alone."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks import paper

from unbraid.data import load
from unbraid.studies.store import Store, steps_done
from unbraid.studies.study import Job, Published
from unbraid.studies.study_file import read
from unbraid.studies.table import RowResult, measure
from unbraid.studies.worker import read_result, work

FILE = """
title = "A table"
source = "A paper"
data = "dsprites-corner"
preset = "paper"
precision = "fp32"
seeds = 3
steps = 12
batch_size = 4
metric = "METRIC"
protocol = "PROTOCOL"
checkpoints = 3
sample = 200
images = 300
[[rows]]
method = "cascade-vae"
hyperparameters = { latent_dim = 3, stage_steps = 3, warmup_stages = 2 }
published = { mean = 90.49, std = 5.28, best = 99.50 }
[[rows]]
method = "beta-vae"
hyperparameters = { latent_dim = 3 }
published = { mean = 70.11, std = 7.54, best = 84.62 }
"""


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    """Two studies that share all runs, with different primary scores."""
    specs = {"one": ("factor-vae", "jeong2019"), "two": ("classification", "one_to_one")}
    for name, (metric, protocol) in specs.items():
        text = FILE.replace("METRIC", metric).replace("PROTOCOL", protocol)
        (tmp_path / f"{name}.toml").write_text(text)
    return [str(tmp_path / f"{name}.toml") for name in specs]


def finish(store: Store, *jobs: Job) -> None:
    for job in jobs:
        assert not work({store.run(job): job}, load(job.config.data))
        with store.locked():
            store.append(read_result(store.run(job)))


def test_the_page_grows_with_the_runs(
    sources: list[str], cache: Path, tmp_path: Path, pause: Callable[[Store, Job, int], None]
) -> None:
    """Nothing, one run paused; then two seeds finished; then from the archive alone."""
    study, runs, to = read(sources[0]), Store(tmp_path / "runs"), tmp_path / "paper"
    (first, second, _), _ = (row.jobs for row in study.rows)
    title = f"{study.rows[0].title} ‡"
    pause(runs, first, 9)
    paper.write(sources, runs.path, to)
    page = to / "README.md"
    text = page.read_text()
    assert text.count("—, 0 of 3") == 8
    assert text.count("8 of 12 steps") == 2
    assert f"{title}, 0 of 3 seeds: nothing to compare with the published" in text
    assert sorted(f.name for f in to.glob("*.svg")) == [
        "one-row1-elbo.svg",
        "one-row1-score.svg",
        "two-row1-score.svg",
    ]
    page.write_text(text.replace("# The papers' budgets", "# Our own words"))
    pause(runs, second, 5)
    finish(runs, first)
    with runs.locked():
        failed = {"key": study.rows[1].jobs[0].key, "status": "failed", "reasons": ["died"]}
        runs.append(failed)
    paper.write(sources, runs.path, to)
    text = page.read_text()
    row, other = measure(study, runs)
    (score, best) = (row.members[0].score, row.members[0].best_checkpoint_score)
    assert f"**{score:.2f}**, 1 of 3 | **{best:.2f}**, 1 of 3 |" in text
    assert f"| {title} | {score:.2f} / {best:.2f} | 4 of 12 steps | — |" in text
    assert "| β-VAE, m=3 ‡ | failed | — | — |" in text
    assert "8 of 12 steps" not in text
    assert text.startswith("# Our own words")
    assert f"- {paper.sentence(row)}\n" in text
    assert f"- {paper.sentence(other)}\n" in text
    assert "1 finished runs, started from 20" in text
    assert "‡ quick: not comparable with the paper" in text
    assert text.count("![") == 3
    assert not Store(to).run(first).eval_scores_file.exists()
    assert [steps_done(Store(to).run(job)) for job in (first, second)] == [12, 4]
    # The archive is enough to write everything again.
    shutil.rmtree(runs.path)
    figures = {f.name: f.read_bytes() for f in to.glob("*.svg")}
    for name in figures:
        (to / name).unlink()
    paper.write(sources, to, to)
    assert page.read_text() == text
    assert {f.name: f.read_bytes() for f in to.glob("*.svg")} == figures


def test_an_older_copy_of_a_run_replaces_nothing(
    sources: list[str], cache: Path, tmp_path: Path, pause: Callable[[Store, Job, int], None]
) -> None:
    """Two machines may send their runs one after another."""
    study, to = read(sources[0]), tmp_path / "paper"
    job = study.jobs[0]
    ahead, behind = Store(tmp_path / "ahead"), Store(tmp_path / "behind")
    pause(ahead, job, 9)
    pause(behind, job, 5)
    for runs in (ahead, behind):
        paper.write(sources, runs.path, to)
        assert steps_done(Store(to).run(job)) == 8
    finish(ahead, job)
    for runs in (ahead, behind):
        paper.write(sources, runs.path, to)
        assert steps_done(Store(to).run(job)) == 12
        assert Store(to).results()[job.key].is_done


def scored(last: list[float], best: list[float]) -> RowResult:
    """A row with these scores of its first seeds."""
    study = read("table1")
    (row,) = [row for row in study.rows if row.title == "CascadeVAE (beta_low=1.0), m=6"]
    result = measure(dataclasses.replace(study, rows=(row,)), Store(Path("none")))[0]
    members = [
        dataclasses.replace(m, status="done", score=s, best_checkpoint_score=b)
        for m, s, b in zip(result.members, last, best, strict=False)
    ]
    return dataclasses.replace(result, members=(*members, *result.members[len(members) :]))


def test_the_sentence_states_whether_the_published_figures_cover_ours() -> None:
    """The published row is 90.49 ± 5.28; 85.21 and 95.77 are its ends."""
    assert paper.sentence(scored([80.0, 90.42], [85.2, 90.0])) == (
        "CascadeVAE (beta_low=1.0), m=6, 2 of 10 seeds: the published 90.49 ± 5.28 covers our mean"
        " of the last checkpoints, 85.21 (-1.0 stds), and does not cover that of the best"
        " checkpoints by labels, 87.60 (-0.5 stds)."
    ).replace("does not cover", "covers")
    assert "does not cover our mean of the last checkpoints, 79.93 (-2.0 stds)" in (
        paper.sentence(scored([79.93], [80.0]))
    )
    assert "covers that of the best checkpoints by labels, 95.77 (+1.0 stds)." in (
        paper.sentence(scored([50.0], [95.77]))
    )
    assert "does not cover that of the best checkpoints by labels, 95.78" in (
        paper.sentence(scored([50.0], [95.78]))
    )
    assert "0 of 10 seeds: nothing to compare" in paper.sentence(scored([], []))
    row = scored([50.0], [60.0])
    no_figures = dataclasses.replace(row.row, published=None)
    assert "no published" in paper.sentence(dataclasses.replace(row, row=no_figures))
    impossible = dataclasses.replace(row.row, published=Published(80.0, 1.0, 99.0))
    assert paper.sentence(dataclasses.replace(row, row=impossible)).startswith(
        "CascadeVAE (beta_low=1.0), m=6 †, 1 of 10 seeds: the published 80.00 ± 1.00 does not"
    )
