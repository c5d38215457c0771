"""A run is trained once for all that is scored of it, by whichever study."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unbraid.data.images import ImageTable
from unbraid.engine import Config, Run
from unbraid.studies import worker
from unbraid.studies.keep import keep
from unbraid.studies.read import read
from unbraid.studies.store import Store
from unbraid.studies.study import Study

STUDY = """
data = "dsprites-corner"
preset = "quick"
precision = "fp32"
seeds = 1
steps = 12
batch = 4
metrics = ["factor-vae"]
checkpoints = 2
sample = 200
images = 300
[[rows]]
method = "beta-vae"
hyperparameters = { continuous = 3 }
"""


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """From which step to which each sitting of a training in this process went."""
    sittings: list[tuple[int, int]] = []
    train = worker.train

    def noted(config: Config, table: ImageTable, out: Path, **how: Any) -> Run:
        file = Run(out).provenance_file
        before = len(json.loads(file.read_text())) if file.exists() else 0
        run = train(config, table, out, **how)
        told = json.loads(file.read_text())[before:]
        sittings.extend((one["from_step"], one["to_step"]) for one in told)
        return run

    monkeypatch.setattr(worker, "train", noted)
    return sittings


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
    store = Store(tmp_path / "out")
    first = done(study(tmp_path), store, corner)
    assert trained == [(0, 6), (6, 12)]
    weights = store.run(study(tmp_path).jobs[0]).checkpoint_file.read_bytes()
    wider = study(
        tmp_path, ('["factor-vae"]', '["factor-vae", "mig"]'), ("images = 300", "images = 400")
    )
    second = done(wider, store, corner)
    assert store.run(wider.jobs[0]) == store.run(study(tmp_path).jobs[0])
    assert second["key"] != first["key"]
    assert second["checkpoints"] == first["checkpoints"]
    assert {row["name"] for row in second["scores"]} == {"factor-vae", "mig"}
    assert trained[2:] == [(12, 12)]
    assert store.run(wider.jobs[0]).checkpoint_file.read_bytes() == weights
    assert len(store.results()) == 2


def test_another_sample_has_codes_of_its_own(corner: ImageTable, tmp_path: Path) -> None:
    """Members of one study are compared on the same images, whatever another asks for."""
    store, alone = Store(tmp_path / "out"), Store(tmp_path / "alone")
    without = ("checkpoints = 2", "checkpoints = 0")
    one = study(tmp_path, without)
    other = study(tmp_path, without, ("sample = 200", "sample = 100"))
    assert done(one, store, corner)["checkpoints"] == {}
    done(one, alone, corner)
    done(other, store, corner)
    (job,), (less,) = one.jobs, other.jobs
    codes = worker.read_sample(store.run(job), job.scoring)
    same = worker.read_sample(alone.run(job), job.scoring)
    fewer = worker.read_sample(store.run(less), less.scoring)
    assert codes is not None
    assert same is not None
    assert fewer is not None
    assert (len(codes.mean), len(fewer.mean)) == (200, 100)
    np.testing.assert_array_equal(codes.mean, same.mean)


@pytest.mark.parametrize(
    "change",
    [
        ("checkpoints = 2", "checkpoints = 3"),
        ("sample = 200", "sample = 100"),
        ('metrics = ["factor-vae"]', 'metrics = ["mig"]\nmetric = "mig"\nprotocol = "chen2018"'),
    ],
)
def test_a_score_of_a_checkpoint_that_is_gone_trains_anew_to_the_same_bits(
    change: tuple[str, str], corner: ImageTable, tmp_path: Path, trained: list[tuple[int, int]]
) -> None:
    store, alone = Store(tmp_path / "out"), Store(tmp_path / "alone")
    done(study(tmp_path), store, corner)
    other = study(tmp_path, change)
    trained.clear()
    result = done(other, store, corner)
    assert trained[0][0] == 0
    assert trained[-1][1] == 12
    assert len(result["checkpoints"]) == (3 if "3" in change[1] else 2)
    straight = done(other, alone, corner)
    for name in ("scores", "checkpoints", "kl", "elbo"):
        assert result[name] == straight[name], name
    (job,) = other.jobs
    files = [one.run(job).checkpoint_file.read_bytes() for one in (store, alone)]
    assert files[0] == files[1]
    # Both sittings' times would be told otherwise.
    told = json.loads(store.run(job).provenance_file.read_text())
    assert told[0]["from_step"] == 0
    assert sum(sitting["from_step"] == 0 for sitting in told) == 1


def test_a_mark_that_both_ask_for_is_scored_once(
    corner: ImageTable, tmp_path: Path, trained: list[tuple[int, int]]
) -> None:
    """Six checkpoints have among them those that two ask for."""
    store = Store(tmp_path / "out")
    six = done(study(tmp_path, ("checkpoints = 2", "checkpoints = 6")), store, corner)
    trained.clear()
    two = done(study(tmp_path), store, corner)
    assert trained == [(12, 12)]
    assert two["checkpoints"] == {step: six["checkpoints"][step] for step in ("6", "12")}


def test_kept_weights_are_trained_anew_where_another_score_is_asked_for(
    corner: ImageTable, tmp_path: Path, trained: list[tuple[int, int]]
) -> None:
    store, kept = Store(tmp_path / "out"), Store(tmp_path / "kept")
    one = study(tmp_path)
    done(one, store, corner)
    keep(one, store, kept)
    assert kept.run(one.jobs[0]).checkpoint_file.exists()
    trained.clear()
    other = study(tmp_path, ('["factor-vae"]', '["factor-vae", "mig"]'))
    result = done(other, kept, corner)
    assert trained == [(0, 6), (6, 12)]
    assert result["checkpoints"] == kept.results()[one.jobs[0].key]["checkpoints"]
