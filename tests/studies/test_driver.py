"""`study run` makes only missing runs and resumes after a kill; `study status` reports them."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from unbraid import cli
from unbraid.data import load
from unbraid.engine import train
from unbraid.files import directory_lock
from unbraid.runs import Run
from unbraid.runs.run import WORKER_LOCK
from unbraid.studies.driver import run
from unbraid.studies.plan import status
from unbraid.studies.samples import read_sample
from unbraid.studies.store import Store, steps_done
from unbraid.studies.study_file import read
from unbraid.studies.worker import eval_steps

FILE = """
data = "dsprites-corner"
preset = "quick"
precision = "fp32"
seeds = 2
steps = 40
batch_size = 4
checkpoints = 2
sample = 200
images = 300
[[rows]]
method = "beta-vae"
hyperparameters = { latent_dim = 3 }
[[rows]]
method = "cascade-vae"
hyperparameters = { latent_dim = 3, stage_steps = 5, warmup_stages = 2 }
"""


class FakeExecutor:
    """An executor that invents results and records the jobs that it was given."""

    place, device, workers, runs_on_this_cpu = "nowhere", "cpu", 2, False

    def __init__(self, fails: tuple[int, ...] = ()) -> None:
        self.waiting, self.fails, self.started = [], fails, []

    def start(self, jobs, study, store) -> None:
        self.waiting, self.started = list(jobs), list(jobs)

    def collect(self, seconds: float) -> list[dict]:
        job = self.waiting.pop(0)
        failed = job.config.seed in self.fails
        common = {"training_seconds": 36.0, "step": job.config.budget.steps, "attempts": 2}
        outcome = {"status": "failed", "reasons": ["died"]} if failed else {"status": "done"}
        return [{"key": job.key, **job.config.as_table(), **common, **outcome}]

    def stop(self) -> None:
        pass


def test_evaluated_steps_are_even_and_include_the_last() -> None:
    assert eval_steps(300_000, 30) == list(range(10_000, 300_001, 10_000))
    assert eval_steps(7, 3) == [2, 4, 7]
    assert eval_steps(100, 0) == [100]
    assert eval_steps(2, 30) == [1, 2]


def test_only_missing_runs_are_made_and_failed_ones_only_on_request(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, store = read(study_file), Store(tmp_path / "out")
    first = FakeExecutor(fails=(1,))
    assert run(study, store, first) == {"done": 2, "failed": 2}
    assert [job.config.seed for job in first.started] == [0, 0, 1, 1]
    second = FakeExecutor()
    assert run(study, store, second) == {"done": 2, "failed": 2}
    assert second.started == []
    text = status(study, store)
    assert text.count("failed: ") == 2
    assert "2 attempts: died" in text
    third = FakeExecutor()
    assert run(study, store, third, failed=True) == {"done": 4, "failed": 0}
    assert {job.config.seed for job in third.started} == {1}
    assert "no run is missing" in status(study, store)
    assert not any(store.path.glob("*/")), "status created a directory"
    wider = study_file.with_name("wider.toml")
    wider.write_text(study_file.read_text().replace("seeds = 2", "seeds = 3"))
    assert "2 runs left, 80 steps: about 0.0 worker-hours" in status(read(wider), store)
    # One of them is running and has reached half of its steps.
    half = store.run(read(wider).rows[0].jobs[2])
    half.path.mkdir()
    half.log_file.write_text('{"step": 20, "kl": [1.0]}\n')
    with directory_lock(half.path, WORKER_LOCK):
        text = status(read(wider), store)
    assert "2 runs left (1 running), 60 steps: about" in text
    half.log_file.unlink()
    fourth = FakeExecutor()
    run(read(wider), store, fourth)
    assert [job.config.seed for job in fourth.started] == [2, 2]


@pytest.mark.slow
def test_a_killed_study_resumes_to_the_same_results(
    study_file: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The worker of a killed driver stops, too; the same command finishes and repeats no run."""
    text = study_file.read_text().replace("seeds = 2", "seeds = 1")
    study_file.write_text(text.replace("checkpoints = 2", "checkpoints = 4"))
    out = tmp_path / "out"
    arguments = ["study", "run", str(study_file), "--out", str(out), "--workers", "1"]
    driver = subprocess.Popen(
        [sys.executable, "-m", "unbraid", *arguments], stderr=subprocess.DEVNULL
    )
    study, store = read(study_file), Store(out)
    first = store.run(study.jobs[0])
    _until(lambda: steps_done(first) >= 10)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert cli.main(arguments) == 0
    assert "2 of 2 runs are done, 0 failed" in capsys.readouterr().out
    lines = store.results_file.read_text()
    assert lines.count("\n") == 2
    assert cli.main(arguments) == 0
    assert store.results_file.read_text() == lines
    straight = Store(tmp_path / "straight")
    assert cli.main([*arguments[:4], str(straight.path), "--workers", "2"]) == 0
    for key, result in straight.results().items():
        other = store.results()[key]
        for name in ("scores", "checkpoints", "kl", "elbo", "step"):
            assert other.table[name] == result.table[name], name
        assert result.table["images"] == 300
        assert list(result.checkpoints) == ["10", "20", "30", "40"]
    for job in study.jobs:
        codes = read_sample(straight.run(job))
        assert codes is not None
        assert len(codes.mean) == 200
        assert (codes.category is None) == (job.config.method.name == "beta-vae")
        assert np.isfinite(codes.mean).all()
    # Trained in four parts with scores between them, it is the same run as by one command.
    job = study.jobs[0]
    alone = train(job.config, load("dsprites-corner"), tmp_path / "alone")
    assert alone.checkpoint_file.read_bytes() == straight.run(job).checkpoint_file.read_bytes()
    assert cli.main(["evaluate", str(straight.run(study.jobs[0]).path)]) == 0


def test_a_cache_that_cannot_be_locked_is_read(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example one that belongs to somebody else."""
    load("dsprites-corner")
    read_only = tmp_path / "cache"
    (read_only / ".lock").mkdir(parents=True)
    for file in cache.glob("dsprites*"):
        (read_only / file.name).symlink_to(file)
    monkeypatch.setenv("UNBRAID_CACHE", str(read_only))
    study_file = tmp_path / "trial.toml"
    text = FILE.replace("seeds = 2", "seeds = 1").rpartition("[[rows]]")[0]
    study_file.write_text(text.replace("steps = 40", "steps = 2"))
    command = ["study", "run", str(study_file), "--workers", "1", "--out", str(tmp_path / "out")]
    assert cli.main(command) == 0


def test_a_run_that_diverges_is_reported(
    study_file: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = study_file.read_text().replace("seeds = 2", "seeds = 1\nretries = 0").split("[[rows]]")
    study_file.write_text(
        "[[rows]]".join(text[:2]).replace("latent_dim = 3", "learning_rate = 1e30")
    )
    assert cli.main(["study", "run", str(study_file), "--out", str(tmp_path / "out")]) == 1
    assert "0 of 1 runs are done, 1 failed" in capsys.readouterr().out
    (result,) = Store(tmp_path / "out").results().values()
    assert "became NaN or infinite" in result.reasons[0]


def test_the_step_is_read_from_a_log_that_is_being_written(tmp_path: Path) -> None:
    log = Run(tmp_path)
    assert steps_done(log) == 0
    log.log_file.write_text('{"step": 100, "kl": [1.0]}\n{"step": 200, "kl": [1.0]}\n{"step": 3')
    assert steps_done(log) == 200


def _until(condition) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("the condition was not met within five minutes")
