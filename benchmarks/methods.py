"""Train the `quick` preset of every method, score it, split its KL, and write results/methods/.

Run as `python -m benchmarks.methods`, or with the names of some methods. Finished runs are skipped,
and interrupted ones resume. `--table` only writes the table, from the committed results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.archived_run import archive_run
from benchmarks.quick import METRICS
from unbraid.methods import METHODS
from unbraid.runs import Run

RESULTS = Path("results/methods")
# Methods with several seeds in results/quick/ and results/speedrun/.
ELSEWHERE = ("cascade-vae", "chart-vae")
PROTOCOLS = ("jeong2019", "kim2018", "locatello2019", "one_to_one")
INFORMATION_TERMS = ("information", "total_correlation", "marginal_kl")
# Smallest KL of a dimension that counts as used, in nats.
MIN_KL = 0.1


def train_and_archive(method: str, seed: int, threads: int, runs: Path) -> None:
    """Train or resume one method, score and draw it, split its KL, and archive it."""
    run, command = Run(runs / method), [sys.executable, "-m", "unbraid"]
    out, thread_flags = str(run.path), ["--threads", str(threads)]
    train = ["train", method, "--preset", "quick", "--seed", str(seed), "--resume"]
    train += [*thread_flags, "--out", out]
    subprocess.run([*command, *train], check=True)
    subprocess.run([*command, "evaluate", out, *thread_flags], check=True)
    subprocess.run([*command, "traverse", out], check=True)
    has_posterior = json.loads(run.scores_file.read_text())["kl"] is not None
    if has_posterior:
        subprocess.run([*command, "information", out, *thread_flags], check=True)
    archive_run(run, RESULTS / method, train)


def table(results: Path = RESULTS) -> str:
    """Return a Markdown table with a line per method; terms are in nats per image."""
    columns = [*(f"`{name}`" for name in PROTOCOLS), "reconstruction", "I(x;z)", "TC(z)"]
    columns += ["Σ KL(q(z_i) ‖ p)", "dimensions used", "minutes"]
    lines = ["| method | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in METHODS:
        if (results / name).exists():
            lines.append(f"| `{name}` | " + " | ".join(_cells(Run(results / name))) + " |")
    return "\n".join(lines) + "\n"


def _cells(run: Run) -> list[str]:
    outcome: dict[str, Any] = json.loads(run.scores_file.read_text())
    scores = {r["protocol"]: r["score"] for r in outcome["scores"] if r["metric"] in METRICS}
    cells = [f"{scores[name]:.3f}" if name in scores else "" for name in PROTOCOLS]
    cells.append(f"{run.read_log()[-1]['reconstruction']:.1f}")
    terms: dict[str, Any] = {}
    if run.information_file.exists():
        terms = json.loads(run.information_file.read_text())
    cells += [f"{terms[name]:.2f}" if name in terms else "" for name in INFORMATION_TERMS]
    kl = outcome["kl"]
    cells.append("" if kl is None else f"{sum(k >= MIN_KL for k in kl)} of {len(kl)}")
    sessions = json.loads(run.provenance_file.read_text())["sessions"]
    cells.append(f"{sum(s['seconds'] for s in sessions) / 60:.0f}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = f"default: all but {' and '.join(ELSEWHERE)}"
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=default)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/quick"))
    parser.add_argument("--table", action="store_true", help="only write the table")
    flags = parser.parse_args()
    if not flags.table:
        for method in flags.methods or [name for name in METHODS if name not in ELSEWHERE]:
            train_and_archive(method, flags.seed, flags.threads, flags.runs)
    (RESULTS / "table.md").write_text(table())
    print(table())


if __name__ == "__main__":
    main()
