"""Fixtures of the tests on studies."""

from pathlib import Path

import pytest

from unbraid.data import load
from unbraid.data.images import ImageTable


@pytest.fixture
def study_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The study in FILE of the test module."""
    path = tmp_path / "study.toml"
    path.write_text(request.module.FILE)
    return path


@pytest.fixture
def corner(cache: Path) -> ImageTable:
    """960 images, for studies of a few seconds."""
    return load("dsprites-corner")
