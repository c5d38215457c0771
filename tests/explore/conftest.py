"""Opened runs, with a small sample of codes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from jaxtyping import Int

from unbraid.data.factors import FactorTable
from unbraid.data.images import ImageTable
from unbraid.explore import opened_run
from unbraid.explore.opened_run import OpenedRun
from unbraid.runs import Run
from unbraid.runs.encode import load_trained


@pytest.fixture(scope="session")
def runs(tiny_runs: dict[str, Run], table: ImageTable) -> Iterator[dict[str, OpenedRun]]:
    """Runs with and without a discrete code, with probabilistic and deterministic encoders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opened_run, "SAMPLE_IMAGES", 300)
        patch.setattr(opened_run, "CATEGORY_IMAGES", 60)
        yield {
            name: opened_run.open_run(load_trained(run, table), table, name)
            for name, run in tiny_runs.items()
        }


def labelled(
    table: ImageTable, names: tuple[str, ...], values: Int[np.ndarray, "n f"]
) -> ImageTable:
    """Return as many images of a dataset as there are rows of values, with these factors."""
    spaced = table.bits[:: len(table) // len(values)]
    bits = np.array(spaced[: len(values)])
    return dataclasses.replace(table, bits=bits, factors=FactorTable(names, values))
