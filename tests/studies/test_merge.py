"""Merging two machines' results: nothing is trained twice or lost, and damage stays out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unbraid import cli
from unbraid.data import load
from unbraid.errors import UserError
from unbraid.files import LOCK, directory_lock
from unbraid.runs import checkpoint
from unbraid.runs.run import WORKER_LOCK
from unbraid.studies import merge as merging
from unbraid.studies.archive import archive
from unbraid.studies.formats import table
from unbraid.studies.merge import merge
from unbraid.studies.store import Store
from unbraid.studies.study import Job, Study
from unbraid.studies.study_file import read
from unbraid.studies.worker import read_result, work

FILE = """
data = "dsprites-corner"
preset = "quick"
precision = "fp32"
seeds = 2
steps = 12
batch_size = 4
checkpoints = 3
sample = 200
images = 300
[[rows]]
method = "beta-vae"
hyperparameters = { latent_dim = 3 }
[[rows]]
method = "cascade-vae"
hyperparameters = { latent_dim = 3, stage_steps = 3, warmup_stages = 2 }
"""
NUMBERS = ("scores", "checkpoints", "kl", "elbo", "step", "images")
Pause = Callable[[Store, Job, int], None]


@pytest.fixture(scope="module")
def whole(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store]:
    """The study file, and a directory in which all runs were trained without a pause."""
    folder = tmp_path_factory.mktemp("whole")
    path, store = folder / "study.toml", Store(folder / "out")
    path.write_text(FILE)
    for job in read(path).jobs:
        finish(store, job)
    return path, store


@pytest.fixture
def study(whole: tuple[Path, Store]) -> Study:
    return read(whole[0])


def finish(store: Store, job: Job) -> None:
    """Train or resume a run as a worker does, and add its result."""
    assert not work({store.run(job): job}, load(job.config.data))
    with store.locked():
        store.append(read_result(store.run(job)))


def copy_run(whole: Store, store: Store, *jobs: Job) -> None:
    """Copy finished runs with their results, as if they had been trained in the directory."""
    for job in jobs:
        shutil.copytree(whole.run(job).path, store.run(job).path)
        with store.locked():
            store.append(whole.results()[job.key].table)


def contents(path: Path) -> dict[str, bytes]:
    files = (f for f in path.rglob("*") if f.is_file() and "lock" not in f.name)
    return {f.relative_to(path).as_posix(): f.read_bytes() for f in files}


def step_of(store: Store, job: Job) -> int:
    saved = checkpoint.read_if_valid(store.run(job).checkpoint_file, job.config.identity())
    return 0 if saved is None else saved.step


def numbers(store: Store, job: Job) -> dict[str, Any]:
    return {name: store.results()[job.key].table[name] for name in NUMBERS}


@pytest.fixture(scope="module")
def trained(
    whole: tuple[Path, Store], pause: Pause, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The directories that `machines` copies."""
    folder = tmp_path_factory.mktemp("machines")
    here, there = Store(folder / "here"), Store(folder / "there")
    (a, b), (c, d) = (row.jobs for row in read(whole[0]).rows)
    copy_run(whole[1], here, a, b)
    pause(here, c, 5)
    pause(there, a, 6)
    pause(there, c, 9)
    copy_run(whole[1], there, d)
    return folder


@pytest.fixture
def machines(trained: Path, tmp_path: Path) -> tuple[Store, Store]:
    """Two machines' directories: a row each is done, the others are missing or paused.

    Here the first row is done, the first run of the second row is paused at step 5, and the other
    is missing. There the first run of the first row is paused at 6, the first of the second is
    paused at step 9, and the other is done.
    """
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return Store(tmp_path / "here"), Store(tmp_path / "there")


def test_two_machines_become_one(
    machines: tuple[Store, Store], whole: tuple[Path, Store], study: Study, capsys
) -> None:
    """The paused run moves and resumes; each step is trained once; a second merge does nothing."""
    here, there = machines
    (a, b), (c, d) = (row.jobs for row in study.rows)
    before, theirs = contents(here.path), contents(there.path)
    command = ["study", "merge", str(whole[0]), "--from", str(there.path), "--out", str(here.path)]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert "1 results added, 1 unfinished runs moved, 1 runs without news, 0 conflicts" in printed
    assert f"unfinished: {c.name}, at step 9" in printed
    assert contents(there.path) == theirs
    assert here.results().keys() == {a.key, b.key, d.key}
    assert step_of(here, c) == 9
    for job in (a, b):
        kept = {n: data for n, data in before.items() if n.startswith(job.name)}
        assert kept.items() <= contents(here.path).items()
    merged = contents(here.path)
    assert cli.main(command) == 0
    assert "0 results added, 0 unfinished runs moved, 3 runs without" in capsys.readouterr().out
    assert contents(here.path) == merged
    run_command = ["study", "run", str(whole[0]), "--out", str(here.path), "--workers", "1"]
    assert cli.main(run_command) == 0
    assert "1 missing runs, 4 steps left" in capsys.readouterr().out
    for job in study.jobs:
        assert numbers(here, job) == numbers(whole[1], job)
        one, other = (store.run(job).checkpoint_file.read_bytes() for store in (here, whole[1]))
        assert one == other
    assert table(study, here) == table(study, whole[1])
    sessions = [s for s in here.run(c).read_provenance() if s.get("to_step", 0) > s["from_step"]]
    steps = [(s["from_step"], s.get("to_step")) for s in sessions]
    assert steps == [(0, 4), (4, 8), (8, 9), (9, 12)]
    assert here.results_file.read_text().count("\n") == 4


def test_merging_the_other_way_gives_the_same_results(
    machines: tuple[Store, Store], study: Study
) -> None:
    here, there = machines
    (a, b), (_, d) = (row.jobs for row in study.rows)
    report = merge(study, here, there)
    assert (set(report.results), report.checkpoints) == ({a.name, b.name}, [])
    assert there.results().keys() == {a.key, b.key, d.key}
    assert [step_of(there, job) for job in study.jobs] == [12, 9, 12, 12]
    # The paused run of the first row is replaced by the finished one.
    assert there.run(a).sample_file.exists()


def test_a_merge_that_is_killed_at_any_write_loses_nothing_and_can_be_repeated(
    machines: tuple[Store, Store], study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machines
    c = study.rows[1].jobs[0]
    whole = Store(tmp_path / "whole")
    shutil.copytree(here.path, whole.path)
    merge(study, there, whole)
    writes = 0
    original = (merging.written_atomically, Store.append)
    while True:
        copy = Store(tmp_path / f"killed-{writes}")
        shutil.copytree(here.path, copy.path)
        left = [writes]

        def counted(function: Callable, left: list[int] = left) -> Callable:
            def call(*arguments: Any) -> Any:
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt
                return function(*arguments)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(merging, "written_atomically", counted(original[0]))
            patch.setattr(Store, "append", counted(original[1]))
            try:
                merge(study, there, copy)
                break
            except KeyboardInterrupt:
                pass
        assert here.results().keys() <= copy.results().keys()
        assert step_of(copy, c) in (5, 9)
        assert copy.results().keys() <= whole.results().keys()
        for job in study.jobs:
            if job.key in copy.results():
                assert step_of(copy, job) == 12
        merge(study, there, copy)
        assert contents(copy.path) == contents(whole.path)
        writes += 1
    assert writes > 10


def test_a_run_that_was_killed_while_it_was_merged_resumes_to_the_same_numbers(
    machines: tuple[Store, Store], whole: tuple[Path, Store], study: Study, monkeypatch
) -> None:
    """All files of the later run are here but its checkpoint: training resumes from our own."""
    here, there = machines
    c = study.rows[1].jobs[0]
    copy = merging._copy

    def no_checkpoint(file: Path, to: Path) -> None:
        if to.name == "checkpoint.safetensors" and c.name in str(to):
            raise KeyboardInterrupt
        copy(file, to)

    monkeypatch.setattr(merging, "_copy", no_checkpoint)
    with pytest.raises(KeyboardInterrupt):
        merge(study, there, here)
    assert step_of(here, c) == 5
    finish(here, c)
    ours, theirs = numbers(here, c), numbers(whole[1], c)
    # The scores at step 8 were copied, so no session ends there, and the last log record is longer.
    assert {**ours, "elbo": None} == {**theirs, "elbo": None}


def test_a_conflict_is_reported_and_keeps_our_result(
    machines: tuple[Store, Store], whole: tuple[Path, Store], study: Study, capsys
) -> None:
    here, there = machines
    a, b = study.rows[0].jobs
    other = dict(whole[1].results()[b.key].table)
    with there.locked():
        there.append({**other, "elbo": other["elbo"] - 1, "scores": []})
        # Another machine, date and duration are no conflict.
        theirs = {**whole[1].results()[a.key].table, "machine": "x", "training_seconds": 1.0}
        there.append({**theirs, "started": "2020-01-01", "torch": "1", "attempts": 3})
    before = contents(here.path / b.name), here.results()[b.key]
    command = ["study", "merge", str(whole[0]), "--from", str(there.path), "--out", str(here.path)]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert "1 conflicts" in printed
    assert f"conflict: {b.name}: elbo, scores differ; {here.path} keeps its own\n" in printed
    assert (contents(here.path / b.name), here.results()[b.key]) == before


def test_a_failed_run_is_taken_over_unless_ours_has_come_further(
    machines: tuple[Store, Store], study: Study
) -> None:
    here, there = machines
    (a, _b), (c, d) = (row.jobs for row in study.rows)
    with there.locked():
        for job in (a, c):
            there.append({"key": job.key, "status": "failed", "attempts": 2, "reasons": ["died"]})
    with here.locked():
        here.append({"key": d.key, "status": "failed", "attempts": 1, "reasons": ["hung"]})
    fresh = Store(here.path.with_name("fresh"))
    report = merge(study, there, here)
    assert here.results()[a.key].is_done
    assert here.results()[c.key].status == "failed"
    assert step_of(here, c) == 9
    assert here.results()[d.key].is_done
    assert set(report.results) == {c.name, d.name}
    merge(study, there, fresh)
    assert fresh.results()[a.key].status == "failed"
    # Ours has come further than the one that failed there.
    behind = Store(here.path.with_name("behind"))
    shutil.copytree(there.run(c).path, behind.run(c).path)
    with there.locked():
        there.run(c).checkpoint_file.unlink()
        there.run(c).previous_checkpoint_file.unlink()
    merge(study, there, behind)
    assert c.key not in behind.results()


CUT = {"checkpoint.safetensors": -9, "previous.safetensors": -9}


@pytest.mark.parametrize(
    ("names", "step", "message"),
    [
        (["checkpoint.safetensors"], 8, None),
        (["checkpoint.safetensors", "previous.safetensors"], 5, "no checkpoint is usable"),
        (["checkpoints.json"], 5, "checkpoints.json lacks scores, so the run cannot be resumed"),
        (["provenance.json"], 9, "provenance.json is damaged, left out"),
        (["log.jsonl"], 9, None),
        (["config.toml"], 9, None),
        (["stages/step-00000006.safetensors"], 9, "step-00000006.safetensors is damaged"),
    ],
)
def test_a_damaged_file_replaces_nothing_and_the_run_still_ends_with_its_numbers(
    names: list[str],
    step: int,
    message: str | None,
    machines: tuple[Store, Store],
    whole: tuple[Path, Store],
    study: Study,
) -> None:
    here, there = machines
    c = study.rows[1].jobs[0]
    for name in names:
        file = there.run(c).path / name
        data = file.read_bytes()
        file.write_bytes(data[:-9] if name in CUT else b"\x00" * len(data))
    before = contents(here.run(c).path)
    report = merge(study, there, here)
    assert step_of(here, c) == step
    assert (message or "") in " ".join(report.damaged)
    assert bool(report.damaged) == bool(message)
    if step == 5:
        assert contents(here.run(c).path) == before
    finish(here, c)
    for name in ("scores", "checkpoints", "kl", "step"):
        assert numbers(here, c)[name] == numbers(whole[1], c)[name]


def test_damaged_results_lose_nothing(
    machines: tuple[Store, Store], whole: tuple[Path, Store], study: Study
) -> None:
    """The run of the damaged line is moved with its last checkpoint, and only scored again."""
    here, there = machines
    d = study.rows[1].jobs[1]
    ours = here.results_file.read_bytes()
    there.results_file.write_bytes(b'{"key": "half\n' + b"[" * 100_000 + b"\n\xff\xfe\n")
    report = merge(study, there, here)
    assert f"{there.results_file}: 3 lines are damaged" in report.damaged
    assert here.results_file.read_bytes() == ours
    assert step_of(here, d) == 12
    assert f"{d.name}, at step 12" in report.checkpoints
    sessions = here.run(d).read_provenance()
    finish(here, d)
    trained = [s for s in here.run(d).read_provenance() if s.get("to_step", 0) > s["from_step"]]
    assert len(trained) == len([s for s in sessions if s.get("to_step", 0) > s["from_step"]])
    # A trained run whose log is lost has no ELBO: it is resumed from the checkpoint before.
    other, none = (Store(here.path.with_name(name)) for name in ("other", "none"))
    there.run(d).log_file.write_text("")
    merge(study, there, other)
    assert step_of(other, d) == 8
    finish(other, d)
    assert numbers(other, d) == numbers(whole[1], d)
    there.run(d).previous_checkpoint_file.unlink()
    report = merge(study, there, none)
    assert any("log.jsonl is incomplete" in text for text in report.damaged)
    assert step_of(none, d) == 0


@pytest.mark.parametrize("which", ["here", "there"])
@pytest.mark.parametrize("lock", ["study", WORKER_LOCK, LOCK])
def test_a_directory_in_use_is_not_merged(
    which: str, lock: str, machines: tuple[Store, Store], study: Study
) -> None:
    here, there = machines
    before = contents(here.path), contents(there.path)
    store = here if which == "here" else there
    run = store.run(study.rows[1].jobs[0])
    holds = store.locked() if lock == "study" else directory_lock(run.path, lock)
    with holds, pytest.raises(UserError, match="wait until it ends"):
        merge(study, there, here)
    assert (contents(here.path), contents(there.path)) == before
    merge(study, there, here)


def test_an_archive_can_be_merged(
    machines: tuple[Store, Store], whole: tuple[Path, Store], study: Study, tmp_path: Path
) -> None:
    """It adds results; a checkpoint that can be resumed is not replaced by one that cannot."""
    here, _ = machines
    archived, empty = Store(tmp_path / "archive"), Store(tmp_path / "empty")
    archive(study, whole[1], archived)
    c = study.rows[1].jobs[0]
    before = contents(here.run(c).path)
    merge(study, archived, here)
    assert len(here.results()) == 4
    assert contents(here.run(c).path) == before
    merge(study, archived, empty)
    assert table(study, empty) == table(study, archived) == table(study, whole[1])
    weights = {file.parent.name for file in archived.path.rglob("checkpoint.safetensors")}
    assert weights == {file.parent.name for file in empty.path.rglob("checkpoint.safetensors")}
    assert len(weights) == 2
    merged = contents(empty.path)
    merge(study, archived, empty)
    assert contents(empty.path) == merged
    # The runs themselves are added to what came from the archive.
    merge(study, whole[1], empty)
    assert [step_of(empty, job) for job in study.jobs] == [12] * 4
    assert len(empty.results()) == 4
    # An archive is not added to, as `study archive` does that.
    assert contents(archived.path) != {}


def test_directories_without_a_run_of_the_study_are_refused(
    machines: tuple[Store, Store], study: Study, tmp_path: Path
) -> None:
    here, there = machines
    (tmp_path / "nothing").mkdir()
    for source, message in (
        (here, "both directories are the same; choose another `source`"),
        (Store(tmp_path / "none"), "no such directory; set `source` to a study directory"),
        (Store(tmp_path / "nothing"), "has no run of the study; set `source`"),
    ):
        with pytest.raises(UserError, match=message):
            merge(study, source, here)
    assert not (tmp_path / "none").exists()
    other = read_with(study, tmp_path, "steps = 12", "steps = 13")
    with pytest.raises(UserError, match="has no run of the study"):
        merge(other, there, here)


def read_with(study: Study, folder: Path, old: str, new: str) -> Study:
    path = folder / "other.toml"
    path.write_text(study.text.replace(old, new))
    return read(path)


def test_a_directory_that_cannot_be_written_is_merged(
    machines: tuple[Store, Store], study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example a read-only copy: no lock can be held in it."""
    here, there = machines
    original = merging.directory_lock

    def refused(folder: Path, *arguments: Any, **more: Any):
        if folder == there.path:
            raise UserError(f"{folder}: cannot be written (Read-only file system)")
        return original(folder, *arguments, **more)

    monkeypatch.setattr(merging, "directory_lock", refused)
    assert len(merge(study, there, here).results) == 1


def test_the_log_of_a_moved_run_is_one(machines: tuple[Store, Store], study: Study) -> None:
    here, there = machines
    c = study.rows[1].jobs[0]
    merge(study, there, here)
    finish(here, c)
    steps = [json.loads(line)["step"] for line in here.run(c).log_file.read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 12
