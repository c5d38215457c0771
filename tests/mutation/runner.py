"""Pytest plugin that runs the covering tests of every mutant, each in a forked process.

The tests run once to record which of them execute each line and how long they take. A mutant of a
function then replaces the code of the living function in a fork, so nothing is imported again. A
mutant of code that runs at import, such as the default of a hyperparameter, imports the package
and the tests again in the fork.
"""

from __future__ import annotations

import functools
import gc
import os
import resource
import shutil
import signal
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol
from tests.mutation.living import functions, living_functions, serve
from tests.mutation.operators import Mutant, find_mutants

ROOT = Path(__file__).parents[2]
KILLED, SURVIVED, FAILED = 1, 0, 3
MEMORY = 8 << 30


@dataclass
class Runner:
    """Measures files; `results` gets the mutants of a file and those that survived."""

    files: list[Path]
    limit: float  # Seconds of tests per mutant, those that take least first.
    jobs: int
    done: Callable[[Path, bytes, list[Mutant], list[Mutant]], None]
    stop: float  # Time after which no file is started.
    scratch: Path
    finished: bool = False
    controlled: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    covering: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    killers: dict[Any, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.sources = {file: file.read_bytes() for file in self.files}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Of the tests of docstrings, keep those of the measured files."""
        names = [".".join(f.relative_to(ROOT / "src").with_suffix("").parts) for f in self.files]
        items[:] = [
            item
            for item in items
            if "[unbraid." not in item.name or any(f"[{name}]" in item.name for name in names)
        ]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        self.record(session)
        self.first = session.items[0]
        session._setupstate.teardown_exact(self.first)
        self.living = living_functions(str(ROOT))
        self.caches = [
            found
            for found in gc.get_objects()
            if type(found) is functools._lru_cache_wrapper
            and found.__module__.startswith(("unbraid", "test", "conftest"))
        ]
        gc.collect()
        gc.freeze()
        for file in self.files:
            if time.time() > self.stop:
                break
            self.measure(file)
        self.finished = True
        return True

    def record(self, session: pytest.Session) -> None:
        """Run every test once; record its time and the lines that it executes."""
        recorder = coverage.Coverage(
            data_file=None, config_file=False, include=[str(file) for file in self.files]
        )
        recorder.start()
        for item, following in _pairs(session.items):
            recorder.switch_context(item.nodeid)
            start = time.process_time()
            reports = runtestprotocol(item, log=False, nextitem=following)
            if any(report.failed for report in reports):
                print(f"fails without a mutant, not used: {item.nodeid}")
            elif all(report.passed for report in reports):
                self.seconds[item.nodeid] = time.process_time() - start
        recorder.stop()
        data = recorder.get_data()
        for name in data.measured_files():
            for line, contexts in data.contexts_by_lineno(name).items():
                self.covering[name, line] = set(contexts) & self.seconds.keys()

    def measure(self, file: Path) -> None:
        source = self.sources[file]
        mutants = find_mutants(source)
        if mutants and not self.controlled:
            self.controlled = True
            for name in (mutants[0].function, None):
                self.control(file, source, Mutant(0, 0, "", name, mutants[0].lines))
        survivors: list[Mutant] = []
        running: dict[int, Mutant] = {}

        def wait() -> None:
            pid, status = os.waitpid(-1, 0)
            mutant = running.pop(pid, None)
            if mutant is None:  # A child of another test.
                return
            code = os.waitstatus_to_exitcode(status)
            shutil.rmtree(self.folder(pid), ignore_errors=True)
            if code == FAILED:
                raise RuntimeError(f"{file.name}: {mutant} cannot be applied")
            if code == SURVIVED:
                survivors.append(mutant)
            if killer := self.killer(pid):
                self.killers[mutant.function and (file, mutant.function)].insert(0, killer)

        for mutant in mutants:
            tests = self.select(file, mutant)
            while len(running) >= self.jobs:
                wait()
            if tests:
                running[self.fork(file, source, mutant, tests)] = mutant
            else:
                survivors.append(mutant)
        while running:
            wait()
        survivors.sort(key=mutants.index)
        print(f"{file.name}: {len(mutants)} mutants, {len(survivors)} survive", flush=True)
        self.done(file, source, mutants, survivors)

    def control(self, file: Path, source: bytes, unchanged: Mutant) -> None:
        """Leave out tests that fail in a fork, or when imported again, without any change."""
        for _ in range(20):
            if not (selected := self.select(file, unchanged)):
                return
            pid = self.fork(file, source, unchanged, selected)
            _, status = os.waitpid(pid, 0)
            if os.waitstatus_to_exitcode(status) == SURVIVED:
                return
            killer = self.killer(pid)
            print(f"fails in a fork without a mutant, not used: {killer}", flush=True)
            if self.seconds.pop(killer, None) is None:
                break
            for tests in self.covering.values():
                tests.discard(killer)
        raise RuntimeError(f"{file.name}: tests fail in a fork without a mutant")

    def killer(self, pid: int) -> str:
        """Return the test that failed in a fork."""
        file = self.folder(pid).with_suffix(".killer")
        return file.read_text() if file.exists() else ""

    def fork(self, file: Path, source: bytes, mutant: Mutant, tests: list[str]) -> int:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            self.child(file, source, mutant, tests)
        return pid

    def folder(self, pid: int) -> Path:
        return self.scratch / str(pid)

    def select(self, file: Path, mutant: Mutant) -> list[str]:
        """Return the covering tests: first those that killed others, then by their time."""
        if mutant.function is None:  # The values of the import; any test may read them.
            names, killers = set(self.seconds), self.killers[None]
        else:
            names, killers = set(), self.killers[file, mutant.function]
            for line in mutant.lines:
                names |= self.covering.get((str(file), line), set())
        names = {name for name in names if Path(name.partition("::")[0]).exists()}
        recent = [name for name in dict.fromkeys(killers) if name in names][:5]
        selected, total = [], 0.0
        for name in [*recent, *sorted(names - set(recent), key=self.seconds.__getitem__)]:
            total += self.seconds[name]
            if selected and total > self.limit:
                break
            selected.append(name)
        return selected

    def child(self, file: Path, source: bytes, mutant: Mutant, tests: list[str]) -> None:
        code = FAILED
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            here = mutant.function is not None and self.replace_code(file, source, mutant)
            resource.setrlimit(resource.RLIMIT_AS, (_virtual_memory() + MEMORY, -1))
            for number in (signal.SIGALRM, signal.SIGPROF):
                signal.signal(number, signal.SIG_DFL)
            code = KILLED
            if here:
                code = self.run_here(tests)
            else:
                _end_after(60 + 5 * sum(self.seconds[name] for name in tests))
                # Each part imports again; most mutants end with the few tests of the first.
                changed = mutant.apply(source)
                parts = [part for part in (tests[:3], tests[3:]) if part]
                killed = any(self.run_again(file, changed, part) for part in parts)
                code = KILLED if killed else SURVIVED
        finally:
            os._exit(code)

    def run_here(self, tests: list[str]) -> int:
        items = [self.items[name] for name in tests]
        self.first.session._setupstate.teardown_exact(items[0])
        for item, following in _pairs(items):
            _end_after(2 + 5 * self.seconds[item.nodeid])
            try:
                reports = runtestprotocol(item, log=False, nextitem=following)
                failed = any(report.failed for report in reports)
            except BaseException:
                failed = True
            if failed:
                self.folder(os.getpid()).with_suffix(".killer").write_text(item.nodeid)
                return KILLED
        return SURVIVED

    def replace_code(self, file: Path, source: bytes, mutant: Mutant) -> bool:
        """Give the living function the mutated code; False if it captures other variables."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = compile(mutant.apply(source), str(file), "exec", dont_inherit=True)
        name = mutant.function
        mutated = [code for qualified, code in functions(module) if qualified == name]
        originals = self.living[str(file), name or ""]
        if len(mutated) != len(originals):
            return False
        for code, alive in zip(mutated, originals, strict=True):
            for function in alive:
                if function.__code__.co_freevars != code.co_freevars:
                    return False
                function.__code__ = code
        for cached in self.caches:
            cached.cache_clear()
        return True

    def run_again(self, file: Path, mutated: bytes, tests: list[str]) -> bool:
        """Import the package and the tests with a mutated file; return whether a test fails."""
        for name, module in list(sys.modules.items()):
            ours = str(getattr(module, "__file__", "")).startswith(str(ROOT / "tests"))
            again = name.split(".")[0] in ("unbraid", "beartype")  # It keeps classes by name.
            if again or (ours and "tests.mutation" not in name):
                del sys.modules[name]
        serve(file, mutated)
        sys.dont_write_bytecode = True
        paths = sorted({name.partition("::")[0] for name in tests})
        folder = self.folder(os.getpid())
        arguments = [*paths, *OPTIONS, "-x", f"--basetemp={folder}"]
        code = pytest.main(arguments, plugins=[_Only(tests, folder.with_suffix(".killer"))])
        return code != pytest.ExitCode.OK


OPTIONS = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no"]
OPTIONS += ["--continue-on-collection-errors", "-o", "tmp_path_retention_policy=none"]
OPTIONS += ["--rootdir", str(ROOT)]


def _end_after(seconds: float) -> None:
    """End this process after so many seconds of computing, or six times as many of waiting."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 6 * seconds)


def _pairs(items: list[pytest.Item]) -> Iterator[tuple[pytest.Item, pytest.Item]]:
    """Yield each test and the next one; the last is its own, so that no shared fixture ends."""
    return zip(items, [*items[1:], items[-1]], strict=True)


class _Only:
    """Run only some tests, in the given order."""

    def __init__(self, tests: list[str], killer: Path) -> None:
        self.tests, self.killer = tests, killer

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        by_name = {item.nodeid: item for item in items}
        items[:] = [by_name[name] for name in self.tests]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.killer.write_text(report.nodeid)


def _virtual_memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
