"""The comparison of scaled budgets: runs scaled as described, and a table of their results."""

import dataclasses
from pathlib import Path

import pytest
from benchmarks.scaled_budget import FACTOR, STUDY, compare, counterpart

from unbraid.studies.store import Store
from unbraid.studies.study import Row, Study
from unbraid.studies.study_file import read

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def studies() -> tuple[Study, Study]:
    return read(ROOT / STUDY), read("table1-quick")


def changed(row: Row, steps: int | None = None, **hyperparameters: float) -> Row:
    config = row.jobs[0].config
    budget = dataclasses.replace(config.budget, steps=steps or config.budget.steps)
    method = dataclasses.replace(config.method, **hyperparameters)
    config = dataclasses.replace(config, budget=budget, method=method)
    return dataclasses.replace(row, jobs=(dataclasses.replace(row.jobs[0], config=config),))


def test_each_row_is_scaled_from_one_of_the_whole_schedule(studies: tuple[Study, Study]) -> None:
    scaled, whole = studies
    for row in scaled.rows:
        other = counterpart(row, whole)
        assert other.jobs[0].config.budget.steps == FACTOR * row.jobs[0].config.budget.steps
        # The step is one at which the whole schedule was scored.
        steps = other.jobs[0].config.budget.steps
        scored = [steps * (i + 1) // 30 for i in range(30)]
        assert row.jobs[0].config.budget.steps in scored
        assert row.jobs[0].scoring.sample == other.jobs[0].scoring.sample
    for wrong in (
        changed(scaled.rows[0], steps=2_301),
        changed(scaled.rows[0], learning_rate=3.4e-3),
        changed(scaled.rows[0], stage_steps=301),
        changed(scaled.rows[0], beta_low=2.0),
        changed(scaled.rows[0], latent_dim=5),
    ):
        with pytest.raises(ValueError, match=r"not scaled from|has no row with this method"):
            counterpart(wrong, whole)


def test_the_committed_table_equals_the_committed_results(studies: tuple[Study, Study]) -> None:
    archive = Store(ROOT / "results" / "scaled-budget")
    table = compare(*studies, archive, Store(ROOT / "results" / "studies"))
    assert table.count("a fifth of the steps, five times the rate | ") == 2
    for page in (archive.path / "README.md", ROOT / "docs" / "performance.md"):
        assert table in page.read_text(encoding="utf-8")
    for row in studies[0].rows:
        assert all(job.key in archive.results() for job in row.jobs)
