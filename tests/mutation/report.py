"""The committed report: how many mutants of each file the tests kill, and which survive."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path
from typing import Any

import tomli_w
from filelock import FileLock
from tests.mutation.operators import Mutant, fingerprint

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).parent / "report.toml"
BAR = 0.95
# Files and packages that are measured, and the tests that run on them; slow tests do not.
ROOMS = {
    "information": (
        ["distributions.py", "entropy.py", "information"],
        ["information", "test_distributions.py"],
    ),
    "methods": (["methods"], ["methods"]),
    "metrics": (["metrics"], ["metrics"]),
    "renderer": (
        ["data/datasets/dsprites_renderer.py"],
        ["data/datasets/test_dsprites_renderer.py"],
    ),
}
HOW = "run: make mutation (it measures files that changed), then commit tests/mutation/report.toml"


def targets() -> dict[Path, str]:
    """Return the files that are measured, each with its key in ROOMS."""
    found = {}
    for room, (sources, _) in ROOMS.items():
        for path in [ROOT / "src" / "unbraid" / source for source in sources]:
            for file in [path] if path.is_file() else sorted(path.glob("*.py")):
                found[file] = room
    return found


def read() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text()) if FILE.exists() else {}


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def outdated() -> list[Path]:
    """Return the files whose code is not the measured one."""
    report = read()
    return [
        file
        for file in targets()
        if report.get(name_of(file), {}).get("code") != fingerprint(file.read_bytes())
    ]


def record(file: Path, source: bytes, mutants: list[Mutant], survivors: list[Mutant]) -> None:
    """Write the figures of one file; reasons of mutants that survive again are kept."""
    with FileLock(Path(tempfile.gettempdir()) / "unbraid-mutation.lock"):
        _record(file, source, mutants, survivors)


def _record(file: Path, source: bytes, mutants: list[Mutant], survivors: list[Mutant]) -> None:
    report = read()
    old = report.get(name_of(file), {}).get("survivors", [])
    reasons = {(s["function"], s["line"], s["mutant"]): s["reason"] for s in old}
    rows = []
    for mutant in survivors:
        key = (mutant.function or "module", *mutant.describe(source))
        row = dict(zip(("function", "line", "mutant"), key, strict=True))
        rows.append(row | {"reason": reasons.get(key, "")})
    entry: dict[str, Any] = {"code": fingerprint(source), "mutants": len(mutants)}
    entry |= {"killed": len(mutants) - len(survivors)}
    report[name_of(file)] = entry | ({"survivors": rows} if rows else {})
    present = {name_of(file) for file in targets()}
    FILE.write_text(tomli_w.dumps({k: report[k] for k in sorted(report) if k in present}))


def changed() -> list[str]:
    """Return the measured files whose code is not the measured one: one line each."""
    waiting = {name for name, entry in read().items() if not entry.get("measured", True)}
    names = [name_of(file) for file in outdated()]
    return [f"{name} changed since it was measured; {HOW}" for name in names if name not in waiting]


def shortcomings() -> list[str]:
    """Return what is missing in the report: measurements, reasons, kills; one line each."""
    report = read()
    found = []
    for name, entry in report.items():
        if not entry.get("measured", True):
            found.append(f"{name} is not measured yet")
        for row in entry.get("survivors", []):
            if not row["reason"]:
                found.append(f"{name}, {row['function']}: no test fails for {row['mutant']!r}")
    mutants = sum(entry.get("mutants", 0) for entry in report.values())
    killed = sum(entry.get("killed", 0) for entry in report.values())
    if killed < BAR * mutants:
        found.append(f"{killed} of {mutants} mutants are killed: at least {BAR:.0%} must be")
    return found
