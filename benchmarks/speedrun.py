"""Time to score: ChartVAE on dSprites with several seeds, scored. Writes results/speedrun/.

Run as `python -m benchmarks.speedrun ATTEMPT --seeds 100 101`; flags after `--` go to `unbraid
train`. A run that is done is not trained again, one that was stopped continues. `--table` only
writes the attempt's table from its committed scores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.quick import run, table

RESULTS = Path("results/speedrun")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attempt", help="its name, as attempt-1: a folder under results/speedrun")
    parser.add_argument("--seeds", type=int, nargs="+", default=[100])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/speedrun"))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("more", nargs="*", metavar="-- FLAG", help="flags of unbraid train")
    flags = parser.parse_args()
    kept = RESULTS / flags.attempt
    if not flags.table:
        for seed in flags.seeds:
            out = flags.runs / flags.attempt / f"seed-{seed}"
            run(seed, flags.threads, out, kept / f"seed-{seed}", "chart-vae", *flags.more)
    (kept / "table.md").write_text(table(kept))
    print(table(kept))


if __name__ == "__main__":
    main()
