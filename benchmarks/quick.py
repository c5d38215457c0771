"""Train the `quick` CascadeVAE with several seeds, score each, and write results/quick/.

Run as `python -m benchmarks.quick --seeds 0 1 2`. A run that is done is not trained again, one that
was stopped continues. `--table` only writes the table from the committed scores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.step import machine

RESULTS = Path("results/quick")
MEASURED = (
    *("config.toml", "log.jsonl", "scores.json", "information.json"),
    *("traversal.png", "cascade.png", "survey.json"),
)
METRICS = ("FactorVAE score", "unsupervised classification accuracy")
COLUMNS = ("jeong2019", "kim2018", "locatello2019", "lecture", "one_to_one", "majority")


def run(
    seed: int, threads: int, out: Path, kept: Path, method: str = "cascade-vae", *more: str
) -> None:
    """One seed: train or continue, with `more` flags, evaluate, draw, keep what was measured."""
    command = [sys.executable, "-m", "unbraid"]
    train = ["train", method, "--preset", "quick", "--seed", str(seed), *more, "--resume"]
    train += ["--threads", str(threads)]
    subprocess.run([*command, *train, "--out", str(out)], check=True)
    if not (out / "scores.json").exists():
        subprocess.run([*command, "evaluate", str(out), "--threads", str(threads)], check=True)
    if not (out / "traversal.png").exists():
        subprocess.run([*command, "traverse", str(out)], check=True)
    keep(out, kept, train)


def keep(run: Path, kept: Path, command: list[str]) -> None:
    """Copy what a run measured, small as it is, with where it comes from."""
    kept.mkdir(parents=True, exist_ok=True)
    for name in MEASURED:
        if (run / name).exists():
            shutil.copy(run / name, kept / name)
    sessions = json.loads((run / "provenance.json").read_text())
    facts = {"command": "unbraid " + " ".join(command), "machine": machine(), "sessions": sessions}
    (kept / "provenance.json").write_text(json.dumps(facts, indent=2) + "\n")


def table(results: Path = RESULTS) -> str:
    """Every seed, then mean and std (n − 1), as Markdown."""
    seeds = sorted(results.glob("seed-*"), key=lambda p: int(p.name.split("-")[1]))
    lines = [
        "| seed | " + " | ".join(f"`{c}`" for c in COLUMNS) + " | minutes |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    rows = []
    for seed in seeds:
        scores: list[dict[str, Any]] = json.loads((seed / "scores.json").read_text())["scores"]
        by_protocol = {row["protocol"]: row["score"] for row in scores if row["metric"] in METRICS}
        sessions = json.loads((seed / "provenance.json").read_text())["sessions"]
        minutes = sum(s["seconds"] for s in sessions) / 60
        rows.append([*(by_protocol[c] for c in COLUMNS), minutes])
        cells = [f"{v:.3f}" for v in rows[-1][:-1]]
        lines.append(f"| {seed.name.split('-')[1]} | {' | '.join(cells)} | {minutes:.1f} |")
    if len(rows) > 1:
        mean, std = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
        cells = [f"**{m:.3f}** ({s:.3f})" for m, s in zip(mean[:-1], std[:-1], strict=True)]
        lines.append(f"| mean (std) | {' | '.join(cells)} | {mean[-1]:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--table", action="store_true")
    flags = parser.parse_args()
    if not flags.table:
        for seed in flags.seeds:
            run(seed, flags.threads, flags.runs / f"quick-{seed}", RESULTS / f"seed-{seed}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "table.md").write_text(table())
    print(table())


if __name__ == "__main__":
    main()
