"""The suite: which metrics are scored, what their rows hold, and how a stopped one continues."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.metrics.codes_of_all_kinds import codes_of

from unbraid.codes import Codes
from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.evaluation import scores as room
from unbraid.evaluation.scores import as_text, evaluate
from unbraid.metrics import METRICS, suite
from unbraid.metrics.suite import MetricSpec
from unbraid.runs import Run

QUICK = "mig,irs,factor_vae"


@pytest.fixture
def part(table: ImageTable) -> ImageTable:
    """A corner of dSprites: 3·2·40·2·2 items."""
    grid = np.meshgrid(*[np.arange(n) for n in (3, 2, 40, 2, 2)], indexing="ij")
    factors = np.stack([g.reshape(-1) for g in grid], axis=1)
    space = dataclasses.replace(table.factors, sizes=(3, 2, 40, 2, 2))
    bits = np.array(table.bits[table.factors.index_of(factors)])
    return dataclasses.replace(table, bits=bits, factors=space)


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path) -> Run:
    copy = Run(tmp_path / "run")
    shutil.copytree(tiny_run.path, copy.path)
    copy.scores_file.unlink(missing_ok=True)
    return copy


def test_names() -> None:
    assert suite.parse_names(None) == ["factor-vae", "classification"]
    assert suite.parse_names("all") == [name for name in METRICS if name != "udr"]
    assert suite.parse_names("mig, beta_vae,mig") == ["mig", "beta-vae"]
    for names, message in (
        ("mig,best", "metric 'best': unknown; give all or some of factor-vae"),
        ("", "metric '': unknown"),
        ("udr", "it compares the members of a population"),
    ):
        with pytest.raises(UserError, match=message) as raised:
            suite.parse_names(names)
        assert "\n" not in str(raised.value)


def test_a_code_without_a_discrete_part_is_not_classified() -> None:
    everything = suite.metric_specs(suite.parse_names("all"), discrete=True)
    without = suite.metric_specs(suite.parse_names("all"), discrete=False)
    assert {job.metric for job in everything} - {job.metric for job in without} == {
        "classification"
    }


def test_rows_of_every_job(grid: np.ndarray) -> None:
    mean = grid + np.random.default_rng(0).normal(size=grid.shape)
    codes = codes_of(mean, category=grid[:, 0], categories=3)
    for job in suite.metric_specs(suite.parse_names("all"), discrete=True):
        if "trees" in job.protocol or job == MetricSpec("dci", "locatello2019"):
            continue
        given = grid[:, 0] if job.metric == "classification" else grid
        for row in suite.score_rows(job, codes, given):
            assert row["protocol"] == job.protocol
            assert row["name"] == job.metric
            assert np.isfinite(row["score"])
            assert ("standard_error" in row) == (job.metric != "classification")
            assert json.loads(json.dumps(row)) == row


def test_repeats_give_the_interval_of_their_mean(grid: np.ndarray) -> None:
    mean = grid + np.random.default_rng(0).normal(size=grid.shape)
    codes = Codes(mean)
    job = MetricSpec("factor-vae", "kim2018")
    (once,) = suite.score_rows(job, codes, grid, seed=3)
    (row,) = suite.score_rows(job, codes, grid, seed=3, repeats=6)
    assert "low" not in once
    assert row["repeats"] == 6
    assert row["low"] < row["score"] < row["high"]
    # The first repeat is the one that is scored without repeats.
    rng = np.random.default_rng([3, list(METRICS["factor-vae"].PROTOCOLS).index("kim2018")])
    errors = [
        METRICS["factor-vae"].score(codes, grid, np.random.default_rng(key), "kim2018")
        for key in (suite._rng_key(job, 3, repeat) for repeat in range(6))
    ]
    assert row["standard_error"] == np.mean([found["standard_error"] for found in errors])
    assert once["score"] == METRICS["factor-vae"].score(codes, grid, rng, "kim2018")["score"]
    (fixed,) = suite.score_rows(
        MetricSpec("classification", "nmi"),
        codes_of(mean, category=grid[:, 0], categories=3),
        grid[:, 0],
        repeats=6,
    )
    assert "repeats" not in fixed


def test_the_catalogue_has_every_metric_and_protocol() -> None:
    text = suite.describe_metrics()
    for name, metric in METRICS.items():
        assert f"{name}: " in text
        for protocol in metric.PROTOCOLS:
            assert f"    {protocol}" in text
    assert "images=64, votes=10000, held_out=5000" in text


def test_a_stopped_evaluation_continues_with_the_missing(
    run: Run, part: ImageTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate(run, part, metrics=QUICK)
    run.scores_file.unlink()
    original, calls = suite.score_rows, []

    def counted(job, *arrays, **more):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(job)
        return original(job, *arrays, **more)

    monkeypatch.setattr(room.suite, "rows", counted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run, part, metrics=QUICK)
    saved = json.loads(run.scores_file.read_text())
    assert len(saved["scores"]) == 3
    first, calls[:] = list(calls), []
    monkeypatch.setattr(room.suite, "rows", lambda *a, **k: calls.append(a[0]) or original(*a, **k))
    again = evaluate(run, part, metrics=QUICK)
    assert not set(first) & set(calls)
    assert again == whole == json.loads(run.scores_file.read_text())
    # All there: nothing is encoded or scored again.
    calls.clear()
    monkeypatch.setattr(room, "encode_once", lambda *a, **k: pytest.fail("encoded again"))
    assert evaluate(run, part, metrics=QUICK) == whole
    assert not calls
    assert evaluate(run, part, metrics="mig") == whole


@pytest.mark.parametrize("key", ["step", "precision", "votes_seed", "configuration", "repeats"])
def test_rows_of_other_codes_or_draws_are_not_taken_over(
    key: str, run: Run, part: ImageTable
) -> None:
    right = evaluate(run, part, metrics="mig")
    stale = json.loads(run.scores_file.read_text())
    stale[key] = "another"
    for row in stale["scores"]:
        row["score"] = 9.0
    run.scores_file.write_text(json.dumps(stale))
    assert evaluate(run, part, metrics="mig") == right


@pytest.mark.parametrize("text", ["", "[]", "{", '{"scores": [{}]}', "null"])
def test_a_broken_scores_file_is_written_anew(text: str, run: Run, part: ImageTable) -> None:
    run.scores_file.write_text(text)
    outcome = evaluate(run, part, metrics="irs")
    assert json.loads(run.scores_file.read_text()) == outcome


def test_the_table_names_every_row(run: Run, part: ImageTable) -> None:
    text = as_text(evaluate(run, part, metrics="mig,infomec", repeats=2))
    for shown in ("MIG", "do2020", "InfoMEC: compactness", "hsu2023", " in 2", "dimensions"):
        assert shown in text
    with pytest.raises(UserError, match="repeats=0: a score is taken once at least"):
        evaluate(run, part, repeats=0)
