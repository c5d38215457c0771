"""Fixtures of the tests on studies."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unbraid.data import load
from unbraid.data.images import ImageTable
from unbraid.engine.state import State
from unbraid.studies.store import Store
from unbraid.studies.study import Job
from unbraid.studies.worker import work


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


@pytest.fixture(scope="session")
def pause(cache: Path) -> Callable[[Store, Job, int], None]:
    """A function that trains a run as a worker does, and pauses it by Ctrl-C after a step."""

    def pause(store: Store, job: Job, step: int) -> None:
        advance = State.advance

        def interrupted(state: State, *batch: Any) -> None:
            advance(state, *batch)
            if state.step == step:
                signal.raise_signal(signal.SIGINT)

        images = load(job.config.data)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(State, "advance", interrupted)
            with pytest.raises(KeyboardInterrupt):
                work({store.run(job): job}, images)

    return pause
