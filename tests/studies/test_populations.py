"""Runs that differ in their seed alone, as one population on one worker."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unbraid import cli
from unbraid.data.images import ImageTable
from unbraid.engine.vmapped_ensemble import VmappedEnsemble
from unbraid.errors import UserError
from unbraid.runs import Run
from unbraid.runs.checkpoint import read as read_checkpoint
from unbraid.studies import executors, worker
from unbraid.studies.samples import read_sample
from unbraid.studies.store import Store
from unbraid.studies.study import Job, populations
from unbraid.studies.study_file import read

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
FILE = """
data = "dsprites-corner"
preset = "quick"
precision = "fp32"
seeds = 5
steps = 12
batch_size = 4
checkpoints = 2
sample = 200
images = 300
[[rows]]
method = "beta-vae"
hyperparameters = { latent_dim = 3, learning_rate = 1e-3 }
[[rows]]
method = "chart-vae"
"""


@pytest.fixture
def one_row(study_file: Path) -> Path:
    """Three seeds of the first row."""
    text = FILE.replace("seeds = 5", "seeds = 3").partition('[[rows]]\nmethod = "chart-vae"')[0]
    study_file.write_text(text)
    return study_file


def members_in(store: Store, jobs: list[Job]) -> dict[Run, Job]:
    return {store.run(job): job for job in jobs}


def test_a_population_is_of_one_row_and_what_must_be_alone_is(study_file: Path) -> None:
    jobs = read(study_file).jobs
    told = [
        [(job.config.method.name, job.config.seed) for job in group]
        for group in populations(jobs, 2)
    ]
    beta, chart = "beta-vae", "chart-vae"
    assert told == [
        [(beta, 0), (beta, 1)],
        [(chart, 0)],
        [(chart, 1)],
        [(beta, 2), (beta, 3)],
        [(chart, 2)],
        [(chart, 3)],
        [(beta, 4)],
        [(chart, 4)],
    ]
    assert populations(jobs, 1) == [[job] for job in jobs]
    other = dataclasses.replace(jobs[0], scoring=dataclasses.replace(jobs[0].scoring, images=400))
    assert len(populations([jobs[0], other], 10)) == 2


def test_on_cores_a_population_has_the_bits_of_its_runs(
    one_row: Path, cache: Path, tmp_path: Path
) -> None:
    command = ["study", "run", str(one_row), "--workers", "1", "--out"]
    packed, single = Store(tmp_path / "packed"), Store(tmp_path / "single")
    assert cli.main([*command, str(packed.path), "--members", "2"]) == 0
    assert cli.main([*command, str(single.path)]) == 0
    for job in read(one_row).jobs:
        assert _without_times(packed.results()[job.key]) == _without_times(
            single.results()[job.key]
        )
        files = [store.run(job).checkpoint_file.read_bytes() for store in (packed, single)]
        assert files[0] == files[1]


@pytest.fixture
def stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: all members move in one step."""
    monkeypatch.setattr(worker, "can_train_together", lambda method, device: True)


@pytest.mark.usefixtures("stacked")
def test_members_of_one_step_are_scored_as_they_go(
    one_row: Path, corner: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have the runs' scores but for rounding; one scored at a mark before is not held up."""
    jobs = read(one_row).jobs
    alone, together = Store(tmp_path / "alone"), Store(tmp_path / "together")
    with monkeypatch.context() as apart:
        apart.setattr(worker, "can_train_together", lambda method, device: False)
        assert worker.work(members_in(alone, jobs), corner) == {}
        # One member of the population has come to its first mark before.
        halfway = dataclasses.replace(
            jobs[1],
            config=worker._with_steps(jobs[1].config, 6),
            scoring=dataclasses.replace(jobs[1].scoring, checkpoints=1),
        )
        run = together.run(jobs[1])
        assert worker.work({run: halfway}, corner) == {}
    assert worker.work(members_in(together, jobs), corner) == {}
    for job in jobs:
        one, other = (worker.read_result(store.run(job)) for store in (alone, together))
        assert list(other["checkpoints"]) == ["6", "12"]
        assert other["kl"] == pytest.approx(one["kl"], rel=1e-3, abs=1e-5)
        assert other["elbo"] == pytest.approx(one["elbo"], rel=1e-4)
        assert other["key"] == job.key
        samples = [read_sample(store.run(job)) for store in (alone, together)]
        assert samples[0] is not None
        assert samples[1] is not None
        assert samples[1].mean == pytest.approx(samples[0].mean, rel=0.02, abs=2e-3)
    # Nothing is missing: it is gathered again as it stands.
    before = [together.run(job).checkpoint_file.read_bytes() for job in jobs]
    assert worker.work(members_in(together, jobs), corner) == {}
    assert [together.run(job).checkpoint_file.read_bytes() for job in jobs] == before


@pytest.mark.usefixtures("stacked")
def test_a_member_that_diverges_is_named_and_the_others_are_done(
    one_row: Path, corner: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_steps = VmappedEnsemble.run

    def poisoned(stack: VmappedEnsemble, end: int) -> list[bool]:
        if end == 12 and len(stack.states) == 3:
            with torch.no_grad():
                stack._weights["decoder.entry.bias"][1] = torch.nan
        return run_steps(stack, end)

    monkeypatch.setattr(VmappedEnsemble, "run", poisoned)
    store, jobs = Store(tmp_path), read(one_row).jobs
    lost = worker.work(members_in(store, jobs), corner)
    assert list(lost) == [store.run(jobs[1])]
    assert "became NaN or infinite" in lost[store.run(jobs[1])]
    assert not (store.run(jobs[1]).result_file).exists()
    for job in (jobs[0], jobs[2]):
        assert worker.read_result(store.run(job))["step"] == 12
    config = jobs[1].config
    saved = read_checkpoint(store.run(jobs[1]).checkpoint_file, config.with_fingerprint_of(corner).identity())
    assert saved.step == 6


@pytest.mark.usefixtures("stacked")
def test_a_member_that_cannot_begin_holds_no_other_up(
    one_row: Path, corner: ImageTable, tmp_path: Path
) -> None:
    """Its checkpoint is damaged."""
    store, jobs = Store(tmp_path), read(one_row).jobs
    assert worker.work({store.run(jobs[0]): jobs[0]}, corner) == {}
    run = store.run(jobs[0])
    for file in run.path.glob("*.safetensors"):
        file.write_bytes(b"")
    lost = worker.work(members_in(store, jobs), corner)
    assert list(lost) == [run]
    assert "not a whole safetensors file" in lost[run]
    for job in jobs[1:]:
        assert worker.read_result(store.run(job))["step"] == 12


@pytest.mark.usefixtures("stacked")
def test_the_time_of_a_population_is_shared(
    one_row: Path, corner: ImageTable, tmp_path: Path
) -> None:
    store, jobs = Store(tmp_path), read(one_row).jobs
    assert worker.work(members_in(store, jobs), corner) == {}
    for job in jobs:
        sessions = json.loads(store.run(job).provenance_file.read_text())
        assert [session["members"] for session in sessions] == [3, 3]
        whole = sum(session["seconds"] for session in sessions)
        told = worker.read_result(store.run(job))["training_seconds"]
        assert told == pytest.approx(whole / 3, abs=0.06)


def test_one_that_diverges_on_a_core_holds_no_other_up(
    one_row: Path, corner: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = worker.train

    def refuses(config: Any, table: ImageTable, out: Path, **how: Any) -> Run:
        if config.seed == 0:
            raise UserError("step 3: kl became NaN")
        return train(config, table, out, **how)

    monkeypatch.setattr(worker, "train", refuses)
    store, jobs = Store(tmp_path), read(one_row).jobs
    lost = worker.work(members_in(store, jobs), corner)
    assert lost == {store.run(jobs[0]): "step 3: kl became NaN"}
    assert [worker.read_result(store.run(job))["step"] for job in jobs[1:]] == [12, 12]


def test_a_population_that_is_killed_goes_on_to_the_same_results(
    one_row: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed while its second member trains: the first is as it was, the others go on."""
    one_row.write_text(one_row.read_text().replace("steps = 12", "steps = 60"))
    study = read(one_row)
    whole, store = Store(tmp_path / "whole"), Store(tmp_path / "out")
    command = ["study", "run", str(one_row), "--workers", "1", "--members", "3", "--out"]
    assert cli.main([*command, str(whole.path)]) == 0
    driver = subprocess.Popen(
        [sys.executable, "-m", "unbraid", *command, str(store.path)], stderr=subprocess.DEVNULL
    )
    _until(lambda: store.run(study.jobs[1]).eval_scores_file.exists())
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    capsys.readouterr()
    assert cli.main([*command, str(store.path)]) == 0
    assert "3 of 3 runs are done, 0 failed" in capsys.readouterr().out
    for job in study.jobs:
        results = [_without_times(one.results()[job.key]) for one in (whole, store)]
        assert results[0] == results[1]


def test_each_worker_has_a_gpu_of_its_own(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def watched(jobs: list[Job], folder: Path, **how: Any) -> list[dict[str, Any]]:
        given.append((len(jobs), how["device"], how["environment"]))
        time.sleep(0.05)
        return [{"key": job.key, "status": "done"} for job in jobs]

    monkeypatch.setattr(executors, "supervise", watched)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7,9")
    assert executors.LocalExecutor(1, "cuda").place == "1 worker on 1 of its GPUs"
    local = executors.LocalExecutor(device="cuda")
    assert (local.workers, local.place) == (2, "2 workers on 2 of its GPUs")
    study, store = read(study_file), Store(tmp_path)
    local.start(study.jobs, study, store)
    results = []
    while len(results) < 10:
        results += local.collect(1.0)
    local.stop()
    assert {result["key"] for result in results} == {job.key for job in study.jobs}
    assert sorted(size for size, _, _ in given) == [1, 1, 1, 1, 1, 5]
    assert {device for _, device, _ in given} == {"cuda"}
    assert {place["CUDA_VISIBLE_DEVICES"] for _, _, place in given} == {"4", "7"}


@NO_GPU
def test_a_gpu_that_is_not_there_is_one_line(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["study", "run", str(study_file), "--out", str(tmp_path / "out")]
    assert cli.main([*command, "--device", "cuda"]) == 2
    error = capsys.readouterr().err
    assert "device 'cuda': not usable here" in error
    assert error.count("\n") == 1
    assert cli.main([*command, "--members", "0"]) == 2
    assert "members=0: a population has members" in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_on_a_gpu_a_study_has_the_scores_of_its_runs(
    one_row: Path, cache: Path, tmp_path: Path
) -> None:
    command = ["study", "run", str(one_row), "--out"]
    on_gpu, on_cores = Store(tmp_path / "gpu"), Store(tmp_path / "cores")
    assert cli.main([*command, str(on_gpu.path), "--device", "cuda"]) == 0
    assert cli.main([*command, str(on_cores.path)]) == 0
    for key, result in on_cores.results().items():
        assert on_gpu.results()[key]["device"].startswith("cuda")
        assert on_gpu.results()[key]["elbo"] == pytest.approx(result["elbo"], rel=1e-3)


def _without_times(result: dict[str, Any]) -> dict[str, Any]:
    timed = ("training_seconds", "started")
    return json.loads(json.dumps({k: v for k, v in result.items() if k not in timed}))


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to pass in time")
