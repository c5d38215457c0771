"""A study directory: results and runs of any number of studies, one of which may run at a time.

`results.jsonl` has a line per finished run and is only appended to. The run directories are beside
it, named by a digest of everything but the scoring of the last checkpoint.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unbraid.files import directory_lock, is_locked, write_errors
from unbraid.runs import Run
from unbraid.runs.run import WORKER_LOCK
from unbraid.studies.results import RunResult
from unbraid.studies.study import Job

# The last record of a log is within this many bytes of its end.
LOG_TAIL_BYTES = 8192


@dataclass(frozen=True)
class Store:
    """A study directory.

    Parameters
    ----------
    path : Path
        The directory; it is created when it is locked.
    """

    path: Path

    @property
    def results_file(self) -> Path:
        """Results, one JSON object per line."""
        return self.path / "results.jsonl"

    def run(self, job: Job) -> Run:
        """Return the run directory of a job."""
        return Run(self.path / job.name)

    @contextlib.contextmanager
    def locked(self, argument: str = "out") -> Iterator[None]:
        """Lock the directory for one process, and repair an incomplete last line.

        Parameters
        ----------
        argument : str, default "out"
            Name of the argument that is the directory, for error messages.

        Raises
        ------
        UserError
            If another study is running in the directory, or it cannot be written.
        """
        remedy = f"choose another `{argument}`"
        busy = f"another study is running in this directory; wait until it ends, or {remedy}"
        with directory_lock(self.path, busy=busy, remedy=remedy):
            with write_errors(self.path, remedy):
                self._repair()
            yield

    def results(self) -> dict[str, RunResult]:
        """Return the result of each key: the first that is done, or else the last that failed.

        Damaged lines are ignored, so that their runs count as missing and are collected again.
        """
        results: dict[str, RunResult] = {}
        if not self.results_file.exists():
            return results
        for line in self.results_file.read_text(encoding="utf-8", errors="replace").splitlines():
            result = RunResult.from_line(line)
            if result and not _is_done(result.key, results):
                results[result.key] = result
        return results

    def append(
        self, table: Mapping[str, Any], known: dict[str, RunResult] | None = None
    ) -> RunResult:
        """Append a result and flush it to the disk, unless its key is done already.

        Parameters
        ----------
        table : mapping
            The result, as a worker returns it.
        known : dict of str to RunResult, optional
            What `results` returned while the directory was locked; it is updated, and the file is
            not read again.

        Returns
        -------
        RunResult
            The result as a record.

        Raises
        ------
        UserError or StorageError
            If the file cannot be written.
        """
        known = self.results() if known is None else known
        result = RunResult.from_table(table)
        if _is_done(result.key, known):
            return result
        remedy = "free disk space and repeat the command, which collects the finished runs"
        with write_errors(self.results_file, remedy), self.results_file.open("ab") as file:
            file.write(result.as_line().encode())
            file.flush()
            os.fsync(file.fileno())
        known[result.key] = result
        return result

    def _repair(self) -> None:
        """Remove an incomplete last line, or add the line end that is missing."""
        if not self.results_file.exists():
            return
        data = self.results_file.read_bytes()
        last_line = data.rpartition(b"\n")[2]
        if not last_line:
            return
        with self.results_file.open("r+b") as file:
            if RunResult.from_line(last_line.decode(errors="replace")):
                file.seek(0, os.SEEK_END)
                file.write(b"\n")
            else:
                file.truncate(len(data) - len(last_line))


def _is_done(key: str, results: Mapping[str, RunResult]) -> bool:
    return key in results and results[key].is_done


def is_running(run: Run) -> bool:
    """Return whether a worker on this machine has locked the run directory."""
    return is_locked(run.path, WORKER_LOCK)


def steps_done(run: Run) -> int:
    """Return the step of the last complete record of the log; 0 if there is none."""
    try:
        with run.log_file.open("rb") as file:
            file.seek(max(0, run.log_file.stat().st_size - LOG_TAIL_BYTES))
            complete_lines = file.read().rpartition(b"\n")[0].decode(errors="replace")
    except OSError:
        return 0
    last_line = complete_lines.rpartition("\n")[2]
    step = last_line.partition('"step": ')[2].partition(",")[0]
    return int(step) if step.isdigit() else 0
