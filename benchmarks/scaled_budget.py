"""Compare a fifth of the steps at five times the learning rate with the budget it is scaled from.

`unbraid study run benchmarks/scaled-budget.toml --out DIR` trains CascadeVAE for a fifth of the
steps of table1-quick, with a fifth of the steps per stage and five times the learning rate. Then
`python -m benchmarks.scaled_budget --runs DIR` archives these runs in results/scaled-budget/ and
writes the table there and in docs/performance.md: beside them, the same seeds of table1-quick in
results/studies, at the same number of steps (the first fifth of their schedule) and at their end.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import fill
from unbraid.runs.run import LogRecord
from unbraid.studies.archive import archive
from unbraid.studies.results import RunResult
from unbraid.studies.store import Store
from unbraid.studies.study import PAPER_METRICS, Row, Study
from unbraid.studies.study_file import read

STUDY = Path("benchmarks/scaled-budget.toml")
RESULTS = Path("results/scaled-budget")
PERFORMANCE = Path("docs/performance.md")
FACTOR = 5
SCORES = tuple(" ".join(spec) for spec in PAPER_METRICS)
HEADERS = ["m", "budget", "steps", "learning rate", "seeds", "−ELBO, nats"]
HEADERS += [f"`{spec.protocol}`, percent" for spec in PAPER_METRICS]


def compare(scaled: Study, whole: Study, archived: Store, whole_runs: Store) -> str:
    """Return the comparison as a Markdown table, with a line for each row and budget."""
    lines = [HEADERS, ["---"] * len(HEADERS)]
    results, whole_results = archived.results(), whole_runs.results()
    for row in scaled.rows:
        other = counterpart(row, whole)
        done = {job.config.seed: results[job.key] for job in row.jobs if job.key in results}
        jobs = [job for job in other.jobs if job.config.seed in done]
        pairs = [(whole_results[job.key], whole_runs.run(job).read_log()) for job in jobs]
        steps = row.jobs[0].config.budget.steps
        ours = [_numbers(result, steps, result.elbo) for result in done.values()]
        first = [_numbers(result, steps, _elbo_at(log, steps)) for result, log in pairs]
        last = [_numbers(result, result.step, result.elbo) for result, _ in pairs]
        for budget, same, numbers, end in (
            ("the whole schedule", other, last, FACTOR * steps),
            ("its first fifth", other, first, steps),
            ("a fifth of the steps, five times the rate", row, ours, steps),
        ):
            method: Any = same.jobs[0].config.method
            cells = [str(method.latent_dim), budget, f"{end:,}", f"{method.learning_rate:g}"]
            lines.append([*cells, str(len(numbers)), *_means(numbers)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def counterpart(row: Row, whole: Study) -> Row:
    """Return the row of the whole schedule from which a row is scaled, and check that it is."""
    config = row.jobs[0].config
    scaled = dataclasses.asdict(config.method)
    for other in whole.rows:
        base = other.jobs[0].config
        expected = dataclasses.asdict(base.method)
        if (base.method.name, base.method.latent_dim) == (config.method.name, scaled["latent_dim"]):
            expected["learning_rate"] *= FACTOR
            expected["stage_steps"] //= FACTOR
            wrong = [k for k, v in expected.items() if not np.isclose(scaled[k], v)]
            if wrong or FACTOR * config.budget.steps != base.budget.steps:
                raise ValueError(f"{row.title}: not scaled from {other.title}: {wrong or 'steps'}")
            return other
    raise ValueError(f"{row.title}: {whole.title} has no row with this method and latent_dim")


def _numbers(result: RunResult, step: int, elbo: float | None) -> list[float | None]:
    """Return −ELBO, and the scores in percent on the sample after a step."""
    scores = result.checkpoints[str(step)]
    percent = [None if (s := scores.get(name)) is None else 100 * s for name in SCORES]
    return [None if elbo is None else -elbo, *percent]


def _elbo_at(log: Sequence[LogRecord], step: int) -> float | None:
    """Return the ELBO of the last archived record up to a step."""
    return next((record["elbo"] for record in reversed(log) if record["step"] <= step), None)


def _means(numbers: Sequence[Sequence[float | None]]) -> list[str]:
    cells = []
    for column in zip(*numbers, strict=True):
        values = [value for value in column if value is not None]
        std = f" ({np.std(values, ddof=1):.1f})" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.1f}{std}" if values else "—")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=RESULTS)
    flags = parser.parse_args()
    study, store = read(STUDY), Store(RESULTS)
    if flags.runs.resolve() != RESULTS.resolve():
        archive(study, Store(flags.runs), store, weights=False)
    text = compare(study, read("table1-quick"), store, Store(Path("results/studies")))
    for page in (RESULTS / "README.md", PERFORMANCE):
        fill(page, "scaled-budget", text)
    print(text)


if __name__ == "__main__":
    main()
