"""Train the `quick` preset of CascadeVAE with several seeds, score it, and write results/quick/.

Run as `python -m benchmarks.quick --seeds 0 1 2`. Finished runs are skipped, and interrupted ones
resume. `--table` only writes the table, from the committed scores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.archived_run import archive_run
from unbraid.runs import Run

RESULTS = Path("results/quick")
METRICS = ("FactorVAE score", "unsupervised classification accuracy")
PROTOCOLS = ("jeong2019", "kim2018", "locatello2019", "lecture", "one_to_one", "majority")


def train_and_archive(
    seed: int, threads: int, out: Path, to: Path, method: str = "cascade-vae", *flags: str
) -> None:
    """Train or resume one seed with further `flags`, score and draw it, and archive it."""
    run, command = Run(out), [sys.executable, "-m", "unbraid"]
    train = ["train", method, "--preset", "quick", "--seed", str(seed), *flags, "--resume"]
    train += ["--threads", str(threads)]
    subprocess.run([*command, *train, "--out", str(out)], check=True)
    if not run.scores_file.exists():
        subprocess.run([*command, "evaluate", str(out), "--threads", str(threads)], check=True)
    if not run.traversal_figure.exists():
        subprocess.run([*command, "traverse", str(out)], check=True)
    archive_run(run, to, train)


def table(results: Path = RESULTS) -> str:
    """Return a Markdown table of all seeds, then mean and std (n − 1)."""
    seeds = sorted(results.glob("seed-*"), key=lambda path: int(path.name.split("-")[1]))
    lines = [
        "| seed | " + " | ".join(f"`{name}`" for name in PROTOCOLS) + " | minutes |",
        "|---" * (len(PROTOCOLS) + 2) + "|",
    ]
    rows = [_row(seed) for seed in seeds]
    for seed, (*scores, minutes) in zip(seeds, rows, strict=True):
        cells = [f"{score:.3f}" for score in scores]
        lines.append(f"| {seed.name.split('-')[1]} | {' | '.join(cells)} | {minutes:.1f} |")
    if len(rows) > 1:
        mean, std = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
        cells = [f"**{m:.3f}** ({s:.3f})" for m, s in zip(mean[:-1], std[:-1], strict=True)]
        lines.append(f"| mean (std) | {' | '.join(cells)} | {mean[-1]:.1f} |")
    return "\n".join(lines) + "\n"


def _row(archived: Path) -> list[float]:
    """Return the scores of a seed under each protocol, and the minutes of training."""
    run = Run(archived)
    rows: list[dict[str, Any]] = json.loads(run.scores_file.read_text())["scores"]
    scores = {row["protocol"]: row["score"] for row in rows if row["metric"] in METRICS}
    sessions = json.loads(run.provenance_file.read_text())["sessions"]
    return [*(scores[name] for name in PROTOCOLS), sum(s["seconds"] for s in sessions) / 60]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--table", action="store_true", help="only write the table")
    flags = parser.parse_args()
    if not flags.table:
        for seed in flags.seeds:
            out, to = flags.runs / f"quick-{seed}", RESULTS / f"seed-{seed}"
            train_and_archive(seed, flags.threads, out, to)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "table.md").write_text(table())
    print(table())


if __name__ == "__main__":
    main()
