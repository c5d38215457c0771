"""Worker processes: messages, output, environment, reasons of failures, and orphans."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from unbraid.engine.workers import Progress, WorkerProcess, running_worker

SEND = "def send(m): print(chr(30) + json.dumps(m), flush=True)\n"
IMPORTS = "import json, os, sys, time\n"


def python(body: str) -> list[str]:
    return [sys.executable, "-c", IMPORTS + SEND + body]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)


def test_work_is_sent_and_messages_are_received(tmp_path: Path) -> None:
    body = (
        "work = json.loads(sys.stdin.readline())\n"
        "send({'progress': [work['step'], 9, 'KL 1.0']})\n"
        "print('a line')\n"
        "print('a warning', file=sys.stderr)\n"
        "send({'failures': {'run': 'step 7: kl became NaN'}}); sys.exit(2)\n"
    )
    output = tmp_path / "worker.log"
    with running_worker(python(body), json.dumps({"step": 3}).encode() + b"\n", output) as worker:
        wait_for(lambda: worker.exit_code is not None)
    assert worker.progress == Progress(3, 9, "KL 1.0")
    assert worker.reason("run") == "step 7: kl became NaN"
    assert set(output.read_text().split("\n")) == {"a line", "a warning", ""}


def test_message_after_text_is_received_and_a_damaged_one_is_ignored(tmp_path: Path) -> None:
    body = (
        "print('50 %', end='', flush=True)\n"
        "send({'failures': {'run': 'NaN'}})\n"
        "print(chr(30) + '{damaged', flush=True)\n"
        "print('100 %', flush=True); send({'progress': [9, 9, '']})\n"
    )
    output = tmp_path / "worker.log"
    with running_worker(python(body), b"", output) as worker:
        wait_for(lambda: worker.exit_code is not None)
    assert worker.failures == {"run": "NaN"}
    assert worker.progress == Progress(9, 9, "")
    assert output.read_text() == "50 %100 %\n"


def test_messages_are_received_if_output_cannot_be_written(tmp_path: Path) -> None:
    body = "sys.stdin.readline(); print('a line', flush=True); send({'failures': {'run': 'NaN'}})"
    output = tmp_path / "run" / "worker.log"
    output.parent.mkdir()
    with running_worker(python(body), b"", output) as worker:
        output.unlink()
        output.parent.rmdir()
        assert worker._process.stdin is not None
        worker._process.stdin.write(b"\n")
        worker._process.stdin.flush()
        wait_for(lambda: worker.failures)


def test_worker_whose_script_replaces_stdout_reports(tmp_path: Path) -> None:
    body = (
        "import io; from unbraid.engine.workers import report_failures, start_worker\n"
        "sys.stdin, sys.stdout = io.StringIO(), io.StringIO()\n"
        "start_worker(); report_failures({'run': 'NaN'}); time.sleep(600)\n"
    )
    with running_worker(python(body), b"", tmp_path / "worker.log") as worker:
        wait_for(lambda: worker.failures)


def test_environment_has_one_thread_and_the_given_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOVED", "1")
    names = ["OMP_NUM_THREADS", "ADDED", "REMOVED"]
    body = f"print([os.environ.get(name) for name in {names}])"
    output = tmp_path / "worker.log"
    with running_worker(python(body), b"", output, {"ADDED": "2", "REMOVED": None}) as worker:
        wait_for(lambda: worker.exit_code is not None)
    assert output.read_text() == "['1', '2', None]\n"
    assert worker.reason("run") is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "killed by SIGKILL, maybe because memory ran out"),
        ("os.kill(os.getpid(), 15)", "killed by SIGTERM"),
        ("sys.exit(3)", "exit code 3"),
    ],
)
def test_reason_of_an_exit_without_a_report(body: str, reason: str) -> None:
    with running_worker(python(body), b"") as worker:
        wait_for(lambda: worker.exit_code is not None)
    assert worker.reason("run") == reason


def test_output_and_messages_are_activity(tmp_path: Path) -> None:
    body = "sys.stdin.readline(); print('step', flush=True); sys.stdin.readline()"
    with running_worker(python(body), b"", tmp_path / "worker.log") as worker:
        worker._active_at -= 600.0
        assert worker.seconds_inactive() >= 600.0
        assert worker._process.stdin is not None
        worker._process.stdin.write(b"\n")
        worker._process.stdin.flush()
        wait_for(lambda: worker.seconds_inactive() < 600.0)


def test_orphan_stops(tmp_path: Path) -> None:
    """The standard input of a worker closes when its parent is killed."""
    body = (
        "from unbraid.engine.workers import start_worker\n"
        "start_worker(); send({'progress': [1, 2, '']}); time.sleep(600)\n"
    )
    worker = WorkerProcess(python(body), b"")
    wait_for(lambda: worker.progress)
    assert worker.exit_code is None
    assert worker._process.stdin is not None
    worker._process.stdin.close()
    wait_for(lambda: worker.exit_code is not None)
    assert worker.reason("run") == "killed by SIGTERM"
    worker.stop()
