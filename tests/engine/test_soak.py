"""A short version of the soak test; `python -m benchmarks.soak` kills many more runs.

Populations are killed in test_population.py, because their processes take seconds to start.
"""

import shutil
from pathlib import Path

import pytest
from benchmarks.soak import Soak, SoakError, attempt

from unbraid.runs import Run

# Python 3.12 warns of a fork of a process with threads; these children only train.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.mark.slow
def test_killed_and_resumed_runs_equal_uninterrupted_ones(cache: Path, tmp_path: Path) -> None:
    soak = Soak(tmp_path, steps=12, seed=0)
    soak.single(3)
    soak.evaluation(1)
    assert soak.kills == 4
    assert soak.finished >= 2


def test_difference_is_reported(cache: Path, tmp_path: Path) -> None:
    soak = Soak(tmp_path, steps=1, seed=0)
    copy = Run(tmp_path / "copy")
    shutil.copytree(soak.references[0].path, copy.path)
    soak.compare(soak.references[0], copy)
    copy.log_file.write_text(copy.log_file.read_text().replace("0", "1", 1))
    with pytest.raises(SoakError, match=r"log.jsonl differs from"):
        soak.compare(soak.references[0], copy)


def test_failure_without_a_kill_is_reported() -> None:
    def fail() -> None:
        raise RuntimeError("this traceback belongs to the test")

    with pytest.raises(SoakError, match="a resumed run failed"):
        attempt(fail, "none", 0.0)
