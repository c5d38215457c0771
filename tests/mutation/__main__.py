"""Measure how many mutants the tests kill: `python -m tests.mutation [--all] [FILE ...]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tests.mutation import report
from tests.mutation.runner import OPTIONS, Runner


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("files", nargs="*", help="source files; default: those that changed")
    parser.add_argument("--all", action="store_true", help="measure all files again")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time (default 1)")
    parser.add_argument("--seconds", type=float, default=5, help="tests per mutant (default 5)")
    parser.add_argument("--minutes", type=float, default=600, help="start no file after this time")
    parser.add_argument("--room", help=argparse.SUPPRESS)
    options = parser.parse_args()
    stop = time.time() + 60 * options.minutes
    wanted = [Path(f).resolve() for f in options.files]
    if not wanted:
        wanted = list(report.targets()) if options.all else report.outdated()
    if options.room:
        return measure(options.room, wanted, options, stop)
    rooms = report.targets()
    for room in report.ROOMS:
        # One process each, which imports only the tests of its room.
        files = [str(file) for file in wanted if rooms[file] == room]
        minutes = (stop - time.time()) / 60
        if files and minutes > 0:
            command = [sys.executable, "-m", "tests.mutation", "--room", room, *files]
            command += [f"--jobs={options.jobs}", f"--seconds={options.seconds}"]
            if subprocess.run([*command, f"--minutes={minutes}"]).returncode:
                return 1
    found = report.changed() + report.shortcomings()
    print("\n".join(found) or "every survivor has a reason")
    return int(bool(found))


def measure(room: str, files: list[Path], options: argparse.Namespace, stop: float) -> int:
    tests = [f"tests/{name}" for name in [*report.ROOMS[room][1], "test_docstrings.py"]]
    with tempfile.TemporaryDirectory() as scratch:
        record = report.record
        runner = Runner(files, options.seconds, options.jobs, record, stop, Path(scratch))
        arguments = [*tests, *OPTIONS, "-m", "not slow", f"--basetemp={scratch}/tests"]
        pytest.main(arguments, plugins=[runner])
    return int(not runner.finished)


if __name__ == "__main__":
    sys.exit(main())
