"""Train ten CascadeVAEs for 300,000 steps on one GPU, in sessions of less than ten minutes.

Run `PYTHONPATH=src python -m benchmarks.population` from a checkout, repeatedly until it prints
that all members are finished: each call stops with a checkpoint of every member, and the next one
resumes from it. Writes the measured times to results/benchmarks/population.json. `--device cpu`
trains in worker processes instead.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.step import machine
from unbraid.engine import member, seeds_of
from unbraid.runs import Run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0-9")
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--minutes", type=float, default=9.0, help="minutes per call, default 9")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("runs/population"))
    parser.add_argument("--report", type=Path, default=Path("results/benchmarks/population.json"))
    flags = parser.parse_args()
    command = [sys.executable, "-m", "unbraid", "train", "cascade-vae", "--resume"]
    command += ["--seeds", flags.seeds, "--steps", str(flags.steps), "--out", str(flags.out)]
    with subprocess.Popen([*command, "--device", flags.device]) as process:
        try:
            process.wait(60 * flags.minutes)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
    if process.returncode not in (0, 130):
        return process.returncode
    runs = [member(flags.out, seed) for seed in seeds_of(flags.seeds)]
    report(runs, flags.report)
    finished = process.returncode == 0
    print("all members are finished" if finished else "some members are not finished; call again")
    return 0


def report(runs: list[Run], file: Path) -> None:
    """Write and print the steps of all members and their duration, including start-up."""
    runs_sessions: list[list[dict[str, Any]]] = [
        json.loads(run.provenance_file.read_text()) for run in runs if run.provenance_file.exists()
    ]
    steps = sum(s["to_step"] - s["from_step"] for sessions in runs_sessions for s in sessions)
    seconds = max(sum(s["seconds"] for s in sessions) for sessions in runs_sessions)
    outcome = {
        "members": len(runs),
        "steps_of_all_members": steps,
        "minutes": round(seconds / 60, 2),
        "steps_per_second": round(steps / seconds, 1),
        "device": runs_sessions[0][-1]["device"],
        "machine": machine(),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(outcome, indent=2, ensure_ascii=False) + "\n")
    print(f"{steps:,} steps of {len(runs)} members in {seconds / 60:.1f} minutes")


if __name__ == "__main__":
    sys.exit(main())
