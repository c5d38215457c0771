"""Shared by the tests of evaluation: a small dataset."""

import dataclasses

import numpy as np
import pytest

from unbraid.data.images import ImageTable


@pytest.fixture(scope="session")
def small(table: ImageTable) -> ImageTable:
    """Part of dSprites with 2 scales and 2 positions each way: 3·2·40·2·2 images."""
    grid = np.meshgrid(*[np.arange(n) for n in (3, 2, 40, 2, 2)], indexing="ij")
    factors = np.stack([g.reshape(-1) for g in grid], axis=1)
    space = dataclasses.replace(table.factors, sizes=(3, 2, 40, 2, 2))
    bits = np.array(table.bits[table.factors.index_of(factors)])
    return dataclasses.replace(table, bits=bits, factors=space)
