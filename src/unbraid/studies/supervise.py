"""Watch a worker: what dies, runs out of memory, diverges or hangs is tried again, then told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unbraid.runs import Run
from unbraid.studies.study import Job
from unbraid.studies.worker import RESULT, read_result

WORKER = (sys.executable, "-m", "unbraid.studies.worker")
OUTPUT = "worker.log"
# How long a worker that was told to stop may take for its step and its checkpoint.
GRACE_SECONDS = 60.0
POLL_SECONDS = 0.2


class StoppedError(Exception):
    """The study was stopped while these runs went on: they are neither done nor failed."""


def supervise(
    jobs: Sequence[Job],
    folder: Path,
    *,
    device: str = "cpu",
    retries: int = 1,
    hang_timeout_minutes: float = 30.0,
    stop: threading.Event | None = None,
    command: Sequence[str] = WORKER,
    environment: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Run one job, or a population, in directories of `folder`; each one's result, in their order.

    One that fails has a failed result with the reasons. A worker whose output stands still for
    `hang_timeout_minutes` minutes is ended. Each retry goes on from the last checkpoint, with what failed of a
    population in two halves, so that what was too large for the memory may fit, and the last one
    with each alone, so that none fails for another. StoppedError, after the worker's own
    checkpoint, once `stop` is set.
    """
    stop = stop or threading.Event()
    results: dict[str, dict[str, Any]] = {}
    reasons: dict[str, list[str]] = {job.key: [] for job in jobs}
    waiting = [list(jobs)]
    while waiting:
        population = waiting.pop(0)
        outs = [folder / job.name for job in population]
        began = False
        given = {"jobs": [job.as_table() for job in population], "device": device}
        try:
            for out in outs:
                out.mkdir(parents=True, exist_ok=True)
                (out / RESULT).unlink(missing_ok=True)
            began = True
            ended = _attempt(
                given,
                outs[0] / OUTPUT,
                folder,
                hang_timeout_minutes,
                stop,
                command,
                environment or {},
            )
        except OSError as error:
            # No room for its output, no process to be had: a failure of these, not the study's.
            ended = f"{type(error).__name__}: {error}"
        again = []
        for job, out in zip(population, outs, strict=True):
            try:
                if not began:
                    raise OSError(f"{out / RESULT}: may be of another scoring")
                result = read_result(Run(out))
                before = reasons[job.key]
                results[job.key] = {**result, "attempts": len(before) + 1, "reasons": before}
            except (OSError, ValueError) as error:
                why = ended if isinstance(ended, str) else ended.reason(job.name)
                reasons[job.key].append(why or f"{type(error).__name__}: {error}")
                if len(reasons[job.key]) <= retries:
                    again.append(job)
        last = again and len(reasons[again[0].key]) == retries
        size = 1 if last else max(1, (len(again) + 1) // 2)
        waiting[:0] = [again[start : start + size] for start in range(0, len(again), size)]
    return [results.get(job.key) or failed(job, reasons[job.key]) for job in jobs]


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
    given: dict[str, Any],
    output: Path,
    folder: Path,
    hang_timeout_minutes: float,
    stop: threading.Event,
    command: Sequence[str],
    environment: Mapping[str, str],
) -> _Ended | str:
    """One worker from start to end: how it ended, or why it was ended."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*command, str(folder)],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env={**_environment(), **environment},
            start_new_session=True,
        )
        assert process.stdin is not None
        try:
            try:
                process.stdin.write(json.dumps(given).encode() + b"\n")
                process.stdin.flush()
            except BrokenPipeError:
                pass  # It died at once; its exit code says more.
            hung = _watch(process, output, hang_timeout_minutes, stop)
        finally:
            _end(process)
    if stop.is_set():
        raise StoppedError
    if hung:
        return f"hung: no step for {hang_timeout_minutes:g} minutes"
    return _Ended(process.returncode, output.read_text(errors="replace"))


def _watch(
    process: subprocess.Popen[bytes],
    output: Path,
    hang_timeout_minutes: float,
    stop: threading.Event,
) -> bool:
    """Wait for the end; whether the output, which every step and batch adds to, stood still."""
    size, since = -1, time.monotonic()
    while process.poll() is None and not stop.wait(POLL_SECONDS):
        now = output.stat().st_size
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > 60 * hang_timeout_minutes:
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


@dataclass(frozen=True)
class _Ended:
    """A worker that has ended: its exit code and its output."""

    code: int
    text: str

    def reason(self, name: str) -> str | None:
        """Why the run of this name failed; None if the worker knows of no failure."""
        if self.code == 0:
            return None
        if self.code < 0:
            signalled = signal.Signals(-self.code).name
            memory = ", as when memory runs out" if signalled == "SIGKILL" else ""
            return f"died: ended by {signalled}{memory}"
        lines = self.text.replace("\r", "\n").strip().splitlines()
        own = f"unbraid: {name}: "
        told = next((line for line in lines if line.startswith(own)), lines[-1] if lines else "")
        told = told.removeprefix(own).removeprefix("unbraid: ")
        return f"exit code {self.code}: {told or 'no output'}"


def _environment() -> dict[str, str]:
    """One thread for every library, and a progress bar every few seconds: a sign of life."""
    kept = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**kept, **threads, "TQDM_MININTERVAL": "5"}
