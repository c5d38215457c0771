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
from unbraid.studies.driver import run, steps_done
from unbraid.studies.formats import table
from unbraid.studies.store import Store
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
    """A head without cores, to which a test adds nodes; it reports to nobody."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # By default its tasks give way to all else on the machine: the test would wait for that to end.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    from ray.cluster_utils import Cluster

    started = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    yield started
    started.shutdown()
    gc.collect()


def test_a_node_and_the_driver_die_and_the_table_is_the_local_one(
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
    # What is left goes on as one task of two members.
    packed = [*on_cluster, "--members", "2"]
    done = subprocess.run(packed, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs are done, 0 failed" in done.stdout
    assert store.results_file.read_text().count("\n") == 2
    local = Store(tmp_path / "local")
    assert cli.main([*command[3:], "--out", str(local.path), "--workers", "2"]) == 0
    assert table(study, store) == table(study, local)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_population_goes_to_a_node_with_a_gpu(
    cluster: Any, study_file: Path, tmp_path: Path
) -> None:
    """To the one that says it has one; as it has none, both members say so."""
    cluster.add_node(num_cpus=4)
    cluster.add_node(num_cpus=1, num_gpus=1)
    study_file.write_text(FILE.replace("seeds = 2", "seeds = 2\nretries = 0"))
    study, store = read(study_file), Store(tmp_path / "out")
    on_cluster = on_ray.RayExecutor(cluster.address, "cuda")
    assert on_cluster.place == "a Ray cluster of 1 GPUs now"
    assert run(study, store, on_cluster) == {"done": 0, "failed": 2}
    for result in store.results().values():
        assert "device 'cuda': not usable here" in result["reasons"][0]
    first, second = (store.run(job).path / "worker.log" for job in study.jobs)
    assert first.exists()
    assert not second.exists(), "they were not one population"


def test_an_answer_of_another_version_is_a_failure(study_file: Path, tmp_path: Path) -> None:
    """Its key is another, as its numbers may be."""
    job = read(study_file).jobs[0]
    executor: Any = object.__new__(on_ray.RayExecutor)
    executor._error, executor._store = KeyError, Store(tmp_path)
    executor._ray = SimpleNamespace(get=lambda _: [({"key": "another", "status": "done"}, {})])
    (result,) = executor._gathered(None, [job])
    assert (result["key"], result["status"]) == (job.key, "failed")
    assert "another version of unbraid" in result["reasons"][0]


def test_a_node_that_does_not_see_the_directory_sends_its_files(
    cluster: Any, study_file: Path, tmp_path: Path
) -> None:
    """It knows the directory by a mark, which is another's before the first node comes."""
    study_file.write_text(FILE + CASCADE)
    study, store = read(study_file), Store(tmp_path / "out")
    command = [sys.executable, "-m", "unbraid", "study", "run", str(study_file), "--out"]
    driver = subprocess.Popen(
        [*command, str(store.path), "--ray", cluster.address], stderr=subprocess.DEVNULL
    )
    _until(lambda: _text(store.path / on_ray.MARK) != "")
    (store.path / on_ray.MARK).write_text("another directory's")
    cluster.add_node(num_cpus=2)
    assert driver.wait(timeout=300) == 0
    local = Store(tmp_path / "local")
    assert cli.main([*command[3:], str(local.path), "--workers", "2"]) == 0
    assert table(study, store) == table(study, local)
    for job in study.jobs:
        here, there = store.run(job), local.run(job)
        assert here.checkpoint_file.read_bytes() == there.checkpoint_file.read_bytes()
        # Whoever trains there has locks there, which are not sent.
        assert [file.name for file in there.path.glob("*lock")]
        assert not list(here.path.glob("*lock"))
        brought = {file.relative_to(here.path) for file in here.path.rglob("*") if file.is_file()}
        assert brought < {file.relative_to(there.path) for file in there.path.rglob("*")}
    cascade = study.rows[1].jobs[0]
    stages = [sorted(f.name for f in s.run(cascade).path.glob("stages/*")) for s in (store, local)]
    assert stages[0] == stages[1] != []


def test_a_cluster_without_room_says_what_it_waits_for(cluster: Any) -> None:
    cluster.add_node(num_cpus=4, memory=2**30)
    small = on_ray.RayExecutor(cluster.address)
    assert small.place == (
        "a Ray cluster of 4 cores now; they wait until it has a node with a core and 1.5 GiB of"
        " memory for Ray's tasks"
    )
    small.stop()
    cluster.add_node(num_cpus=1, memory=2**31)
    larger = on_ray.RayExecutor(cluster.address)
    assert larger.place == "a Ray cluster of 5 cores now"
    larger.stop()


def test_an_address_where_nothing_listens_is_told_at_once(
    study_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is not even asked, which would wait for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was asked"))
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        assert cli.main(["study", "run", str(study_file), "--ray", address]) == 2
        told = capsys.readouterr().err
        assert f"ray={address}: no cluster answers there (Connection refused); start one" in told
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    assert cli.main(["study", "run", str(study_file), "--ray", "auto"]) == 2
    assert f"ray=127.0.0.1:{port}: no cluster answers" in capsys.readouterr().err


def test_a_run_that_fails_elsewhere_takes_nothing_from_one_that_is_trained(
    study_file: Path, tmp_path: Path
) -> None:
    job = read(study_file).jobs[0]
    executor: Any = object.__new__(on_ray.RayExecutor)
    executor._error, executor._store = KeyError, Store(tmp_path)
    run = executor._store.run(job)
    brought = {"checkpoint.safetensors": b"of step 6", "worker.log": b"no room", "log.jsonl": b""}
    answer = [(on_ray.failed(job, ["no room"]), brought)]
    executor._ray = SimpleNamespace(get=lambda _: answer)
    executor._gathered(None, [job])
    assert run.checkpoint_file.read_bytes() == b"of step 6"
    run.checkpoint_file.write_bytes(b"of step 60")
    run.log_file.write_bytes(b"whole")
    executor._gathered(None, [job])
    assert run.checkpoint_file.read_bytes() == b"of step 60"
    assert run.log_file.read_bytes() == b"whole"
    assert (run.path / "worker.log").read_bytes() == b"no room"


def test_no_cluster_is_one_line(
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


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'unbraid\[cluster\]'"):
        on_ray.RayExecutor("auto")


def test_workers_are_the_clusters_affair(
    study_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["study", "run", str(study_file), "--ray", "auto", "--workers", "2"]) == 2
    assert "workers=2: a cluster's cores decide" in capsys.readouterr().err


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to pass within five minutes")
