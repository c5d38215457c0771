"""Watch one worker: what dies, runs out of memory, diverges or hangs is tried again, then told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unbraid.studies.study import Job
from unbraid.studies.worker import RESULT

WORKER = (sys.executable, "-m", "unbraid.studies.worker")
OUTPUT = "worker.log"
# How long a worker that was told to stop may take for its step and its checkpoint.
GRACE_SECONDS = 60.0
POLL_SECONDS = 0.2


class StoppedError(Exception):
    """The study was stopped while this run went on: it is neither done nor failed."""


def supervise(
    job: Job,
    out: Path,
    *,
    retries: int = 1,
    patience: float = 30.0,
    stop: threading.Event | None = None,
    command: Sequence[str] = WORKER,
) -> dict[str, Any]:
    """Run a job in the directory `out`; its result, or a failed one with the reason.

    A worker whose output stands still for `patience` minutes is ended. Each retry goes on from the
    last checkpoint. StoppedError, after the worker's own checkpoint, once `stop` is set.
    """
    reasons: list[str] = []
    for _ in range(retries + 1):
        try:
            out.mkdir(parents=True, exist_ok=True)
            reason = _attempt(job, out, patience, stop or threading.Event(), command)
            if reason is None:
                result = json.loads((out / RESULT).read_text())
                return {**result, "attempts": len(reasons) + 1, "reasons": reasons}
        except (OSError, ValueError) as error:
            # No room for its output, no process to be had: one run's failure, not the study's.
            reason = f"{type(error).__name__}: {error}"
        reasons.append(reason)
    return failed(job, reasons)


def failed(job: Job, reasons: list[str]) -> dict[str, Any]:
    """The result of a run that failed as often as there are reasons."""
    return {
        "key": job.key,
        "status": "failed",
        **job.config.as_table(),
        "attempts": len(reasons),
        "reasons": reasons,
    }


def _attempt(
    job: Job, out: Path, patience: float, stop: threading.Event, command: Sequence[str]
) -> str | None:
    """One worker from start to end: None if it went well, else why not."""
    output = out / OUTPUT
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*command, str(out)],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env=_environment(),
            start_new_session=True,
        )
        assert process.stdin is not None
        try:
            try:
                process.stdin.write(json.dumps(job.as_table()).encode() + b"\n")
                process.stdin.flush()
            except BrokenPipeError:
                pass  # It died at once; its exit code says more.
            hung = _watch(process, output, patience, stop)
        finally:
            _end(process)
    if stop.is_set():
        raise StoppedError
    if hung:
        return f"hung: no step for {patience:g} minutes"
    return _reason(process.returncode, output)


def _watch(
    process: subprocess.Popen[bytes], output: Path, patience: float, stop: threading.Event
) -> bool:
    """Wait for the end; whether the output, which every step and batch adds to, stood still."""
    size, since = -1, time.monotonic()
    while process.poll() is None and not stop.wait(POLL_SECONDS):
        now = output.stat().st_size
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > 60 * patience:
            return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the worker write its checkpoint, if it still runs, then make sure that it is gone."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def _reason(code: int, output: Path) -> str | None:
    if code == 0:
        return None
    if code < 0:
        name = signal.Signals(-code).name
        memory = ", as when memory runs out" if name == "SIGKILL" else ""
        return f"died: ended by {name}{memory}"
    lines = output.read_text(errors="replace").replace("\r", "\n").strip().splitlines()
    return f"exit code {code}: {lines[-1].removeprefix('unbraid: ') if lines else 'no output'}"


def _environment() -> dict[str, str]:
    """One thread for every library, and a progress bar every few seconds: a sign of life."""
    kept = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**kept, **threads, "TQDM_MININTERVAL": "5"}
