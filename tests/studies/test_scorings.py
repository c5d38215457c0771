"""A run is trained once, however many studies score its last checkpoint."""

import json
from pathlib import Path
from typing import Any

import pytest

from unbraid.data.images import ImageTable
from unbraid.runs import Config, Run
from unbraid.studies import worker
from unbraid.studies.archive import archive
from unbraid.studies.store import Store
from unbraid.studies.study import Study
from unbraid.studies.study_file import read

STUDY = """
data = "dsprites-corner"
preset = "quick"
precision = "fp32"
seeds = 1
steps = 12
batch_size = 4
metrics = ["factor-vae"]
checkpoints = 2
sample = 200
images = 300
[[rows]]
method = "beta-vae"
hyperparameters = { latent_dim = 3 }
"""
WIDER = (('["factor-vae"]', '["factor-vae", "mig"]'), ("images = 300", "images = 400"))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """First and last step of every training session in this process."""
    sessions: list[tuple[int, int]] = []
    train = worker.train

    def recorded(config: Config, table: ImageTable, out: Path, **kwargs: Any) -> Run:
        run = train(config, table, out, **kwargs)
        last = json.loads(run.provenance_file.read_text())[-1]
        sessions.append((last["from_step"], last["to_step"]))
        return run

    monkeypatch.setattr(worker, "train", recorded)
    return sessions


def study(tmp_path: Path, *changes: tuple[str, str]) -> Study:
    text = STUDY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "study.toml"
    path.write_text(text)
    return read(path)


def run_and_append(study: Study, store: Store, corner: ImageTable) -> dict[str, Any]:
    (job,) = study.jobs
    assert worker.work({store.run(job): job}, corner) == {}
    result = worker.read_result(store.run(job))
    assert result["key"] == job.key
    store.append({**result, "attempts": 1, "reasons": []})
    return result


def test_another_metric_or_number_of_images_trains_nothing(
    corner: ImageTable, tmp_path: Path, trained: list[tuple[int, int]]
) -> None:
    store, (one, wider) = Store(tmp_path / "out"), (study(tmp_path), study(tmp_path, *WIDER))
    first = run_and_append(one, store, corner)
    run = store.run(one.jobs[0])
    assert trained == [(0, 6), (6, 12)]
    weights = run.checkpoint_file.read_bytes()
    second = run_and_append(wider, store, corner)
    assert store.run(wider.jobs[0]) == run
    assert second["key"] != first["key"]
    assert second["checkpoints"] == first["checkpoints"]
    assert {row["name"] for row in second["scores"]} == {"factor-vae", "mig"}
    assert trained[2:] == [(12, 12)]
    assert run.checkpoint_file.read_bytes() == weights
    assert len(store.results()) == 2


def test_a_result_scored_again_has_the_device_of_the_training(
    corner: ImageTable, tmp_path: Path
) -> None:
    store, one = Store(tmp_path / "out"), study(tmp_path)
    run_and_append(one, store, corner)
    file = store.run(one.jobs[0]).provenance_file
    sessions = json.loads(file.read_text())
    file.write_text(json.dumps([{**session, "device": "cuda:0"} for session in sessions]))
    assert run_and_append(study(tmp_path, *WIDER), store, corner)["device"] == "cuda:0"


@pytest.mark.parametrize(
    "change",
    [
        ("checkpoints = 2", "checkpoints = 3"),
        ("checkpoints = 2", "checkpoints = 0"),
        ("sample = 200", "sample = 100"),
        ('metrics = ["factor-vae"]', 'metrics = ["mig"]\nmetric = "mig"\nprotocol = "chen2018"'),
        ("steps = 12", "steps = 14"),
        ("latent_dim = 3", "latent_dim = 4"),
    ],
)
def test_other_scores_during_training_are_another_run(
    change: tuple[str, str], tmp_path: Path
) -> None:
    assert study(tmp_path).jobs[0].name != study(tmp_path, change).jobs[0].name


def test_without_checkpoints_the_run_does_not_depend_on_the_primary_score(tmp_path: Path) -> None:
    without = ("checkpoints = 2", "checkpoints = 0")
    metrics = 'metrics = ["mig"]\nmetric = "mig"\nprotocol = "chen2018"'
    other = study(tmp_path, without, ('metrics = ["factor-vae"]', metrics))
    assert study(tmp_path, without).jobs[0].name == other.jobs[0].name


def test_a_result_is_archived_where_another_study_trained_the_run(
    corner: ImageTable, tmp_path: Path
) -> None:
    """Its files there are unchanged; the result of an unfinished run is not archived."""
    one, wider = study(tmp_path), study(tmp_path, *WIDER)
    store, there, half = (Store(tmp_path / name) for name in ("out", "there", "half"))
    run_and_append(one, store, corner)
    run_and_append(wider, there, corner)
    weights = there.run(one.jobs[0]).checkpoint_file.read_bytes()
    assert archive(one, store, there) == one.jobs
    assert set(there.results()) == {one.jobs[0].key, wider.jobs[0].key}
    assert there.run(one.jobs[0]).checkpoint_file.read_bytes() == weights
    job = one.jobs[0]
    half.path.mkdir()
    worker.train(worker._with_steps(job.config, 6), corner, half.run(job).path)
    assert archive(one, store, half) == []
    assert half.results() == {}
