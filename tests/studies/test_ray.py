"""The same study on a real Ray cluster of several nodes, on loopback."""

import gc
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from unbraid import cli
from unbraid.errors import UserError
from unbraid.studies import ray as on_ray
from unbraid.studies.driver import run
from unbraid.studies.formats import table
from unbraid.studies.store import Store, steps_done
from unbraid.studies.study_file import read

ray = pytest.importorskip("ray", reason="Ray is not installed; pip install 'unbraid[cluster]'")
# Ray warns of its own deprecations and leaves sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore")

FILE = """
data = "dsprites-corner"
preset = "quick"
precision = "fp32"
seeds = 2
steps = 60
batch_size = 4
checkpoints = 6
sample = 100
[[rows]]
method = "beta-vae"
hyperparameters = { latent_dim = 3 }
published = { mean = 70.11, std = 7.54, best = 84.62 }
"""

CASCADE = """
[[rows]]
method = "cascade-vae"
hyperparameters = { latent_dim = 2, stage_steps = 20, warmup_stages = 1 }
"""


@pytest.fixture
def cluster(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head node without cores, to which a test adds nodes; usage statistics are off."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # By default tasks have a low priority: on a busy machine the test would time out.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    from ray.cluster_utils import Cluster

    started = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    yield started
    started.shutdown()
    gc.collect()


@pytest.mark.slow
def test_table_is_the_local_one_after_the_death_of_a_node_and_of_the_driver(
    cluster: Any, study_file: Path, tmp_path: Path
) -> None:
    study, store = read(study_file), Store(tmp_path / "out")
    command = [sys.executable, "-m", "unbraid", "study", "run", str(study_file)]
    on_cluster = [*command, "--out", str(store.path), "--ray", cluster.address]
    first = cluster.add_node(num_cpus=1)
    driver = subprocess.Popen(on_cluster, stderr=subprocess.DEVNULL)
    _until(lambda: any(steps_done(store.run(job)) >= 10 for job in study.jobs))
    cluster.remove_node(first, allow_graceful=False)
    cluster.add_node(num_cpus=2)
    _until(lambda: min(steps_done(store.run(job)) for job in study.jobs) >= 10)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    # The remaining runs are resumed as one task of two members.
    packed = [*on_cluster, "--members", "2"]
    done = subprocess.run(packed, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs are done, 0 failed" in done.stdout
    assert store.results_file.read_text().count("\n") == 2
    local = Store(tmp_path / "local")
    assert cli.main([*command[3:], "--out", str(local.path), "--workers", "2"]) == 0
    assert table(study, store) == table(study, local)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_population_is_placed_on_a_node_with_a_gpu(
    cluster: Any, study_file: Path, tmp_path: Path
) -> None:
    """The node only claims to have one, so both members fail with that reason."""
    cluster.add_node(num_cpus=4)
    cluster.add_node(num_cpus=1, num_gpus=1)
    study_file.write_text(FILE.replace("seeds = 2", "seeds = 2\nretries = 0"))
    study, store = read(study_file), Store(tmp_path / "out")
    on_cluster = on_ray.RayExecutor(cluster.address, "cuda")
    assert on_cluster.place == "a Ray cluster of 1 GPUs now"
    assert run(study, store, on_cluster) == {"done": 0, "failed": 2}
    for result in store.results().values():
        assert "device=cuda: not usable here" in result.reasons[0]
    first, second = (store.run(job).worker_log_file for job in study.jobs)
    assert first.exists()
    assert not second.exists(), "they were not one population"


def test_result_of_another_version_is_a_failure(study_file: Path, tmp_path: Path) -> None:
    """Its key differs, because its numbers may."""
    job = read(study_file).jobs[0]
    executor: Any = object.__new__(on_ray.RayExecutor)
    executor._error, executor._store = KeyError, Store(tmp_path)
    executor._ray = SimpleNamespace(get=lambda _: [({"key": "another", "status": "done"}, {})])
    (result,) = executor._results(None, [job])
    assert (result["key"], result["status"]) == (job.key, "failed")
    assert "another version of unbraid" in result["reasons"][0]


@pytest.mark.slow
def test_node_without_the_study_directory_sends_its_files(
    cluster: Any, study_file: Path, tmp_path: Path
) -> None:
    """It recognises the directory by a marker, which is changed before the node joins."""
    study_file.write_text(FILE + CASCADE)
    study, store = read(study_file), Store(tmp_path / "out")
    command = [sys.executable, "-m", "unbraid", "study", "run", str(study_file), "--out"]
    driver = subprocess.Popen(
        [*command, str(store.path), "--ray", cluster.address], stderr=subprocess.DEVNULL
    )
    _until(lambda: _text(store.path / on_ray.MARKER) != "")
    (store.path / on_ray.MARKER).write_text("of another directory")
    cluster.add_node(num_cpus=2)
    assert driver.wait(timeout=900) == 0
    local = Store(tmp_path / "local")
    assert cli.main([*command[3:], str(local.path), "--workers", "2"]) == 0
    assert table(study, store) == table(study, local)
    for job in study.jobs:
        here, there = store.run(job), local.run(job)
        assert here.checkpoint_file.read_bytes() == there.checkpoint_file.read_bytes()
        # Lock files are not sent.
        assert [file.name for file in there.path.glob("*lock")]
        assert not list(here.path.glob("*lock"))
        files = {file.relative_to(here.path) for file in here.path.rglob("*") if file.is_file()}
        assert files < {file.relative_to(there.path) for file in there.path.rglob("*")}
    cascade = study.rows[1].jobs[0]
    stages = [sorted(f.name for f in s.run(cascade).path.glob("stages/*")) for s in (store, local)]
    assert stages[0] == stages[1] != []


@pytest.mark.slow
def test_cluster_without_memory_says_what_it_waits_for(cluster: Any) -> None:
    cluster.add_node(num_cpus=4, memory=2**30)
    small = on_ray.RayExecutor(cluster.address)
    assert small.place == (
        "a Ray cluster of 4 cores now; the runs wait for a node with a core and 1.5 GiB of"
        " memory for Ray's tasks"
    )
    small.stop()
    cluster.add_node(num_cpus=1, memory=2**31)
    larger = on_ray.RayExecutor(cluster.address)
    assert larger.place == "a Ray cluster of 5 cores now"
    larger.stop()


def test_address_without_a_server_is_reported_at_once(
    study_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is not called, because it would wait for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was called"))
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        assert cli.main(["study", "run", str(study_file), "--ray", address]) == 2
        error = capsys.readouterr().err
        assert "no cluster answers there (Connection refused); start one" in error
        assert address in error
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    assert cli.main(["study", "run", str(study_file), "--ray", "auto"]) == 2
    assert "no cluster answers" in capsys.readouterr().err


def test_files_of_a_failed_run_do_not_replace_those_of_a_trained_run(
    study_file: Path, tmp_path: Path
) -> None:
    job = read(study_file).jobs[0]
    executor: Any = object.__new__(on_ray.RayExecutor)
    executor._error, executor._store = KeyError, Store(tmp_path)
    run = executor._store.run(job)
    files = {"checkpoint.safetensors": b"of step 6", "worker.log": b"no room", "log.jsonl": b""}
    answer = [(on_ray.failed_result(job, ["no room"]), files)]
    executor._ray = SimpleNamespace(get=lambda _: answer)
    executor._results(None, [job])
    assert run.checkpoint_file.read_bytes() == b"of step 6"
    run.checkpoint_file.write_bytes(b"of step 60")
    run.log_file.write_bytes(b"whole")
    executor._results(None, [job])
    assert run.checkpoint_file.read_bytes() == b"of step 60"
    assert run.log_file.read_bytes() == b"whole"
    assert (run.path / "worker.log").read_bytes() == b"no room"


def test_missing_cluster_is_reported_in_one_line(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(**_: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nMore.")

    monkeypatch.setattr(ray, "init", refuses)
    with pytest.raises(
        UserError, match=r"no cluster answers there .* start one with ray start"
    ) as e:
        on_ray.RayExecutor("auto")
    assert "\n" not in str(e.value)


def test_error_without_ray_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'unbraid\[cluster\]'"):
        on_ray.RayExecutor("auto")


def test_number_of_workers_cannot_be_set_on_a_cluster(
    study_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["study", "run", str(study_file), "--ray", "auto", "--workers", "2"]) == 2
    assert "--workers 2: cannot be combined with --ray" in capsys.readouterr().err


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("the condition was not met within five minutes")
