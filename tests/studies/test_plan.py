"""Before a study starts: what is missing, how long it takes, and how to run a part of it."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch

from unbraid import cli
from unbraid.data.images import ImageTable
from unbraid.errors import ArgumentError
from unbraid.methods import Method
from unbraid.runs import Run
from unbraid.studies import time_estimate
from unbraid.studies.executors import LocalExecutor
from unbraid.studies.plan import describe_plan, status
from unbraid.studies.selection import select
from unbraid.studies.store import Store
from unbraid.studies.study import Study
from unbraid.studies.study_file import read
from unbraid.studies.time_estimate import estimate, measured

FILE = """
data = "dsprites-corner"
preset = "quick"
precision = "fp32"
seeds = [0, 1, 5]
steps = 1000
batch_size = 4
[[rows]]
method = "beta-vae"
hyperparameters = { latent_dim = [3, 4] }
[[rows]]
method = "cascade-vae"
hyperparameters = { latent_dim = 3 }
[[rows]]
title = "A title, with 2 commas, m=3"
method = "cascade-vae-c"
hyperparameters = { latent_dim = 3, restart_adam = true }
"""


@pytest.fixture
def study(study_file: Path) -> Study:
    return read(study_file)


def chosen(study: Study, rows: str | None = None, *only: str) -> list[tuple[int, list[int]]]:
    """Return the number and the seeds of every row of the part."""
    part = select(study, rows, only)
    return [(row.number, [job.config.seed for job in row.jobs]) for row in part.rows]


ALL = [0, 1, 5]


def test_rows_are_chosen_by_number_range_and_title(study: Study) -> None:
    assert chosen(study) == [(1, ALL), (2, ALL), (3, ALL), (4, ALL)]
    assert chosen(study, "2") == [(2, ALL)]
    assert chosen(study, "3-4, 1") == [(1, ALL), (3, ALL), (4, ALL)]
    assert chosen(study, "A title, with 2 commas, m=3") == [(4, ALL)]
    assert chosen(study, "1,A title, with 2 commas, m=3 ,β-VAE, m=4") == [
        (1, ALL),
        (2, ALL),
        (4, ALL),
    ]
    for row in study.rows:
        assert [r for r, _ in chosen(study, row.title)] == [row.number]


def test_runs_are_chosen_by_their_settings(study: Study) -> None:
    assert chosen(study, None, "seed=0", "method=beta-vae") == [(1, [0]), (2, [0])]
    assert chosen(study, "2-4", "seed=1-5") == [(2, [1, 5]), (3, [1, 5]), (4, [1, 5])]
    assert chosen(study, None, "seed=0,5", "latent_dim=4") == [(2, [0, 5])]
    both = ("method=beta-vae", "method=cascade-vae")
    assert [number for number, _ in chosen(study, None, *both)] == [1, 2, 3]
    assert chosen(study, "4", "restart_adam=true") == [(4, ALL)]
    assert chosen(study, None, "beta=4") == [(1, ALL), (2, ALL)]
    # A part has the keys of the whole study, so its runs are those of the study.
    keys = {job.key for job in study.jobs}
    assert {job.key for job in select(study, "1", ["seed=5"]).jobs} < keys


@pytest.mark.parametrize(
    ("rows", "only", "message"),
    [
        ("5", (), "rows=5: unknown row; set `rows` to numbers from 1 to 4, ranges, or titles"),
        ("0-2", (), "rows=0-2: unknown row"),
        ("3-2", (), "rows=3-2: unknown row"),
        ("1,nothing", (), "rows=1,nothing: nothing: unknown row"),
        ("", (), "rows=: unknown row"),
        ("1-99999999999999999999", (), "unknown row"),
        (None, ("seed",), "only=seed: must be a setting and its value; set `only` as in seed=0"),
        (None, ("seed=",), "only=seed=: must be a setting"),
        (None, ("colour=1",), "only=colour=1: unknown setting; set `only` to one of batch_size,"),
        (None, ("seed=2-4",), "no run has seed=2-4; set `only` to seed= and one of 0, 1, 5"),
        (None, ("seed=0,7",), "no run has seed=7"),
        (None, ("seed=x",), "no run has seed=x"),
        (None, ("beta=x",), "no run has beta=x"),
        (None, ("method=vae",), "no run has method=vae; set `only` to method= and one of beta-vae"),
        ("1", ("method=cascade-vae",), "no run of the rows has these settings; change or remove"),
        (None, ("latent_dim=4", "method=cascade-vae"), "no run of the rows has these settings"),
    ],
)
def test_a_mistake_in_a_selection(
    rows: str | None, only: tuple[str, ...], message: str, study: Study
) -> None:
    with pytest.raises(ArgumentError, match=re.escape(message)):
        select(study, rows, only)


@pytest.mark.parametrize("command", ["run", "status"])
def test_the_command_line_names_the_flags(
    command: str, study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags, line in (
        (["--rows", "9"], "unbraid: --rows 9: unknown row; set --rows to numbers from 1 to 4"),
        (["--only", "seed=9"], "unbraid: --only seed=9: no run has seed=9; set --only to seed="),
        (["--only", "seed=0", "--only", "x=1"], "unbraid: --only x=1: unknown setting"),
    ):
        out = tmp_path / "out"
        assert cli.main(["study", command, str(study_file), "--out", str(out), *flags]) == 2
        error = capsys.readouterr().err
        assert error.startswith(line)
        assert error.count("\n") == 1
        assert not out.exists()


def finished(study: Study, row: int, seed: int, seconds: float, **more: object) -> dict:
    """The result of a finished run, as a worker returns it."""
    (job,) = select(study, str(row), [f"seed={seed}"]).jobs
    result = {"key": job.key, "status": "done", **job.config.as_table(), "step": 1000}
    return result | {"training_seconds": seconds, "device": "cpu"} | more


def times(study: Study, store: Store, **how: object) -> dict[int, tuple[float | None, str]]:
    """Return milliseconds per step and their source, by the number of the row."""
    results = store.results()
    missing = [job for job in study.jobs if job.key not in results]
    estimates = estimate(study, store, missing, results, **how)  # pyright: ignore[reportArgumentType]
    return {
        e.row.number: (e.seconds_per_step and round(1000 * e.seconds_per_step, 6), e.source)
        for e in estimates
    }


def test_the_time_of_a_step_is_that_of_the_most_similar_runs(study: Study, tmp_path: Path) -> None:
    """Of the row, else of the method; never of other images, batches, arithmetic or devices."""
    store = Store(tmp_path)
    unknown = (None, "")
    assert times(study, store) == dict.fromkeys((1, 2, 3, 4), unknown)
    store.append(finished(study, 1, 0, 30.0))
    store.append(finished(study, 1, 1, 50.0))
    both = (40.0, "finished runs")
    assert times(study, store) == {1: both, 2: both, 3: unknown, 4: unknown}
    store.append(finished(study, 2, 0, 90.0))
    assert times(study, store) == {1: both, 2: (90.0, both[1]), 3: unknown, 4: unknown}
    assert times(study, store, device="cuda") == dict.fromkeys((1, 2, 3, 4), unknown)
    for i, changed in enumerate(
        (
            {"data": "dsprites"},
            {"precision": "bf16"},
            {"budget": {"steps": 1000, "batch_size": 8}},
            {"status": "failed"},
        )
    ):
        store.append(finished(study, 3, 0, 70.0, **changed) | {"key": f"other{i}"})
        assert times(study, store)[3] == unknown
    store.append(finished(study, 3, 0, 70.0, device="cuda:0"))
    assert times(study, store, device="cpu")[3] == unknown
    assert times(study, store, device="cuda")[3] == (70.0, "finished runs")


def test_the_time_of_a_step_of_paused_runs_is_that_of_their_sessions(
    study: Study, tmp_path: Path
) -> None:
    """Two members that were trained together share their seconds."""
    store = Store(tmp_path)
    run = store.run(study.rows[2].jobs[1])
    run.path.mkdir(parents=True)
    session = {"device": "cpu", "from_step": 0, "to_step": 100, "seconds": 8.0, "members": 2}
    later = {"device": "cpu", "from_step": 100, "to_step": 300, "seconds": 20.0}
    only_scored = {"device": "cpu", "from_step": 300}
    run.provenance_file.write_text(json.dumps([session, later, only_scored]))
    assert times(study, store)[3] == (80.0, "paused runs")
    store.append(finished(study, 3, 0, 70.0))
    assert times(study, store)[3] == (70.0, "finished runs")
    run.provenance_file.write_text("damaged")
    assert times(study, store)[3] == (70.0, "finished runs")


def test_steps_are_measured_over_the_whole_schedule(
    study: Study, corner: ImageTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a clock that advances by the step, the mean is that of the steps that are measured."""
    config = study.rows[2].jobs[0].config
    steps: list[int] = []
    losses = type(config.method).losses

    def recorded(method: Method, parts, x, noise, step: int):
        steps.append(step)
        assert torch.get_num_threads() == 1
        return losses(method, parts, x, noise, step)

    clock = [0.0]

    def now() -> float:
        clock[0] += (steps[-1] if steps else 0) / 2
        return clock[0]

    monkeypatch.setattr(type(config.method), "losses", recorded)
    monkeypatch.setattr(time_estimate.time, "perf_counter", now)
    # Between the two readings of the clock around step s, it advances by s/2.
    expected = sum(first + 2 for first in (125, 375, 625, 875)) / 4 / 2
    assert measured(config, corner) == expected
    assert steps == [first + i for first in (125, 375, 625, 875) for i in range(4)]


def test_a_long_study_is_measured_and_a_short_one_is_not(
    study_file: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fake(config, table) -> float:
        asked.append(config.method.name)
        return 0.036

    monkeypatch.setattr(time_estimate, "measured", fake)
    store, executor = Store(tmp_path / "out"), LocalExecutor(2)
    study = read(study_file)
    text = describe_plan(study, store, study.jobs, {}, executor)
    assert asked == ["beta-vae", "beta-vae", "cascade-vae", "cascade-vae-c"]
    assert "12 missing runs, 12,000 steps left; 2 workers on this machine" in text
    line = next(line for line in text.splitlines() if "A title" in line)
    assert line.split()[:1] == ["4"]
    assert re.search(r" 3 +3,000 +36 +0\.0  measured now  quick: not comparable with", line)
    assert "estimated time: 4 minutes (0.1 worker-hours of training, without scoring)" in text
    assert "--rows 1-3" in text
    assert "--only seed=0" in text
    hours = select(study, "1")
    long = dataclasses.replace(hours.rows[0].jobs[0], config=_with_steps(hours, 300_000))
    text = describe_plan(
        dataclasses.replace(hours, rows=(dataclasses.replace(hours.rows[0], jobs=(long,)),)),
        store,
        [long],
        {},
        executor,
    )
    # One run is trained by one worker, however many there are.
    assert "estimated time: 3.0 hours (3.0 worker-hours of training" in text
    asked.clear()
    short = read(_copy(study_file, "steps = 1000", "steps = 20"))
    assert "not known until a run is done" in describe_plan(short, store, short.jobs, {}, executor)
    store.path.mkdir()
    # Half of them finished: their time is used for the others, and nothing is measured.
    for row in range(1, 5):
        store.append(finished(study, row, 0, 36.0))
    rest = [job for job in study.jobs if job.key not in store.results()]
    text = describe_plan(study, store, rest, store.results(), executor)
    assert "estimated time: 3 minutes (0.1 worker-hours" in text
    assert text.count("finished runs") == 4
    assert asked == []


def _with_steps(study: Study, steps: int):
    config = study.jobs[0].config
    return dataclasses.replace(config, budget=dataclasses.replace(config.budget, steps=steps))


def _copy(study_file: Path, old: str, new: str) -> Path:
    path = study_file.with_name("copy.toml")
    path.write_text(study_file.read_text().replace(old, new))
    return path


def test_a_method_that_diverges_at_once_is_not_measured(study_file: Path, tmp_path: Path) -> None:
    """It is reported when it is trained."""
    path = _copy(study_file, "{ latent_dim = [3, 4] }", "{ learning_rate = 1e30 }")
    study = select(read(path), "1")
    text = describe_plan(study, Store(tmp_path / "out"), study.jobs, {}, LocalExecutor(1))
    assert "not known until a run is done" in text


def test_rows_are_numbered_and_quick_ones_are_labelled(study_file: Path, tmp_path: Path) -> None:
    text = status(select(read(study_file), "2-3"), Store(tmp_path / "none"))
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["2", "3"]
    assert all(line.endswith("quick: not comparable with the paper") for line in lines[2:4])
    assert "quick" not in status(read("table1"), Store(tmp_path / "none")).partition("\n")[2]


def test_a_line_of_many_brackets_is_a_damaged_line(study: Study, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(finished(study, 1, 0, 30.0))
    with store.results_file.open("a") as file:
        file.write("[" * 100_000 + "\n" + '{"a":' * 100_000 + "\n")
    assert len(store.results()) == 1
    assert " 3     1       0        0        2" in status(study, store).splitlines()[2]
    with store.locked():
        assert len(store.results()) == 1


def test_a_part_of_a_study_is_run(
    study_file: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = _copy(study_file, "steps = 1000", "steps = 4"), tmp_path / "out"
    part = ["--rows", "1,4", "--only", "seed=5"]
    command = ["study", "run", str(path), "--out", str(out), "--workers", "1"]
    assert cli.main([*command, *part]) == 0
    printed = capsys.readouterr().out
    assert "2 missing runs, 8 steps left; 1 worker on this machine" in printed
    assert "2 of 2 runs are done, 0 failed" in printed
    assert {Run(p).read_config().seed for p in out.glob("*/")} == {5}
    study = read(path)
    assert Store(out).results().keys() == {job.key for job in select(study, "1,4", ["seed=5"]).jobs}
    assert cli.main(["study", "status", str(path), "--out", str(out), "--only", "seed=5"]) == 0
    assert "2 runs left, 8 steps" in capsys.readouterr().out
