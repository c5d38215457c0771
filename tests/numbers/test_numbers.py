"""Numbers of every method and metric are those of numbers.json.

If a change of the code changes one on purpose, increase `RESULTS_VERSION` in studies/study.py, so
that studies repeat their runs, and run `python -m tests.numbers.write --why "…"`, which adds the
reason to the history in numbers.json.

How far another processor may differ was measured on a Zen 4 that was told to be another one
(`ATEN_CPU_CAPABILITY`, `ONEDNN_MAX_CPU_ISA`, `OPENBLAS_CORETYPE`, `NPY_DISABLE_CPU_FEATURES`). Ten
steps differ by at most 2.4e-6 without vector instructions, 2.1e-6 with AVX2 and 3.4e-6 with SSE
only, less than a float64 computation, which differs by 4.9e-6; the tolerance is 1e-5. All scores
agree to 1e-8 except those of a logistic regression, which differ by 7e-6 and their standard errors
by 1e-3 with SSE only.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.numbers import committed, method_numbers, metric_numbers
from tests.numbers.write import MAX_ROUNDING, main

from unbraid.data.images import ImageTable
from unbraid.methods import METHODS
from unbraid.metrics import METRICS
from unbraid.studies.study import RESULTS_VERSION

REMEDY = (
    "the numbers have changed: increase RESULTS_VERSION in studies/study.py, and run"
    ' python -m tests.numbers.write --why "…"'
)
CONTENTS = committed.read()
HISTORY = CONTENTS["history"]
SECTIONS = {name: section for name, section in CONTENTS.items() if name != "history"}


def test_the_numbers_have_the_current_results_version() -> None:
    assert HISTORY[-1]["results_version"] == RESULTS_VERSION, REMEDY


def test_every_change_of_the_numbers_has_a_reason() -> None:
    assert [entry["version"] for entry in HISTORY] == list(range(1, len(HISTORY) + 1))
    versions = [entry["results_version"] for entry in HISTORY]
    assert versions == sorted(versions)
    assert all(entry["why"].strip() for entry in HISTORY)
    assert HISTORY[-1]["digest"] == committed.digest(SECTIONS), REMEDY


def test_every_method_has_ten_steps() -> None:
    names = {name for name, _ in method_numbers.CASES.values()}
    assert names == set(METHODS)
    assert set(SECTIONS["ten_steps"]) == set(method_numbers.CASES)


def assert_unchanged(section: str, name: str, value: Any) -> None:
    difference = committed.difference(section, name, value, SECTIONS[section].get(name))
    assert not difference, f"{difference}; {REMEDY}"


@pytest.mark.parametrize("case", method_numbers.CASES)
def test_ten_steps_of_a_method_are_unchanged(case: str) -> None:
    """Every reported term of every step, within 1e-5 of its largest value in the ten steps."""
    values = method_numbers.ten_steps(method_numbers.method_of(case))
    assert_unchanged("ten_steps", case, values)


@pytest.mark.parametrize("case", method_numbers.CASES)
def test_rounding_does_not_reach_the_tolerance(case: str) -> None:
    """Another processor rounds otherwise, and float64 is farther from fp32 than both."""
    exact = method_numbers.ten_steps(method_numbers.method_of(case), torch.float64)
    rounding, term = committed.largest_difference(SECTIONS["ten_steps"][case], exact)
    assert rounding < MAX_ROUNDING, term


@pytest.mark.parametrize("name", METHODS)
def test_losses_with_the_defaults_are_unchanged(name: str, table: ImageTable) -> None:
    assert_unchanged("default_losses", name, method_numbers.default_losses(name, table))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", method_numbers.RUNS)
def test_the_last_record_of_a_run_is_unchanged(name: str, precision: str, tmp_path: Path) -> None:
    record = method_numbers.last_record(name, precision, tmp_path / "run")
    assert_unchanged("runs", f"{name} {precision}", record)


@pytest.fixture(scope="module")
def scores() -> dict[str, dict[str, Any]]:
    return metric_numbers.metric_scores()


def test_every_metric_has_committed_scores(scores: dict[str, dict[str, Any]]) -> None:
    assert set(scores) == set(SECTIONS["scores"])
    words = {word for row in scores for word in row.split()}
    assert words >= {protocol for metric in METRICS.values() for protocol in metric.PROTOCOLS}


@pytest.mark.parametrize("row", SECTIONS["scores"])
def test_scores_are_unchanged(row: str, scores: dict[str, dict[str, Any]]) -> None:
    assert_unchanged("scores", row, scores[row])


def test_the_script_refuses_a_change_without_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers change only with a reason, and those of a run only with `RESULTS_VERSION`."""
    file = tmp_path / "numbers.json"
    monkeypatch.setattr(committed, "FILE", file)
    sections: dict[str, Any] = {"scores": {"a": {"score": 0.5}}}
    monkeypatch.setattr("tests.numbers.write.current_numbers", lambda: sections)

    def run(*arguments: str) -> None:
        monkeypatch.setattr("sys.argv", ["write.py", *arguments])
        main()

    with pytest.raises(SystemExit):
        run()
    assert "--why" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("--why", " ")
    run("--why", "first")
    with pytest.raises(SystemExit, match="all numbers are as committed"):
        run("--why", "second")
    sections["scores"]["b"] = {"score": 0.25}
    run("--why", "a new score needs no new version")
    sections["scores"]["a"] = {"score": 0.75}
    with pytest.raises(SystemExit, match="scores: a: changed; increase RESULTS_VERSION"):
        run("--why", "third")
    run("--why", "other inputs", "--same-runs")
    monkeypatch.setattr("tests.numbers.write.RESULTS_VERSION", RESULTS_VERSION + 1)
    sections["scores"] = {"a": {"score": 1.0}}
    run("--why", "another definition of a, and no b")
    contents = committed.read()
    assert [entry["changed"] for entry in contents.pop("history")] == [
        *(["scores: a"], ["scores: b"], ["scores: a"]),
        ["scores: a", "scores: b"],
    ]
    assert contents == sections
