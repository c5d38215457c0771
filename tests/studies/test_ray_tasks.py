"""The tasks of a study on Ray, without a cluster: they run in the process of the test.

test_ray.py runs them on a real cluster, in `make test-all`.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unbraid import cli
from unbraid.data import load
from unbraid.studies import ray as on_ray
from unbraid.studies.formats import table
from unbraid.studies.store import Store
from unbraid.studies.study import Job
from unbraid.studies.study_file import read
from unbraid.studies.worker import read_result, work

pytest.importorskip("ray", reason="Ray is not installed; pip install 'unbraid[cluster]'")

FILE = """
data = "dsprites-corner"
preset = "quick"
precision = "fp32"
seeds = 2
steps = 3
batch_size = 4
sample = 100
[[rows]]
method = "beta-vae"
hyperparameters = { latent_dim = 3 }
"""


class FakeRay:
    """Ray whose tasks run in this process, when their results are asked for."""

    def __init__(self, before_task: Callable[[], object]) -> None:
        self._before_task = before_task
        self.options: list[dict[str, Any]] = []
        self.running = False

    def init(self, **_: Any) -> None:
        self.running = True

    def shutdown(self) -> None:
        self.running = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 2.0, "memory": 2.0**32}}]

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        self.options.append(options)
        return lambda task: SimpleNamespace(remote=functools.partial(functools.partial, task))

    def wait(self, references: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return references[-1:], references[:-1]

    def get(self, reference: Callable[[], Any]) -> Any:
        self._before_task()
        return reference()


def train_here(jobs: list[Job], folder: Path, **_: Any) -> list[dict[str, Any]]:
    """Do what `supervise` lets a worker process do."""
    runs = {Store(folder).run(job): job for job in jobs}
    assert work(runs, load(jobs[0].config.data)) == {}
    return [{**read_result(run), "attempts": 1, "reasons": []} for run in runs]


@pytest.mark.parametrize(("sees_directory", "members"), [(True, 2), (False, 1)])
def test_table_is_the_local_one_with_tasks_in_this_process(
    sees_directory: bool,
    members: int,
    study_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whether a node sees the study directory or sends the files."""
    study, store, local = read(study_file), Store(tmp_path / "out"), Store(tmp_path / "local")

    def hide_directory() -> None:
        if not sees_directory:
            (store.path / on_ray.MARKER).write_text("of another directory")

    fake = FakeRay(hide_directory)
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setattr(on_ray, "supervise", train_here)
    command = ["study", "run", str(study_file), "--ray", "auto", "--members", str(members)]
    assert cli.main([*command, "--out", str(store.path)]) == 0
    assert "2 of 2 runs are done, 0 failed" in capsys.readouterr().out
    assert fake.options == [{"num_cpus": 1, "memory": on_ray.MEMORY, "max_retries": 20}]
    assert not fake.running
    for job in study.jobs:
        (result,) = train_here([job], local.path)
        local.append(result)
        here, there = store.run(job), local.run(job)
        assert here.checkpoint_file.read_bytes() == there.checkpoint_file.read_bytes()
        # Lock files are not sent.
        assert bool(list(here.path.glob("*lock"))) == sees_directory
    assert table(study, store) == table(study, local)
