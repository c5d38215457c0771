"""Runs made ready to be moved, of a small sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from jaxtyping import Int

from unbraid.data.images import ImageTable
from unbraid.explore import opened_run
from unbraid.explore.opened_run import OpenedRun
from unbraid.runs import Run
from unbraid.runs.encode import load_trained


@pytest.fixture(scope="session")
def runs(tiny_runs: dict[str, Run], table: ImageTable) -> Iterator[dict[str, OpenedRun]]:
    """With and without a discrete code, random and not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opened_run, "SAMPLE", 300)
        patch.setattr(opened_run, "CATEGORISED", 60)
        yield {
            name: opened_run.explored(load_trained(run, table), table, name)
            for name, run in tiny_runs.items()
        }


class Labels:
    """Factor values as they were given, which are no full grid; or none at all."""

    def __init__(self, names: tuple[str, ...], values: Int[np.ndarray, "n f"]) -> None:
        self.names, self.values = names, values

    def factors_of(self, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n f"]:
        return self.values[index]


def labelled(table: ImageTable, names: tuple[str, ...], values: np.ndarray) -> ImageTable:
    """As many images of a dataset as there are rows, with these factors."""
    few = dataclasses.replace(table, bits=np.array(table.bits[:: len(table) // len(values)]))
    few = dataclasses.replace(few, bits=few.bits[: len(values)])
    object.__setattr__(few, "factors", Labels(names, values))
    return few
