"""Select the `quick` preset of CascadeVAE without labels, by a rule fixed before any run.

Run as `python -m benchmarks.quick_choice`. Every candidate is trained on the same number of images
(the discrete code on the last 160,000) with seeds 10 and 11, which no table reports. The candidate
with the highest ELBO (the mean of the last 500 logged steps, then of the seeds) is selected. No
label is used and nothing is evaluated. Writes results/quick/choice.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.quick import RESULTS
from benchmarks.step import machine
from unbraid.runs import Run

SEEDS = (10, 11)
CANDIDATES: dict[str, dict[str, float]] = {
    "A": {"batch-size": 64, "learning-rate": 1e-3, "stage-steps": 1_500, "beta-low": 2.0},
    "B": {"batch-size": 64, "learning-rate": 7e-4, "stage-steps": 1_500, "beta-low": 2.0},
    "C": {"batch-size": 32, "learning-rate": 7e-4, "stage-steps": 3_000, "beta-low": 2.0},
}
IMAGES = 544_000
# Number of log records (one every 100 steps) for the mean ELBO.
LAST_RECORDS = 5


def train(name: str, seed: int, runs: Path) -> float:
    """Train one candidate with one seed on one thread, and return its ELBO at the end."""
    flags = CANDIDATES[name]
    out = runs / f"choice-{name}-{seed}"
    command = [sys.executable, "-m", "unbraid", "train", "cascade-vae", "--preset", "quick"]
    command += ["--seed", str(seed), "--threads", "1", "--resume", "--out", str(out)]
    command += ["--steps", str(IMAGES // int(flags["batch-size"])), "--latent-dim", "4"]
    for flag, value in flags.items():
        command += [f"--{flag}", str(value)]
    subprocess.run(command, check=True)
    return float(np.mean([record["elbo"] for record in Run(out).read_log()[-LAST_RECORDS:]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="parallel runs, one thread each")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    flags = parser.parse_args()
    jobs = [(name, seed) for seed in SEEDS for name in CANDIDATES]
    with ThreadPoolExecutor(flags.jobs) as pool:
        elbos = list(pool.map(lambda job: train(job[0], job[1], flags.runs), jobs))
    elbo = {f"{name}-{seed}": value for (name, seed), value in zip(jobs, elbos, strict=True)}
    means = {name: float(np.mean([elbo[f"{name}-{s}"] for s in SEEDS])) for name in CANDIDATES}
    selected = max(means, key=means.__getitem__)
    choice = {
        "candidates": CANDIDATES,
        "images": IMAGES,
        "elbo_nats": elbo,
        "mean_elbo_nats": means,
        "chosen": selected,
        "command": "python -m benchmarks.quick_choice",
        "machine": machine(),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "choice.json").write_text(json.dumps(choice, indent=2) + "\n")
    print(f"{selected}: {means[selected]:.1f} nats; {means}")


if __name__ == "__main__":
    main()
