"""Write numbers.json: `python -m tests.numbers.write --why "the reason in one sentence"`."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from tests.numbers import committed, method_numbers, metric_numbers

from unbraid.data import load
from unbraid.methods import METHODS
from unbraid.studies.study import RESULTS_VERSION

# Largest relative difference from float64 that may be committed: half of the tolerance of the test.
MAX_ROUNDING = 5e-6


def current_numbers() -> dict[str, dict[str, Any]]:
    """Compute all sections; exit if fp32 and float64 differ by more than `MAX_ROUNDING`."""
    ten_steps, inexact = {}, []
    for case in method_numbers.CASES:
        method = method_numbers.method_of(case)
        ten_steps[case] = method_numbers.ten_steps(method)
        exact = method_numbers.ten_steps(method, torch.float64)
        rounding, term = committed.largest_difference(ten_steps[case], exact)
        print(f"{case}: fp32 and float64 differ by {rounding:.1e} ({term})")
        inexact += [case] * (rounding > MAX_ROUNDING)
    if inexact:
        raise SystemExit(f"{', '.join(inexact)}: rounding changes these numbers; choose other data")
    table = load("dsprites")
    sections = {
        "ten_steps": ten_steps,
        "default_losses": {name: method_numbers.default_losses(name, table) for name in METHODS},
        "runs": method_numbers.run_records(),
        "scores": metric_numbers.metric_scores(),
    }
    return committed.rounded(sections)


def main() -> None:
    """Compare with the committed numbers, and write the current ones with the reason."""
    parser = argparse.ArgumentParser(prog="python -m tests.numbers.write", description=__doc__)
    parser.add_argument("--why", required=True, help="why the numbers change, in one sentence")
    parser.add_argument(
        "--same-runs",
        action="store_true",
        help="the numbers of a user's run are as before: only inputs of this test have changed",
    )
    args = parser.parse_args()
    if not args.why.strip():
        parser.error("--why: must not be empty; say why the numbers change")
    torch.set_num_threads(1)
    before: dict[str, Any] = committed.read() if committed.FILE.exists() else {"history": []}
    history = before.pop("history")
    sections = current_numbers()
    changes = committed.changed(sections, before)
    same_version = bool(history) and history[-1]["results_version"] == RESULTS_VERSION
    if not changes and same_version:
        raise SystemExit("all numbers are as committed; there is nothing to write")
    known = {f"{section}: {name}" for section in before for name in before[section]}
    changed = sorted(known & set(changes))
    if changed and same_version and not args.same_runs:
        raise SystemExit(
            f"{', '.join(changed)}: changed; increase RESULTS_VERSION in"
            " src/unbraid/studies/study.py, or pass --same-runs if only the inputs have changed"
        )
    sections = committed.merged(sections, before, changes)
    entry = {
        "version": len(history) + 1,
        "results_version": RESULTS_VERSION,
        "why": args.why.strip(),
        "changed": changes,
        "digest": committed.digest(sections),
    }
    committed.write({"history": [*history, entry], **sections})


if __name__ == "__main__":
    main()
