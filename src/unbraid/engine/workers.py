"""Worker processes: start, watch and stop a process that trains runs.

The parent uses `WorkerProcess`; the worker uses `start_worker` and the functions that report to the
parent. The parent sends the work through the standard input and leaves it open. If the parent ends,
the input closes, and the worker writes a checkpoint and stops. Messages return through the standard
output, as one JSON text per line after a record separator (RFC 7464). A worker runs in a separate
session of the operating system, on Windows in a separate process group, so that Ctrl-C in a
terminal reaches only the parent, which then stops the worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

# Time for a stopped worker to finish its step and write its checkpoint.
GRACE_SECONDS = 60.0
RECORD_SEPARATOR = b"\x1e"
# Not `sys.stdin` and `sys.stdout`, which a user's script may replace.
STDIN, STDOUT = 0, 1
# On Windows a signal from another process ends a worker at once, without a checkpoint.
HAS_SIGNALS = os.name == "posix"
PROCESS_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Progress(NamedTuple):
    """Progress of a run: steps done, total number of steps, and its latest losses as text."""

    step: int
    steps: int
    status: str


class WorkerProcess:
    """A worker process, as seen from its parent.

    Parameters
    ----------
    command : sequence of str
        Command and arguments.
    work : bytes
        Data written to the standard input of the process.
    output : Path, optional
        File for the output of the process. By default it is added to the parent's output.
    environment : mapping, optional
        Environment variables that differ from the parent's; None removes one. Numerical libraries
        are limited to one thread in any case.

    Raises
    ------
    OSError
        If the output cannot be written or the process cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        work: bytes,
        output: Path | None = None,
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        self.failures: dict[str, str] = {}
        self.progress: Progress | None = None
        self._output, self._output_size = output, 0
        self._active_at = time.monotonic()
        variables = {**os.environ, **ONE_THREAD, **(environment or {})}
        with contextlib.ExitStack() as files:
            file = None
            if output is not None:
                output.write_bytes(b"")
                file = files.enter_context(output.open("ab"))
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env={name: value for name, value in variables.items() if value is not None},
                start_new_session=True,
                creationflags=PROCESS_GROUP,
            )
        self._reader = threading.Thread(target=self._read_messages, daemon=True)
        self._reader.start()
        # A process that has ended already is reported by its exit code.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            assert self._process.stdin is not None
            self._process.stdin.write(work)
            self._process.stdin.flush()

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative if a signal ended the process; None while it runs."""
        return self._process.poll()

    def seconds_inactive(self) -> float:
        """Return the time since the process last wrote output or a message."""
        now = time.monotonic()
        if self._output is not None:
            size = self._output.stat().st_size
            if size != self._output_size:
                self._output_size, self._active_at = size, now
        return now - self._active_at

    def request_stop(self) -> None:
        """Ask the process to write its checkpoint and end."""
        if not HAS_SIGNALS:
            self._close_input()
        elif self.exit_code is None:
            self._process.terminate()

    def stop(self) -> None:
        """End the process: ask it to stop, and kill it after `GRACE_SECONDS`."""
        self.request_stop()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        # A process that the worker itself started may keep the pipe open.
        self._reader.join(timeout=5.0)
        self._close_input()

    def reason(self, name: str) -> str | None:
        """Return why the work of this name failed, or None if no failure is known.

        It is the reason that the worker reported, or else the signal or the exit code that ended
        the worker.
        """
        code = self.exit_code
        if name in self.failures or not code:
            return self.failures.get(name)
        if code < 0:
            number = signal.Signals(-code)
            memory = ", maybe because memory ran out" if number.name == "SIGKILL" else ""
            return f"killed by {number.name}{memory}"
        if self._output is None:
            return f"exit code {code}"
        text = self._output.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
        lines = text.strip().splitlines()
        return f"exit code {code}: {lines[-1].removeprefix('unbraid: ') if lines else 'no output'}"

    def _close_input(self) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            assert self._process.stdin is not None
            self._process.stdin.close()

    def _read_messages(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._active_at = time.monotonic()
                # A message may follow text without a line end, as of a progress bar.
                text, _, message = line.partition(RECORD_SEPARATOR)
                # A reader that fails would close the pipe and lose the messages that follow.
                with contextlib.suppress(OSError, ValueError):
                    self._show(text)
                if message:
                    with contextlib.suppress(ValueError):
                        self._receive(json.loads(message))

    def _show(self, text: bytes) -> None:
        if text and self._output is None:
            print(text.decode(errors="replace"), end="", flush=True)
        elif text and self._output is not None:
            with self._output.open("ab") as file:
                file.write(text)

    def _receive(self, message: dict[str, Any]) -> None:
        if "progress" in message:
            self.progress = Progress(*message["progress"])
        self.failures |= message.get("failures", {})


@contextlib.contextmanager
def running_worker(*arguments: Any, **kwargs: Any) -> Iterator[WorkerProcess]:
    """Start a `WorkerProcess`, and stop it at the end of the block."""
    worker = WorkerProcess(*arguments, **kwargs)
    try:
        yield worker
    finally:
        worker.stop()


def start_worker() -> None:
    """Limit this process to one thread, and stop it when its parent ends; call it after reading."""
    torch.set_num_threads(1)
    threading.Thread(target=_stop_with_parent, daemon=True).start()


def report_progress(progress: Progress) -> None:
    """Send the progress of a run to the parent."""
    _send({"progress": progress})


def report_failures(failures: Mapping[str, str]) -> None:
    """Send the reasons of failures, by name of the run, to the parent."""
    _send({"failures": dict(failures)})


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _send(message: dict[str, Any]) -> None:
    # A worker whose parent has ended must still write its checkpoint.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        os.write(STDOUT, RECORD_SEPARATOR + json.dumps(message).encode() + b"\n")


def _stop_with_parent() -> None:
    # Not the buffered reader: at the exit of the interpreter no thread may hold its lock.
    while os.read(STDIN, 4096):
        pass
    # Not `os.kill`, which on Windows ends the process at once.
    signal.raise_signal(signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
