"""Keep what studies measured in results/studies/: results, tables, every seed as a picture.

Run as `python -m benchmarks.tables studies/ablation.toml` after `unbraid study run` on the same
file; `--runs DIR` is the `--out` that it had. What results/studies has of other studies and seeds
stays. `--begin` is the other way round: it gives the runs' directory the results that are kept, so
that `unbraid study run` makes only what is missing.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from unbraid.report import charts, figures
from unbraid.studies.formats import table
from unbraid.studies.keep import keep
from unbraid.studies.read import read
from unbraid.studies.store import Store
from unbraid.studies.study import Headline, Study
from unbraid.studies.table import measure

RESULTS = Path("results/studies")


def views(study: Study) -> list[Study]:
    """The study by each metric that its checkpoints are scored by, its own first."""
    others = [Headline(job) for job in study.jobs[0].scoring.by if job != study.headline.job]
    return [dataclasses.replace(study, headline=head) for head in (study.headline, *others)]


def page(study: Study, kept: Path) -> str:
    """The summary, then the tables of every view, as Markdown."""
    tables = [table(view, Store(kept), "md") for view in views(study)]
    return "\n".join([summary(study, kept), *tables])


def summary(study: Study, kept: Path) -> str:
    """One table of all views: mean, std and every seed of the last checkpoints."""
    seen = views(study)
    heads = ["row", "seeds"]
    for view in seen:
        heads += [f"`{view.headline.job.protocol}`, {view.headline.unit}", "every seed"]
    rows = [heads, ["---"] * len(heads)]
    for lines in zip(*[measure(view, Store(kept)) for view in seen], strict=True):
        cells = [lines[0].row.title, f"{len(lines[0].done)} of {len(lines[0].members)}"]
        for line in lines:
            mean, std = line.last.mean, line.last.std
            cells.append("—" if mean is None else f"**{mean:.1f}**")
            cells[-1] += "" if std is None else f" ({std:.1f})"
            cells.append(
                " ".join("—" if m.score is None else f"{m.score:.1f}" for m in line.members)
            )
        rows.append(cells)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def draw(study: Study, kept: Path, stem: str) -> None:
    """A strip of every seed, for each view, beside the results."""
    for view in views(study):
        lines = [line for line in measure(view, Store(kept)) if line.done]
        head = view.headline
        across = f"{head.title}, {head.job.protocol}, {head.unit}"
        drawn = charts.strips([figures.strip(line) for line in lines], across)
        name = f"{stem}-{head.job.protocol}.svg"
        (kept / name).write_text(charts.alone(drawn))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--runs", type=Path, default=Path("runs/studies"))
    parser.add_argument("--weights", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--begin", action="store_true")
    flags = parser.parse_args()
    for file in flags.files:
        study = read(file)
        if flags.begin:
            keep(study, Store(RESULTS), Store(flags.runs), weights=False)
            continue
        keep(study, Store(flags.runs), Store(RESULTS), weights=flags.weights)
        (RESULTS / f"{file.stem}.md").write_text(page(study, RESULTS))
        draw(study, RESULTS, file.stem)
        print(page(study, RESULTS))


if __name__ == "__main__":
    main()
