"""Runs made ready to be moved, of a small sample."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from unbraid.data.images import ImageTable
from unbraid.engine import Run
from unbraid.engine.encode import load_trained
from unbraid.explore import explored
from unbraid.explore.explored import Explored


@pytest.fixture(scope="session")
def runs(tiny_runs: dict[str, Run], table: ImageTable) -> Iterator[dict[str, Explored]]:
    """With and without a discrete code, random and not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explored, "SAMPLE", 300)
        patch.setattr(explored, "CATEGORISED", 60)
        yield {
            name: explored.explored(load_trained(run, table), table, name)
            for name, run in tiny_runs.items()
        }
