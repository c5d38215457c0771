"""Fail if the tests cover less of the package than CONTRIBUTING.md promises.

`make test-all` runs it on the JSON report of coverage.py, as `python -m tools.coverage_bars FILE`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

# Least percentage of the statements, and of the branches.
BARS = {"statements": 95.0, "branches": 90.0}


def main() -> int:
    """Print both percentages and what each file lacks; return 1 if one is below its bar."""
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for name, file in report["files"].items():
        branches = [f"{a}->{b}" for a, b in file["missing_branches"]]
        if file["missing_lines"] or branches:
            lines = ", ".join(map(str, file["missing_lines"])) or "none"
            print(f"{name}: lines {lines}; branches {', '.join(branches) or 'none'}")
    reached = {kind: report["totals"][f"percent_{kind}_covered"] for kind in BARS}
    for kind, percent in reached.items():
        print(f"{percent:.1f} % of {kind} covered, at least {BARS[kind]:g} % are required")
    return int(any(percent < BARS[kind] for kind, percent in reached.items()))


if __name__ == "__main__":
    sys.exit(main())
