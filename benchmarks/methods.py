"""Train the `quick` preset of every method, score it, split its KL, and write results/methods/.

Run as `python -m benchmarks.methods`, or with the names of some methods. A run that is done is not
trained again, one that was stopped continues. `--table` only writes the table from the committed
results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.quick import keep
from unbraid.methods import METHODS

RESULTS = Path("results/methods")
# Several seeds of these stand in results/quick/ and results/speedrun/.
ELSEWHERE = ("cascade-vae", "chart-vae")
SCORES = ("jeong2019", "kim2018", "locatello2019", "one_to_one")
_USUAL = ("FactorVAE score", "unsupervised classification accuracy")
# A dimension that tells less of an image, in nats, is counted as unused.
USED = 0.1


def run(method: str, seed: int, threads: int, runs: Path) -> None:
    """One method: train or continue, evaluate, draw, split the KL, keep what was measured."""
    out = runs / method
    command = [sys.executable, "-m", "unbraid"]
    train = ["train", method, "--preset", "quick", "--seed", str(seed), "--resume"]
    train += ["--threads", str(threads), "--out", str(out)]
    subprocess.run([*command, *train], check=True)
    evaluate = ["evaluate", str(out), "--threads", str(threads)]
    subprocess.run([*command, *evaluate], check=True)
    subprocess.run([*command, "traverse", str(out)], check=True)
    without_posterior = json.loads((out / "scores.json").read_text())["kl"] is None
    if not without_posterior:
        information = ["information", str(out), "--threads", str(threads)]
        subprocess.run([*command, *information], check=True)
    keep(out, RESULTS / method, train)


def table(results: Path = RESULTS) -> str:
    """A line a method, as Markdown; scores of the last checkpoint, terms in nats per image."""
    columns = [*(f"`{name}`" for name in SCORES), "reconstruction", "I(x;z)", "TC(z)"]
    columns += ["Σ KL(q(z_i) ‖ p)", "dimensions used", "minutes"]
    lines = ["| method | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in METHODS:
        if (results / name).exists():
            lines.append(f"| `{name}` | " + " | ".join(_cells(results / name)) + " |")
    return "\n".join(lines) + "\n"


def _cells(kept: Path) -> list[str]:
    scores: dict[str, Any] = json.loads((kept / "scores.json").read_text())
    of = {row["protocol"]: row["score"] for row in scores["scores"] if row["metric"] in _USUAL}
    cells = [f"{of[name]:.3f}" if name in of else "" for name in SCORES]
    last = json.loads((kept / "log.jsonl").read_text().splitlines()[-1])
    cells.append(f"{last['reconstruction']:.1f}")
    terms: dict[str, Any] = {}
    if (kept / "information.json").exists():
        terms = json.loads((kept / "information.json").read_text())
    for term in ("information", "total_correlation", "marginal_kl"):
        cells.append(f"{terms[term]:.2f}" if term in terms else "")
    kl = scores["kl"]
    cells.append("" if kl is None else f"{sum(k >= USED for k in kl)} of {len(kl)}")
    sessions = json.loads((kept / "provenance.json").read_text())["sessions"]
    cells.append(f"{sum(s['seconds'] for s in sessions) / 60:.0f}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="default: all but two")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/quick"))
    parser.add_argument("--table", action="store_true")
    flags = parser.parse_args()
    if not flags.table:
        for method in flags.methods or [name for name in METHODS if name not in ELSEWHERE]:
            run(method, flags.seed, flags.threads, flags.runs)
    (RESULTS / "table.md").write_text(table())
    print(table())


if __name__ == "__main__":
    main()
