"""Records of an evaluation: committed files of earlier versions are read without loss."""

import json
from pathlib import Path
from typing import Any

import pytest

from unbraid.evaluation.evaluation_record import Evaluation
from unbraid.evaluation.information_report import InformationReport

RESULTS = Path(__file__).parents[2] / "results"
# Keys that the first versions did not write, with the values that their files imply.
ADDED = {"device": "cpu", "not_scored": []}


def committed(pattern: str) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(RESULTS.rglob(pattern))]


def test_scores_of_earlier_versions_are_read() -> None:
    files = committed("scores*.json")
    assert files
    for content in files:
        converted = Evaluation.from_json(content).to_json()
        assert converted == {**ADDED, **content}
        assert [key for key in converted if key in content] == list(content)


def test_information_terms_of_earlier_versions_are_read() -> None:
    files = committed("information.json")
    assert files
    for content in files:
        # Compared as text, so that the order of the keys counts.
        converted = InformationReport.from_json(content).to_json()
        assert json.dumps(converted) == json.dumps(content)


@pytest.mark.parametrize("content", [{}, {"scores": []}])
def test_other_files_are_not_records(content: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        Evaluation.from_json(content)
    with pytest.raises(KeyError):
        InformationReport.from_json(content)
