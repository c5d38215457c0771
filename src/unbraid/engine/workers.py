"""Members on a CPU: a process of one thread for each, as many at a time as there are cores."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess
from typing import Any

import torch
from tqdm import tqdm

from unbraid.data.images import ImageTable
from unbraid.engine.trainer import train
from unbraid.errors import UnbraidError
from unbraid.runs.interrupt import stoppable
from unbraid.runs.run import Config, Run

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds between two looks at signals, and between two messages of a member.
INTERVAL = 0.5


def train_each(
    members: Mapping[Run, Config],
    table: ImageTable,
    max_workers: int | None,
    **how: Any,
) -> dict[str, str]:
    """Train each of these in a process of its own, `max_workers` of them at a time; `how` as `train`.

    Returns why those failed that did, by name. KeyboardInterrupt after Ctrl-C or SIGTERM, with
    every member saved.
    """
    max_workers = max_workers or cores()
    waiting = list(members.items())
    running: list[Worker] = []
    failed: dict[str, str] = {}
    with stoppable() as stop, tqdm(total=len(members), desc="members", unit="member") as done:
        while running or (waiting and not stop):
            while waiting and len(running) < max_workers and not stop:
                line = min(set(range(1, max_workers + 1)) - {worker.line for worker in running})
                running.append(Worker(*waiting.pop(0), table, how, line))
            connection.wait([w.process.sentinel for w in running], INTERVAL)
            for worker in list(running):
                if stop:
                    worker.process.terminate()
                if worker.ended():
                    running.remove(worker)
                    done.update(worker.process.exitcode == 0)
                    if worker.process.exitcode:
                        failed[worker.name] = worker.reason()
    if stop:
        raise KeyboardInterrupt
    return failed


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Worker:
    """A member's process as its parent sees it, with a progress bar on a line of its own."""

    def __init__(
        self, run: Run, config: Config, table: ImageTable, how: dict[str, Any], line: int
    ) -> None:
        self.name, self.line = run.path.name, line
        spawn = multiprocessing.get_context("spawn")
        self._messages, send = spawn.Pipe(duplex=False)
        arguments = (run, config, table, how, send)
        self.process: SpawnProcess = spawn.Process(
            target=_work, args=arguments, name=self.name, daemon=True
        )
        # The child is born with both signals blocked, until it can end a step whole. The tracker
        # would unblock them here while it starts, so it has to run before.
        resource_tracker.ensure_running()
        old = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
        send.close()
        self._bar = tqdm(desc=self.name, unit="step", position=line, leave=False)
        self._reason = ""

    def ended(self) -> bool:
        """Whether the process has ended; takes in its messages."""
        alive = self.process.is_alive()
        with contextlib.suppress(EOFError, OSError):
            while self._messages.poll():
                self._take(self._messages.recv())
        if not alive:
            self._bar.close()
            self._messages.close()
        return not alive

    def reason(self) -> str:
        """Why the process failed, in a few words."""
        code = self.process.exitcode or 0
        died = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return self._reason or died

    def _take(self, message: str | tuple[int, int, str]) -> None:
        if isinstance(message, str):
            self._reason = message
        else:
            self._bar.n, self._bar.total, note = message
            self._bar.set_postfix_str(note)


def _work(
    run: Run,
    config: Config,
    table: ImageTable,
    how: dict[str, Any],
    send: connection.Connection,
) -> None:
    """What the process does: one run, as if it were alone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with stoppable():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            train(
                config,
                table,
                run.path,
                resume=True,
                **how,
                bar=lambda **how: _Relay(send, how["initial"], how["total"]),
            )
        except UnbraidError as error:
            send.send(str(error))
            raise SystemExit(2) from error
        except KeyboardInterrupt as stopped:
            raise SystemExit(130) from stopped


def _end_with_parent() -> None:
    """No member outlives a parent that was killed: whoever continues the population is alone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


class _Relay:
    """A progress bar that tells the parent, now and then."""

    def __init__(self, send: connection.Connection, step: int, steps: int) -> None:
        self._send, self._step, self._steps = send, step, steps
        self._note = ""
        self._sent_at = 0.0

    def update(self, steps: int) -> None:
        self._step += steps
        if time.monotonic() - self._sent_at > INTERVAL:
            self._send.send((self._step, self._steps, self._note))
            self._sent_at = time.monotonic()

    def set_postfix_str(self, note: str) -> None:
        self._note = note

    def close(self) -> None:
        pass
