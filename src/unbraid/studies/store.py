"""Where a study's runs and results are: one directory, any number of studies, one at a time.

`results.jsonl` has a line a finished run and is only ever added to; each run's directory stands
beside it, named by a key of all but the last scores.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unbraid.files import directory_lock, is_locked, write_errors
from unbraid.runs import Run
from unbraid.studies.study import Job

Result = dict[str, Any]
DONE, FAILED = "done", "failed"
# Held by a worker from start to end. The trainer that runs in it holds another lock, the same for
# every trainer: a worker waits for an orphan to end, a trainer refuses a directory in use.
WORKER_LOCK = ".worker.lock"


@dataclass(frozen=True)
class Store:
    """A study directory."""

    path: Path

    @property
    def results_file(self) -> Path:
        return self.path / "results.jsonl"

    def run(self, job: Job) -> Run:
        """The run directory of a job."""
        return Run(self.path / job.name)

    @contextlib.contextmanager
    def exclusively(self, flag: str = "--out") -> Iterator[None]:
        """Hold the directory, given by a flag; UserError if another study is running in it."""
        busy = f"a study is running there; wait for it, or give another {flag}"
        with directory_lock(self.path, busy=busy, remedy=f"give another {flag}"):
            with write_errors(self.path, f"give another {flag}"):
                self._repair()
            yield

    def results(self) -> dict[str, Result]:
        """Each key's result, done before failed, the latest before earlier ones.

        A line that cannot be read counts as missing: its run is then gathered again.
        """
        found: dict[str, Result] = {}
        if not self.results_file.exists():
            return found
        for line in self.results_file.read_text(errors="replace").splitlines():
            result = _parsed(line)
            if result and found.get(result["key"], {}).get("status") != DONE:
                found[result["key"]] = result
        return found

    def append(self, result: Result, known: dict[str, Result] | None = None) -> None:
        """Add a line, on the disk before this returns; a key that is done is not added again.

        Whoever holds the directory may give what `results` said, which is brought up to date,
        so that the file is not read for every line. UserError if the disk refuses.
        """
        known = self.results() if known is None else known
        if known.get(result["key"], {}).get("status") == DONE:
            return
        remedy = "free disk space and give the same command again, which gathers what is done"
        with write_errors(self.results_file, remedy), self.results_file.open("ab") as file:
            file.write(json.dumps(result).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        known[result["key"]] = result

    def _repair(self) -> None:
        """Cut off a last line that a kill left half-written; end one that only lacks its end."""
        if not self.results_file.exists():
            return
        data = self.results_file.read_bytes()
        tail = data.rpartition(b"\n")[2]
        if not tail:
            return
        with self.results_file.open("r+b") as file:
            if _parsed(tail.decode(errors="replace")):
                file.seek(0, os.SEEK_END)
                file.write(b"\n")
            else:
                file.truncate(len(data) - len(tail))


def busy(run: Run) -> bool:
    """Return whether a worker on this machine holds the run directory."""
    return is_locked(run.path, WORKER_LOCK)


def _parsed(line: str) -> Result | None:
    try:
        result = json.loads(line)
    except ValueError:
        return None
    if isinstance(result, dict) and {"key", "status"} <= result.keys():
        return result
    return None
