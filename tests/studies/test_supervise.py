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
WRITE = f"open(out + '/result.json', 'w').write('{RESULT}')"


@pytest.fixture
def job(tiny_config) -> Job:
    return Job(tiny_config(), Scoring(("factor-vae",), (), 0, 100))


def script(body: str) -> tuple[str, ...]:
    """A worker that reads its jobs and then does something else; `tries` counts its starts.

    `outs` are its runs' directories, `out` is the first.
    """
    head = (
        "import os, sys, time, json, glob;"
        "given = json.loads(sys.stdin.readline()); jobs = given['jobs'];"
        "seeds = [job['config']['seed'] for job in jobs];"
        "outs = [glob.glob(f'{sys.argv[1]}/*-seed{seed}-*')[0] for seed in seeds]; out = outs[0];"
        "p = sys.argv[1] + '/tries'; tries = os.path.exists(p) and len(open(p).read()) or 0;"
        "open(p, 'a').write(str(len(jobs)))"
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
    (result,) = supervise([job], tmp_path, retries=2, command=script(body))
    assert result["status"] == "failed"
    assert result["key"] == job.key
    assert result["reasons"] == [reason] * 3
    assert result["attempts"] == 3
    assert (tmp_path / "tries").read_text() == "111"
    json.dumps(result)


def test_one_that_recovers_is_done_and_its_failures_are_kept(job: Job, tmp_path: Path) -> None:
    body = f"sys.exit(5) if tries < 1 else {WRITE}"
    (result,) = supervise([job], tmp_path, retries=1, command=script(body))
    assert result["status"] == "done"
    assert result["score"] == 1
    assert result["attempts"] == 2
    assert result["reasons"] == ["exit code 5: no output"]


def test_what_goes_wrong_around_a_worker_is_the_runs_failure(job: Job, tmp_path: Path) -> None:
    """No such program; no result although all went well; no room for the directory."""
    (result,) = supervise([job], tmp_path / "a", retries=1, command=["/no/such/program"])
    assert result["status"] == "failed"
    assert [reason.partition(":")[0] for reason in result["reasons"]] == ["FileNotFoundError"] * 2
    (result,) = supervise([job], tmp_path / "b", retries=0, command=script(""))
    assert result["reasons"][0].startswith("FileNotFoundError")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / job.name).write_text("a file")
    (result,) = supervise([job], tmp_path / "c", retries=0, command=script(WRITE))
    assert result["reasons"][0].startswith("FileExistsError")


def test_one_that_hangs_is_ended_and_one_that_is_slow_is_not(job: Job, tmp_path: Path) -> None:
    hang_timeout_minutes = 1.0 / 60  # one second
    began = time.monotonic()
    (result,) = supervise(
        [job],
        tmp_path,
        retries=0,
        hang_timeout_minutes=hang_timeout_minutes,
        command=script("time.sleep(60)"),
    )
    assert time.monotonic() - began < 30
    assert result["reasons"] == [f"hung: no step for {hang_timeout_minutes:g} minutes"]
    slow = f"for _ in range(8): print('step', flush=True); time.sleep(0.3)\n{WRITE}"
    (result,) = supervise(
        [job], tmp_path, retries=0, hang_timeout_minutes=hang_timeout_minutes, command=script(slow)
    )
    assert result["score"] == 1


def test_stopping_ends_the_worker_and_is_no_failure(job: Job, tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(StoppedError):
        supervise([job], tmp_path, stop=stop, command=script("time.sleep(60)"))


def test_a_worker_gets_its_job_and_one_thread(job: Job, tmp_path: Path) -> None:
    body = (
        "assert jobs[0]['config']['seed'] == 0; assert os.environ['OMP_NUM_THREADS'] == '1'\n"
        "assert given['device'] == 'cuda'; assert os.environ['CUDA_VISIBLE_DEVICES'] == '3'\n"
        f"{WRITE}"
    )
    (result,) = supervise(
        [job],
        tmp_path,
        device="cuda",
        retries=0,
        command=script(body),
        environment={"CUDA_VISIBLE_DEVICES": "3"},
    )
    assert result["status"] == "done", result["reasons"]


@pytest.fixture
def five(tiny_config) -> list[Job]:
    scoring = Scoring(("factor-vae",), (), 0, 100)
    return [Job(tiny_config(seed=seed), scoring) for seed in range(5)]


ALL = f"for out in outs: {WRITE}"


def test_what_failed_of_a_population_is_tried_again_in_halves(
    five: list[Job], tmp_path: Path
) -> None:
    """As if three members were too many for the memory: five, three and two, then each alone."""
    body = f"if len(outs) > 2: os.kill(os.getpid(), 9)\n{ALL}"
    results = supervise(five, tmp_path, retries=2, command=script(body))
    assert [result["status"] for result in results] == ["done"] * 5
    assert [result["attempts"] for result in results] == [3, 3, 3, 2, 2]
    assert (tmp_path / "tries").read_text() == "531112"
    (tmp_path / "tries").unlink()
    results = supervise(five, tmp_path, retries=1, command=script(body))
    assert [result["attempts"] for result in results] == [2] * 5
    assert (tmp_path / "tries").read_text() == "511111"
    results = supervise(five, tmp_path, retries=0, command=script(body))
    assert [result["status"] for result in results] == ["failed"] * 5
    assert [result["key"] for result in results] == [job.key for job in five]


def test_no_member_fails_for_another_that_crashes(five: list[Job], tmp_path: Path) -> None:
    body = f"if 2 in seeds: os.kill(os.getpid(), 11)\n{ALL}"
    results = supervise(five, tmp_path, retries=1, command=script(body))
    assert [result["status"] for result in results] == ["done"] * 2 + ["failed"] + ["done"] * 2


def test_a_member_that_fails_is_told_with_its_own_reason(five: list[Job], tmp_path: Path) -> None:
    """The others are done and are not made again."""
    body = (
        "bad = [o for o, j in zip(outs, jobs) if j['config']['seed'] in (1, 3)]\n"
        f"for out in set(outs) - set(bad): {WRITE}\n"
        "for o in bad: print('unbraid: ' + os.path.basename(o) + ': ' + o[-1] + ' is NaN')\n"
        "sys.exit(2 if bad else 0)"
    )
    results = supervise(five, tmp_path, retries=1, command=script(body))
    assert [result["status"] for result in results] == ["done", "failed"] * 2 + ["done"]
    assert [result.get("attempts") for result in results] == [1, 2, 1, 2, 1]
    for number in (1, 3):
        why = f"exit code 2: {five[number].name[-1]} is NaN"
        assert results[number]["reasons"] == [why] * 2
    assert (tmp_path / "tries").read_text() == "511"


def test_a_result_from_before_is_no_sign_that_a_run_is_done(job: Job, tmp_path: Path) -> None:
    out = tmp_path / job.name
    out.mkdir()
    (out / "result.json").write_text(RESULT)
    (result,) = supervise([job], tmp_path, retries=0, command=script("sys.exit(4)"))
    assert result["reasons"] == ["exit code 4: no output"]


def test_what_another_scoring_left_is_not_this_ones_result(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share the directory, and the disk refuses to remove the other's result."""

    def refuses(path: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    out = tmp_path / job.name
    out.mkdir()
    (out / "result.json").write_text(RESULT)
    monkeypatch.setattr(Path, "unlink", refuses)
    (result,) = supervise([job], tmp_path, retries=0, command=script(WRITE))
    assert (result["key"], result["status"]) == (job.key, "failed")
    assert "Read-only file system" in result["reasons"][0]
