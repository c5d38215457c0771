"""An interrupted evaluation resumes; scores of other codes or draws are not reused."""

import json
import shutil
from pathlib import Path

import pytest

from unbraid.data.images import ImageTable
from unbraid.errors import ArgumentError
from unbraid.evaluation import scores
from unbraid.evaluation.scores import as_text, evaluate
from unbraid.metrics import suite
from unbraid.runs import Run

QUICK = "mig,irs,factor_vae"


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path) -> Run:
    copy = Run(tmp_path / "run")
    shutil.copytree(tiny_run.path, copy.path)
    copy.scores_file.unlink(missing_ok=True)
    return copy


def test_an_interrupted_evaluation_resumes_with_the_missing_protocols(
    run: Run, small: ImageTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = evaluate(run, small, metrics=QUICK)
    run.scores_file.unlink()
    original, calls = suite.score_rows, []

    def interrupted(spec, *args, **kwargs):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(spec)
        return original(spec, *args, **kwargs)

    monkeypatch.setattr(suite, "score_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run, small, metrics=QUICK)
    saved = json.loads(run.scores_file.read_text())
    assert len(saved["scores"]) == 3
    first, calls[:] = list(calls), []
    monkeypatch.setattr(
        suite,
        "score_rows",
        lambda *args, **kwargs: calls.append(args[0]) or original(*args, **kwargs),
    )
    resumed = evaluate(run, small, metrics=QUICK)
    assert not set(first) & set(calls)
    assert resumed == uninterrupted
    assert resumed.to_json() == json.loads(run.scores_file.read_text())
    # With all scores there, nothing is encoded or scored again.
    calls.clear()
    monkeypatch.setattr(scores, "encode_once", lambda *args, **kwargs: pytest.fail("encoded"))
    assert evaluate(run, small, metrics=QUICK) == uninterrupted
    assert not calls
    assert evaluate(run, small, metrics="mig") == uninterrupted


@pytest.mark.parametrize("key", ["step", "precision", "votes_seed", "configuration", "repeats"])
def test_scores_of_other_codes_or_draws_are_not_reused(
    key: str, run: Run, small: ImageTable
) -> None:
    expected = evaluate(run, small, metrics="mig")
    stale = json.loads(run.scores_file.read_text())
    stale[key] = stale[key] + 1 if isinstance(stale[key], int) else "another"
    for row in stale["scores"]:
        row["score"] = 9.0
    run.scores_file.write_text(json.dumps(stale))
    assert evaluate(run, small, metrics="mig") == expected


@pytest.mark.parametrize("text", ["", "[]", "{", '{"scores": [{}]}', "null", '{"step": "x"}'])
def test_a_damaged_scores_file_is_replaced(text: str, run: Run, small: ImageTable) -> None:
    run.scores_file.write_text(text)
    evaluation = evaluate(run, small, metrics="irs")
    assert json.loads(run.scores_file.read_text()) == evaluation.to_json()


def test_the_table_shows_every_score(run: Run, small: ImageTable) -> None:
    text = as_text(evaluate(run, small, metrics="mig,infomec", repeats=2))
    for shown in ("MIG", "do2020", "InfoMEC: compactness", "hsu2023", " in 2", "dimensions"):
        assert shown in text
    with pytest.raises(ArgumentError, match="repeats=0: must be at least 1"):
        evaluate(run, small, repeats=0)
