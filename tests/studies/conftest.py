"""What several files of tests on studies share."""

from pathlib import Path

import pytest

from unbraid.data import load
from unbraid.data.images import ImageTable


@pytest.fixture
def study_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The study that stands as FILE at the head of the tests' file."""
    path = tmp_path / "study.toml"
    path.write_text(request.module.FILE)
    return path


@pytest.fixture
def corner(cache: Path) -> ImageTable:
    """The 960 images that a study of seconds takes."""
    return load("dsprites-corner")
