"""Workers that die, run out of memory, diverge, hang or are stopped."""

import json
import sys
import threading
import time
from pathlib import Path

import pytest

from unbraid.studies.study import Job, Scoring
from unbraid.studies.supervise import StoppedError, supervise

RESULT = '{"key": "k", "status": "done", "score": 1}'
WRITE = f"open(sys.argv[1] + '/result.json', 'w').write('{RESULT}')"


@pytest.fixture
def job(tiny_config) -> Job:
    return Job(tiny_config(), Scoring(("factor-vae",), (), 0, 100))


def script(body: str) -> tuple[str, ...]:
    """A worker that reads its job and then does something else; `tries` counts its starts."""
    head = (
        "import os, sys, time, json; job = json.loads(sys.stdin.readline());"
        "p = sys.argv[1] + '/tries'; tries = os.path.exists(p) and len(open(p).read()) or 0;"
        "open(p, 'a').write('x')"
    )
    return (sys.executable, "-c", f"{head}\n{body}")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "died: ended by SIGKILL, as when memory runs out"),
        ("os.kill(os.getpid(), 11)", "died: ended by SIGSEGV"),
        ("raise MemoryError('no 3 GiB left')", "exit code 1: MemoryError: no 3 GiB left"),
        (
            "print('bar\\runbraid: step 7: kl became NaN', file=sys.stderr); sys.exit(2)",
            "exit code 2: step 7: kl became NaN",
        ),
        ("sys.exit(3)", "exit code 3: no output"),
    ],
)
def test_a_worker_that_fails_is_tried_again_and_then_told(
    body: str, reason: str, job: Job, tmp_path: Path
) -> None:
    result = supervise(job, tmp_path, retries=2, command=script(body))
    assert result["status"] == "failed"
    assert result["key"] == job.key
    assert result["reasons"] == [reason] * 3
    assert result["attempts"] == 3
    assert (tmp_path / "tries").read_text() == "xxx"
    json.dumps(result)


def test_one_that_recovers_is_done_and_its_failures_are_kept(job: Job, tmp_path: Path) -> None:
    body = f"sys.exit(5) if tries < 1 else {WRITE}"
    result = supervise(job, tmp_path, retries=1, command=script(body))
    assert result["status"] == "done"
    assert result["score"] == 1
    assert result["attempts"] == 2
    assert result["reasons"] == ["exit code 5: no output"]


def test_what_goes_wrong_around_a_worker_is_the_runs_failure(job: Job, tmp_path: Path) -> None:
    """No such program; no result although all went well; no room for the directory."""
    result = supervise(job, tmp_path / "a", retries=1, command=["/no/such/program"])
    assert result["status"] == "failed"
    assert [reason.partition(":")[0] for reason in result["reasons"]] == ["FileNotFoundError"] * 2
    result = supervise(job, tmp_path / "b", retries=0, command=script(""))
    assert result["reasons"][0].startswith("FileNotFoundError")
    (tmp_path / "c").write_text("a file")
    result = supervise(job, tmp_path / "c", retries=0, command=script(WRITE))
    assert result["reasons"][0].startswith("FileExistsError")


def test_one_that_hangs_is_ended_and_one_that_is_slow_is_not(job: Job, tmp_path: Path) -> None:
    patience = 1.0 / 60  # one second
    began = time.monotonic()
    result = supervise(
        job, tmp_path, retries=0, patience=patience, command=script("time.sleep(60)")
    )
    assert time.monotonic() - began < 30
    assert result["reasons"] == [f"hung: no step for {patience:g} minutes"]
    slow = f"for _ in range(8): print('step', flush=True); time.sleep(0.3)\n{WRITE}"
    assert (
        supervise(job, tmp_path, retries=0, patience=patience, command=script(slow))["score"] == 1
    )


def test_stopping_ends_the_worker_and_is_no_failure(job: Job, tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(StoppedError):
        supervise(job, tmp_path, stop=stop, command=script("time.sleep(60)"))


def test_a_worker_gets_its_job_and_one_thread(job: Job, tmp_path: Path) -> None:
    body = (
        f"assert job['config']['seed'] == 0; assert os.environ['OMP_NUM_THREADS'] == '1'\n{WRITE}"
    )
    assert supervise(job, tmp_path, retries=0, command=script(body))["status"] == "done"
