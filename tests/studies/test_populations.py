"""Runs that differ only in their seed, as one population in one worker."""

import dataclasses
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unbraid import cli
from unbraid.data.images import ImageTable
from unbraid.engine.vmapped_ensemble import VmappedEnsemble
from unbraid.errors import DivergedError
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


def test_populations_are_of_one_row_and_of_methods_that_support_vmap(study_file: Path) -> None:
    jobs = read(study_file).jobs
    seeds_of_populations = [
        [(job.config.method.name, job.config.seed) for job in group]
        for group in populations(jobs, 2)
    ]
    beta, chart = "beta-vae", "chart-vae"
    assert seeds_of_populations == [
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


@pytest.mark.slow
def test_population_on_a_cpu_equals_the_separate_runs(
    one_row: Path, cache: Path, tmp_path: Path
) -> None:
    command = ["study", "run", str(one_row), "--workers", "1", "--out"]
    packed, single = Store(tmp_path / "packed"), Store(tmp_path / "single")
    assert cli.main([*command, str(packed.path), "--members", "2"]) == 0
    assert cli.main([*command, str(single.path)]) == 0
    for job in read(one_row).jobs:
        assert _without_times(packed.results()[job.key].table) == _without_times(
            single.results()[job.key].table
        )
        files = [store.run(job).checkpoint_file.read_bytes() for store in (packed, single)]
        assert files[0] == files[1]


@pytest.fixture
def stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: all members are trained in the same step."""
    monkeypatch.setattr(worker, "can_train_together", lambda method, device: True)


@pytest.mark.usefixtures("stacked")
def test_members_trained_together_are_scored_during_training(
    one_row: Path, corner: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their scores equal those of separate runs up to rounding, also of a member that is ahead."""
    jobs = read(one_row).jobs
    alone, together = Store(tmp_path / "alone"), Store(tmp_path / "together")
    with monkeypatch.context() as apart:
        apart.setattr(worker, "can_train_together", lambda method, device: False)
        assert worker.work(members_in(alone, jobs), corner) == {}
        # One member has been scored at the first step before.
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
    # Nothing is missing: nothing is trained again.
    before = [together.run(job).checkpoint_file.read_bytes() for job in jobs]
    assert worker.work(members_in(together, jobs), corner) == {}
    assert [together.run(job).checkpoint_file.read_bytes() for job in jobs] == before


@pytest.mark.usefixtures("stacked")
def test_diverged_member_is_reported_and_the_others_finish(
    one_row: Path, corner: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_steps = VmappedEnsemble.run

    def poisoned(ensemble: VmappedEnsemble, end: int) -> list[bool]:
        if end == 12 and len(ensemble.states) == 3:
            with torch.no_grad():
                ensemble._weights["decoder.entry.bias"][1] = torch.nan
        return run_steps(ensemble, end)

    monkeypatch.setattr(VmappedEnsemble, "run", poisoned)
    store, jobs = Store(tmp_path), read(one_row).jobs
    failures = worker.work(members_in(store, jobs), corner)
    assert list(failures) == [store.run(jobs[1])]
    assert "became NaN or infinite" in failures[store.run(jobs[1])]
    assert not (store.run(jobs[1]).result_file).exists()
    for job in (jobs[0], jobs[2]):
        assert worker.read_result(store.run(job))["step"] == 12
    config = jobs[1].config
    saved = read_checkpoint(
        store.run(jobs[1]).checkpoint_file, config.with_fingerprint_of(corner).identity()
    )
    assert saved.step == 6


@pytest.mark.usefixtures("stacked")
def test_member_with_a_damaged_checkpoint_does_not_stop_the_others(
    one_row: Path, corner: ImageTable, tmp_path: Path
) -> None:
    store, jobs = Store(tmp_path), read(one_row).jobs
    assert worker.work({store.run(jobs[0]): jobs[0]}, corner) == {}
    run = store.run(jobs[0])
    for file in run.path.glob("*.safetensors"):
        file.write_bytes(b"")
    failures = worker.work(members_in(store, jobs), corner)
    assert list(failures) == [run]
    assert "not a complete safetensors file" in failures[run]
    for job in jobs[1:]:
        assert worker.read_result(store.run(job))["step"] == 12


@pytest.mark.usefixtures("stacked")
def test_time_of_a_population_is_divided_among_its_members(
    one_row: Path, corner: ImageTable, tmp_path: Path
) -> None:
    store, jobs = Store(tmp_path), read(one_row).jobs
    assert worker.work(members_in(store, jobs), corner) == {}
    for job in jobs:
        sessions = json.loads(store.run(job).provenance_file.read_text())
        assert [session["members"] for session in sessions] == [3, 3]
        total = sum(session["seconds"] for session in sessions)
        seconds = worker.read_result(store.run(job))["training_seconds"]
        assert seconds == pytest.approx(total / 3, abs=0.06)


def test_diverged_member_on_a_cpu_does_not_stop_the_others(
    one_row: Path, corner: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = worker.train

    def diverges(config: Any, table: ImageTable, out: Path, **kwargs: Any) -> Run:
        if config.seed == 0:
            raise DivergedError("step 3: kl became NaN")
        return train(config, table, out, **kwargs)

    monkeypatch.setattr(worker, "train", diverges)
    store, jobs = Store(tmp_path), read(one_row).jobs
    failures = worker.work(members_in(store, jobs), corner)
    assert failures == {store.run(jobs[0]): "step 3: kl became NaN"}
    assert [worker.read_result(store.run(job))["step"] for job in jobs[1:]] == [12, 12]


@pytest.mark.slow
def test_killed_population_resumes_to_the_same_results(
    one_row: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is killed while its second member is trained."""
    one_row.write_text(one_row.read_text().replace("steps = 12", "steps = 60"))
    study = read(one_row)
    uninterrupted, store = Store(tmp_path / "uninterrupted"), Store(tmp_path / "out")
    command = ["study", "run", str(one_row), "--workers", "1", "--members", "3", "--out"]
    assert cli.main([*command, str(uninterrupted.path)]) == 0
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
        results = [_without_times(s.results()[job.key].table) for s in (uninterrupted, store)]
        assert results[0] == results[1]


def test_each_worker_has_its_own_gpu(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    # Six populations for two workers: each takes three, at the same time as the other.
    both = threading.Barrier(2, timeout=300.0)

    def recorded(jobs: list[Job], folder: Path, **kwargs: Any) -> list[dict[str, Any]]:
        calls.append((len(jobs), kwargs["device"], kwargs["environment"]))
        both.wait()
        return [{"key": job.key, "status": "done"} for job in jobs]

    monkeypatch.setattr(executors, "supervise", recorded)
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
    assert sorted(size for size, _, _ in calls) == [1, 1, 1, 1, 1, 5]
    assert {device for _, device, _ in calls} == {"cuda"}
    assert {variables["CUDA_VISIBLE_DEVICES"] for _, _, variables in calls} == {"4", "7"}


@NO_GPU
def test_missing_gpu_is_reported_in_one_line(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["study", "run", str(study_file), "--out", str(tmp_path / "out")]
    assert cli.main([*command, "--device", "cuda"]) == 2
    error = capsys.readouterr().err
    assert "--device cuda: not usable here" in error
    assert error.count("\n") == 1
    assert cli.main([*command, "--members", "0"]) == 2
    assert "--members 0: must be at least 1" in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_study_on_a_gpu_has_the_scores_of_a_study_on_a_cpu(
    one_row: Path, cache: Path, tmp_path: Path
) -> None:
    command = ["study", "run", str(one_row), "--out"]
    on_gpu, on_cores = Store(tmp_path / "gpu"), Store(tmp_path / "cores")
    assert cli.main([*command, str(on_gpu.path), "--device", "cuda"]) == 0
    assert cli.main([*command, str(on_cores.path)]) == 0
    for key, result in on_cores.results().items():
        assert on_gpu.results()[key].table["device"].startswith("cuda")
        assert on_gpu.results()[key].elbo == pytest.approx(result.elbo, rel=1e-3)


def _without_times(result: dict[str, Any]) -> dict[str, Any]:
    timed = ("training_seconds", "started")
    return json.loads(json.dumps({k: v for k, v in result.items() if k not in timed}))


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("the condition was not met in time")
