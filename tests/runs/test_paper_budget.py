"""Budgets below the paper's are recognised, and runs are labelled with them."""

import dataclasses

import pytest

from unbraid.evaluation.evaluation_record import Evaluation
from unbraid.evaluation.scores import as_text
from unbraid.methods import METHODS, find
from unbraid.runs.paper_budget import is_quick, paper_steps, share_of_paper


@pytest.mark.parametrize("name", METHODS)
def test_the_papers_own_preset_is_the_only_one_that_is_not_quick(name: str) -> None:
    method = find(name)
    for preset, values in method.PRESETS.items():
        published = name != "chart-vae"
        assert (paper_steps(method) is not None) == published
        assert is_quick(method, preset, values.steps) == (published and "paper" not in preset)
        if preset.startswith("paper"):
            assert is_quick(method, preset, values.steps - 1)
            assert not is_quick(method, preset, values.steps + 1)


def test_the_share_of_the_papers_budget() -> None:
    joint, cascade = find("joint-vae"), find("cascade-vae")
    assert share_of_paper(joint, 300_000) == "300,000 of 345,600 steps of the paper's budget"
    assert share_of_paper(joint, 345_600) == share_of_paper(cascade, 300_000) == ""
    assert share_of_paper(find("chart-vae"), 1) == ""


def test_scores_of_a_run_state_its_share_of_the_papers_budget() -> None:
    evaluation = Evaluation(
        method="joint-vae",
        data="dsprites",
        seed=0,
        step=10_000,
        checkpoint="last",
        configuration="",
        images=100,
        precision="fp32",
        device="cpu",
        votes_seed=0,
        repeats=1,
        label=None,
        not_scored=[],
    )
    line = "10,000 of 345,600 steps of the paper's budget: not comparable with the paper"
    assert as_text(evaluation).splitlines()[1] == line
    assert "budget" not in as_text(dataclasses.replace(evaluation, step=345_600))
    assert "budget" not in as_text(dataclasses.replace(evaluation, method="chart-vae"))
