"""Train ChartVAE on dSprites with several seeds, score it, and write results/speedrun/.

Run as `python -m benchmarks.speedrun ATTEMPT --seeds 100 101`; flags after `--` are passed to
`unbraid train`. Finished runs are skipped, and interrupted ones resume. `--table` only writes the
table of the attempt, from its committed scores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.quick import table, train_and_archive

RESULTS = Path("results/speedrun")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attempt", help="name of a folder in results/speedrun, such as attempt-1")
    parser.add_argument("--seeds", type=int, nargs="+", default=[100])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/speedrun"))
    parser.add_argument("--table", action="store_true", help="only write the table")
    parser.add_argument("train_flags", nargs="*", metavar="-- FLAG", help="flags of unbraid train")
    flags = parser.parse_args()
    results = RESULTS / flags.attempt
    if not flags.table:
        for seed in flags.seeds:
            out, to = flags.runs / flags.attempt / f"seed-{seed}", results / f"seed-{seed}"
            train_and_archive(seed, flags.threads, out, to, "chart-vae", *flags.train_flags)
    (results / "table.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
