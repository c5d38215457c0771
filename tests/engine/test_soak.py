"""A few kills of the soak at every change; `python -m benchmarks.soak` does many.

Populations are killed in test_population.py: their processes take seconds to start.
"""

import shutil
from pathlib import Path

import pytest
from benchmarks.soak import Soak, SoakError, attempt

from unbraid.runs import Run

# Python 3.12 warns of any fork beside threads; these children only work and are killed.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def test_what_is_killed_and_continued_is_what_was_never_stopped(
    cache: Path, tmp_path: Path
) -> None:
    soak = Soak(tmp_path, steps=12, seed=0)
    soak.single(3)
    soak.evaluation(1)
    assert soak.killed == 4
    assert soak.ended >= 2


def test_a_difference_is_found(cache: Path, tmp_path: Path) -> None:
    soak = Soak(tmp_path, steps=1, seed=0)
    copy = Run(tmp_path / "copy")
    shutil.copytree(soak.alone[0].path, copy.path)
    soak.compare(soak.alone[0], copy, ("log.jsonl",))
    copy.log_file.write_text(copy.log_file.read_text().replace("0", "1", 1))
    with pytest.raises(SoakError, match=r"log.jsonl differs from"):
        soak.compare(soak.alone[0], copy, ("log.jsonl",))


def test_a_failure_that_no_kill_explains_is_not_passed_over() -> None:
    def fail() -> None:
        raise RuntimeError("this traceback belongs to the test")

    with pytest.raises(SoakError, match="a run that was continued failed"):
        attempt(fail, "none", 0.0)
