"""A run is trained once for all that is scored of its last checkpoint, by whichever study."""

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
    """From which step to which each session of a training in this process went."""
    sessions: list[tuple[int, int]] = []
    train = worker.train

    def noted(config: Config, table: ImageTable, out: Path, **how: Any) -> Run:
        run = train(config, table, out, **how)
        last = json.loads(run.provenance_file.read_text())[-1]
        sessions.append((last["from_step"], last["to_step"]))
        return run

    monkeypatch.setattr(worker, "train", noted)
    return sessions


def study(tmp_path: Path, *changes: tuple[str, str]) -> Study:
    text = STUDY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "study.toml"
    path.write_text(text)
    return read(path)


def done(study: Study, store: Store, corner: ImageTable) -> dict[str, Any]:
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
    first = done(one, store, corner)
    run = store.run(one.jobs[0])
    assert trained == [(0, 6), (6, 12)]
    weights = run.checkpoint_file.read_bytes()
    second = done(wider, store, corner)
    assert store.run(wider.jobs[0]) == run
    assert second["key"] != first["key"]
    assert second["checkpoints"] == first["checkpoints"]
    assert {row["name"] for row in second["scores"]} == {"factor-vae", "mig"}
    assert trained[2:] == [(12, 12)]
    assert run.checkpoint_file.read_bytes() == weights
    assert len(store.results()) == 2


def test_what_is_scored_again_tells_where_it_was_trained(
    corner: ImageTable, tmp_path: Path
) -> None:
    store, one = Store(tmp_path / "out"), study(tmp_path)
    done(one, store, corner)
    file = store.run(one.jobs[0]).provenance_file
    sessions = json.loads(file.read_text())
    file.write_text(json.dumps([{**session, "device": "cuda:0"} for session in sessions]))
    assert done(study(tmp_path, *WIDER), store, corner)["device"] == "cuda:0"


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
def test_what_is_taken_on_the_way_is_another_run(change: tuple[str, str], tmp_path: Path) -> None:
    assert study(tmp_path).jobs[0].name != study(tmp_path, change).jobs[0].name


def test_without_checkpoints_the_headline_is_of_the_last_alone(tmp_path: Path) -> None:
    without = ("checkpoints = 2", "checkpoints = 0")
    metrics = 'metrics = ["mig"]\nmetric = "mig"\nprotocol = "chen2018"'
    other = study(tmp_path, without, ('metrics = ["factor-vae"]', metrics))
    assert study(tmp_path, without).jobs[0].name == other.jobs[0].name


def test_a_line_is_kept_where_another_study_trained_the_run(
    corner: ImageTable, tmp_path: Path
) -> None:
    """Its files there are left alone; where the run is under way the line is not kept either."""
    one, wider = study(tmp_path), study(tmp_path, *WIDER)
    store, there, half = (Store(tmp_path / name) for name in ("out", "there", "half"))
    done(one, store, corner)
    done(wider, there, corner)
    weights = there.run(one.jobs[0]).checkpoint_file.read_bytes()
    assert archive(one, store, there) == one.jobs
    assert set(there.results()) == {one.jobs[0].key, wider.jobs[0].key}
    assert there.run(one.jobs[0]).checkpoint_file.read_bytes() == weights
    job = one.jobs[0]
    half.path.mkdir()
    worker.train(worker._with_steps(job.config, 6), corner, half.run(job).path)
    assert archive(one, store, half) == []
    assert half.results() == {}
