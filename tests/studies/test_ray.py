"""The same study on a real Ray cluster of several nodes, on loopback."""

import gc
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from unbraid import cli
from unbraid.errors import UserError
from unbraid.studies import ray as on_ray
from unbraid.studies.formats import table
from unbraid.studies.read import read
from unbraid.studies.run import steps_done
from unbraid.studies.store import Store

ray = pytest.importorskip("ray", reason="Ray is not installed; pip install 'unbraid[cluster]'")
# Ray warns of its own deprecations and leaves sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore")

FILE = """
data = "dsprites-corner"
preset = "quick"
precision = "fp32"
seeds = 2
steps = 60
batch = 4
checkpoints = 6
sample = 100
[[rows]]
method = "beta-vae"
hyperparameters = { continuous = 3 }
published = { mean = 70.11, std = 7.54, best = 84.62 }
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def cluster(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without cores, to which a test adds nodes; it reports to nobody."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
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
    done = subprocess.run(on_cluster, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs are done, 0 failed" in done.stdout
    assert store.results_file.read_text().count("\n") == 2
    local = Store(tmp_path / "local")
    assert cli.main([*command[3:], "--out", str(local.path), "--workers", "2"]) == 0
    assert table(study, store) == table(study, local)


def test_a_node_that_sees_the_directory_writes_there_another_sends_its_files(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = read(study_file).jobs[0]

    back = ("scores.json", "scores-300.json", "survey.json", "stages/3.safetensors")

    def pretended(job: Any, out: Path, **_: Any) -> dict[str, Any]:
        out.mkdir(parents=True)
        (out / "stages").mkdir()
        for name in (*back, "lock", "scores.json.partial"):
            (out / name).write_text("{}")
        return {"key": job.key, "status": "done"}

    monkeypatch.setattr(on_ray, "supervise", pretended)
    (tmp_path / on_ray.MARK).write_text("this study")
    given = json.loads(json.dumps(job.as_table()))
    result, files = on_ray.carry_out(given, str(tmp_path), "another study", 1, 1.0)
    assert files == dict.fromkeys(back, b"{}")
    assert not (tmp_path / job.name).exists()
    result, files = on_ray.carry_out(given, str(tmp_path), "this study", 1, 1.0)
    assert (result["key"], files) == (job.key, {})
    assert (tmp_path / job.name / "scores.json").exists()


def test_no_cluster_is_one_line(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(**_: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nMore.")

    monkeypatch.setattr(ray, "init", refuses)
    with pytest.raises(
        UserError, match=r"no cluster answers there .* start one with ray start"
    ) as e:
        on_ray.OnRay("auto")
    assert "\n" not in str(e.value)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'unbraid\[cluster\]'"):
        on_ray.OnRay("auto")


def test_workers_are_the_clusters_affair(
    study_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["study", "run", str(study_file), "--ray", "auto", "--workers", "2"]) == 2
    assert "workers=2: a cluster's cores decide" in capsys.readouterr().err


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to pass within five minutes")
