"""Compare the first steps of CascadeVAE's preset `paper` with and without TF-Slim's first weights.

Run as `python -m benchmarks.first_weights`. Both initialisations are trained from the same seeds,
on the same batches and noise, with one thread in fp32. Finished runs are skipped. Writes
results/benchmarks/first_weights.json: means of 100 steps of the reconstruction and of each KL.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.step import machine
from unbraid.runs import Run

RESULT = Path("results/benchmarks/first_weights.json")
INITS = {"slim": "--slim-init", "default": "--no-slim-init"}
# Steps of the records in the result; each is the mean of the 100 steps before it.
STEPS = (100, 200, 300, 500, 700, 1_000)


def train(init: str, seed: int, runs: Path) -> Run:
    """Train one run for the last of `STEPS`."""
    run = Run(runs / f"first-weights-{init}-{seed}")
    command = [sys.executable, "-m", "unbraid", "train", "cascade-vae", "--preset", "paper"]
    command += [INITS[init], "--seed", str(seed), "--steps", str(STEPS[-1]), "--precision", "fp32"]
    command += ["--threads", "1", "--resume", "--out", str(run.path)]
    subprocess.run(command, check=True)
    return run


def curves(run: Run) -> dict[str, list[Any]]:
    """Return reconstruction and KL of each dimension at `STEPS`, nats per image."""
    records = {record["step"]: record for record in run.read_log()}
    return {
        "reconstruction": [round(records[step]["reconstruction"], 2) for step in STEPS],
        "kl": [[round(kl, 3) for kl in records[step]["kl"]] for step in STEPS],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--inits", nargs="+", choices=INITS, default=[*INITS])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    flags = parser.parse_args()
    trained = {(i, s): train(i, s, flags.runs) for s in flags.seeds for i in flags.inits}
    result = {
        "command": f"python -m benchmarks.first_weights --seeds {' '.join(map(str, flags.seeds))}",
        "steps": STEPS,
        "nats": {f"{init}-{seed}": curves(run) for (init, seed), run in trained.items()},
        "machine": machine(),
    }
    RESULT.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
