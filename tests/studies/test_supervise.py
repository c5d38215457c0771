"""Workers that are killed, run out of memory, diverge, hang or are stopped."""

import json
import sys
import threading
from pathlib import Path

import pytest

from unbraid.engine.workers import WorkerProcess
from unbraid.studies.study import Job, Scoring
from unbraid.studies.supervise import StoppedError, supervise

RESULT = '{"key": "k", "status": "done", "score": 1}'
WRITE = f"open(out + '/result.json', 'w').write('{RESULT}')"


@pytest.fixture
def job(tiny_config) -> Job:
    return Job(tiny_config(), Scoring(("factor-vae",), (), 0, 100))


def script(body: str) -> tuple[str, ...]:
    """Return the command of a worker that reads its jobs and executes `body`.

    In it, `tries` is the number of earlier starts, `outs` are the run directories, and `out` is the
    first of them.
    """
    head = (
        "import os, sys, time, json, glob;"
        "order = json.loads(sys.stdin.readline()); jobs = order['jobs'];"
        "seeds = [job['config']['seed'] for job in jobs];"
        "outs = [glob.glob(f'{sys.argv[1]}/*-seed{seed}-*')[0] for seed in seeds]; out = outs[0];"
        "p = sys.argv[1] + '/tries'; tries = os.path.exists(p) and len(open(p).read()) or 0;"
        "open(p, 'a').write(str(len(jobs)))"
    )
    return (sys.executable, "-c", f"{head}\n{body}")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "killed by SIGKILL, maybe because memory ran out"),
        ("os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("raise MemoryError('no 3 GiB left')", "exit code 1: MemoryError: no 3 GiB left"),
        (
            "print('bar\\runbraid: step 7: kl became NaN', file=sys.stderr); sys.exit(2)",
            "exit code 2: step 7: kl became NaN",
        ),
        ("sys.exit(3)", "exit code 3: no output"),
    ],
)
def test_failing_worker_is_retried_and_then_reported(
    body: str, reason: str, job: Job, tmp_path: Path
) -> None:
    (result,) = supervise([job], tmp_path, retries=2, command=script(body))
    assert result["status"] == "failed"
    assert result["key"] == job.key
    assert result["reasons"] == [reason] * 3
    assert result["attempts"] == 3
    assert (tmp_path / "tries").read_text() == "111"
    json.dumps(result)


def test_reasons_of_a_recovered_worker_are_kept(job: Job, tmp_path: Path) -> None:
    body = f"sys.exit(5) if tries < 1 else {WRITE}"
    (result,) = supervise([job], tmp_path, retries=1, command=script(body))
    assert result["status"] == "done"
    assert result["score"] == 1
    assert result["attempts"] == 2
    assert result["reasons"] == ["exit code 5: no output"]


def test_errors_around_a_worker_are_failures_of_the_run(job: Job, tmp_path: Path) -> None:
    """A missing program; no result despite exit code 0; a file in the place of the directory."""
    (result,) = supervise([job], tmp_path / "a", retries=1, command=["/no/such/program"])
    assert result["status"] == "failed"
    assert [reason.partition(":")[0] for reason in result["reasons"]] == ["FileNotFoundError"] * 2
    (result,) = supervise([job], tmp_path / "b", retries=0, command=script(""))
    assert result["reasons"][0].startswith("FileNotFoundError")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / job.name).write_text("a file")
    (result,) = supervise([job], tmp_path / "c", retries=0, command=script(WRITE))
    assert result["reasons"][0].startswith("FileExistsError")


def test_hanging_worker_is_stopped_and_slow_worker_is_not(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tests/engine/test_workers.py has what counts as activity."""
    monkeypatch.setattr(WorkerProcess, "seconds_inactive", lambda worker: 60.0)
    hanging = script("time.sleep(600)")
    (result,) = supervise([job], tmp_path, retries=0, hang_timeout_minutes=0.99, command=hanging)
    assert result["reasons"] == ["hung: no step for 0.99 minutes"]
    (result,) = supervise(
        [job], tmp_path, retries=0, hang_timeout_minutes=1.01, command=script(WRITE)
    )
    assert result["score"] == 1


def test_stopping_is_not_a_failure(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    def stops(worker: WorkerProcess) -> float:
        stop.set()
        return 0.0

    monkeypatch.setattr(WorkerProcess, "seconds_inactive", stops)
    with pytest.raises(StoppedError):
        supervise([job], tmp_path, stop=stop, command=script("time.sleep(600)"))


def test_worker_receives_its_job_and_one_thread(job: Job, tmp_path: Path) -> None:
    body = (
        "assert jobs[0]['config']['seed'] == 0; assert os.environ['OMP_NUM_THREADS'] == '1'\n"
        "assert order['device'] == 'cuda'; assert os.environ['CUDA_VISIBLE_DEVICES'] == '3'\n"
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


def test_failed_members_are_retried_in_halves(five: list[Job], tmp_path: Path) -> None:
    """Three members are too many for the memory: 5 are retried as 3 and 2, then one by one."""
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


def test_no_member_fails_because_another_crashes(five: list[Job], tmp_path: Path) -> None:
    body = f"if 2 in seeds: os.kill(os.getpid(), 11)\n{ALL}"
    results = supervise(five, tmp_path, retries=1, command=script(body))
    assert [result["status"] for result in results] == ["done"] * 2 + ["failed"] + ["done"] * 2


def test_each_failed_member_has_its_own_reason(five: list[Job], tmp_path: Path) -> None:
    """The other members are finished and not trained again."""
    body = (
        "bad = [o for o, j in zip(outs, jobs) if j['config']['seed'] in (1, 3)]\n"
        f"for out in set(outs) - set(bad): {WRITE}\n"
        "failures = {os.path.basename(o): o[-1] + ' is NaN' for o in bad}\n"
        "print(chr(30) + json.dumps({'failures': failures}))\n"
        "sys.exit(2 if bad else 0)"
    )
    results = supervise(five, tmp_path, retries=1, command=script(body))
    assert [result["status"] for result in results] == ["done", "failed"] * 2 + ["done"]
    assert [result.get("attempts") for result in results] == [1, 2, 1, 2, 1]
    for number in (1, 3):
        reason = f"{five[number].name[-1]} is NaN"
        assert results[number]["reasons"] == [reason] * 2
    assert (tmp_path / "tries").read_text() == "511"


def test_older_result_is_not_the_result_of_this_attempt(job: Job, tmp_path: Path) -> None:
    out = tmp_path / job.name
    out.mkdir()
    (out / "result.json").write_text(RESULT)
    (result,) = supervise([job], tmp_path, retries=0, command=script("sys.exit(4)"))
    assert result["reasons"] == ["exit code 4: no output"]


def test_result_of_another_scoring_is_not_used(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both share the directory, and the older result cannot be removed."""

    def refuses(path: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    out = tmp_path / job.name
    out.mkdir()
    (out / "result.json").write_text(RESULT)
    monkeypatch.setattr(Path, "unlink", refuses)
    (result,) = supervise([job], tmp_path, retries=0, command=script(WRITE))
    assert (result["key"], result["status"]) == (job.key, "failed")
    assert "Read-only file system" in result["reasons"][0]
