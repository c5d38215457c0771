"""Write results/paper/: both tables of Jeong & Song (2019) at the papers' budgets, as far as run.

Run as `python -m benchmarks.paper --runs DIR` while or after `unbraid study run table1 --out DIR`:
archives the finished runs and the logs of the unfinished ones, then writes tables, learning curves
and README.md. `--runs results/paper` writes them again from the archive alone. Text outside the
generated blocks of README.md is kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tables import fill, remove_weights
from unbraid.files import written_atomically
from unbraid.report import charts
from unbraid.runs import Run
from unbraid.studies.archive import archive, copy_log
from unbraid.studies.rendered_tables import NO_VALUE, quick_label, table_notes
from unbraid.studies.results import FAILED
from unbraid.studies.store import Store, steps_done
from unbraid.studies.study import Job, Published, Study
from unbraid.studies.study_file import read
from unbraid.studies.table import Member, RowResult, Statistics, measure
from unbraid.studies.worker import read_eval_scores

RESULTS = Path("results/paper")
TABLES = ("table1", "table2")
INTRODUCTION = """# The papers' budgets

Both tables of Jeong & Song (2019) with the papers' numbers of steps, as far as they have been run.
`python -m benchmarks.paper --runs DIR` adds the runs in DIR and writes the tables and figures; with
`--runs results/paper` it writes them again from this folder. `results.jsonl` has a line per
finished run with its scores, date, versions and device. Every run has its configuration and a
thinned log.

No run is left out. A cell has the mean, the standard deviation (n − 1) and the number of finished
seeds. *Last checkpoint* uses no label. *Best checkpoint by labels* is the paper's protocol: of each
run, the checkpoint with the best score during training, on a sample of the images.
"""


def add_runs(study: Study, runs: Store, to: Store, *, weights: bool) -> None:
    """Archive the finished runs, and configuration, log and scores of the unfinished ones."""
    results = runs.results()
    if any(job.key in results for job in study.jobs):
        archive(study, runs, to, weights=weights)
    archived = to.results()
    for job in study.jobs:
        run, copy = runs.run(job), to.run(job)
        if job.key in archived and archived[job.key].is_done:
            # Its scores are in the result now.
            copy.eval_scores_file.unlink(missing_ok=True)
        elif steps_done(run) > steps_done(copy):
            copy.write_config(job.config)
            copy_log(run, copy)
            if run.eval_scores_file.exists():
                with written_atomically(copy.eval_scores_file) as file:
                    file.write(run.eval_scores_file.read_bytes())


def tables(study: Study, store: Store, stem: str, figures: Sequence[str] = ()) -> str:
    """Return the generated block of a study: tables, one sentence per row, and figures."""
    results = measure(study, store)
    parts = [_beside_published(results), _sentences(results), _every_seed(results, store)]
    label = quick_label(results)
    notes = [*([label] if label else []), *table_notes(study, results), *_provenance(study, store)]
    parts.append("".join(f"- {note}\n" for note in notes))
    parts += [f"![{name}]({name})\n" for name in figures if name.startswith(stem)]
    return "\n".join(parts)


def _beside_published(results: Sequence[RowResult]) -> str:
    checkpoints = max(m.job.scoring.checkpoints for result in results for m in result.members)
    headers = ["row", "published, 10 seeds", "published best", "last checkpoint"]
    headers.append(f"best of {checkpoints} checkpoints by labels")
    rows = [headers, ["---"] * len(headers)]
    for result in results:
        published = result.row.published
        cells = [NO_VALUE, NO_VALUE]
        if published:
            cells = [f"{published.mean:.2f} ({published.std:.2f})", f"{published.best:.2f}"]
        seeds = len(result.members)
        ours = [_cell(s, seeds) for s in (result.last_checkpoint, result.best_checkpoint)]
        rows.append([result.marked_title, *cells, *ours])
    return _markdown(rows)


def _cell(statistics: Statistics, seeds: int) -> str:
    count = f"{statistics.n} of {seeds}"
    if statistics.mean is None:
        return f"{NO_VALUE}, {count}"
    std = "" if statistics.std is None else f" ({statistics.std:.2f})"
    return f"**{statistics.mean:.2f}**{std}, {count}"


def _sentences(results: Sequence[RowResult]) -> str:
    return "".join(f"- {sentence(result)}\n" for result in results)


def sentence(result: RowResult) -> str:
    """Return whether the published mean ± std covers our means."""
    published, title = result.row.published, result.marked_title
    count = f"{len(result.scored)} of {len(result.members)} seeds"
    if published is None:
        return f"{title}, {count}: there are no published figures."
    figures = f"the published {published.mean:.2f} ± {published.std:.2f}"
    last, best = result.last_checkpoint.mean, result.best_checkpoint.mean
    if last is None:
        return f"{title}, {count}: nothing to compare with {figures} yet."
    text = (
        f"{title}, {count}: {figures} {_covers(published, last)} our mean of the last checkpoints"
    )
    text += f", {_in_stds(published, last)}"
    if best is None:
        return f"{text}."
    return (
        f"{text}, and {_covers(published, best)} that of the best checkpoints by labels,"
        f" {_in_stds(published, best)}."
    )


def _covers(published: Published, mean: float) -> str:
    # All are rounded to two decimals.
    deviation = round(abs(round(mean, 2) - published.mean), 2)
    return "covers" if deviation <= published.std else "does not cover"


def _in_stds(published: Published, mean: float) -> str:
    return f"{mean:.2f} ({(mean - published.mean) / published.std:+.1f} stds)"


def _every_seed(results: Sequence[RowResult], store: Store) -> str:
    seeds = sorted({m.seed for result in results for m in result.members})
    headers = ["every seed: last / best by labels", *[f"seed {seed}" for seed in seeds]]
    rows = [headers, ["---"] * len(headers)]
    for result in results:
        cells = {m.seed: _seed_cell(m, store) for m in result.members}
        rows.append([result.marked_title, *[cells.get(seed, "") for seed in seeds]])
    return _markdown(rows)


def _seed_cell(member: Member, store: Store) -> str:
    if member.score is not None:
        best = member.best_checkpoint_score
        return f"{member.score:.2f}" + ("" if best is None else f" / {best:.2f}")
    steps = steps_done(store.run(member.job))
    if member.status == FAILED or not steps:
        return FAILED if member.status == FAILED else NO_VALUE
    return f"{steps:,} of {member.job.config.budget.steps:,} steps"


def _provenance(study: Study, store: Store) -> list[str]:
    """Return one line on the finished runs: dates, duration, device and versions."""
    results = store.results()
    records = [results[job.key].table for job in study.jobs if job.key in results]
    done = [record for record in records if "started" in record]
    if not done:
        return []

    def distinct(name: str) -> str:
        return ", ".join(sorted({str(record.get(name, "?")) for record in done}))

    started = sorted(str(record["started"])[:10] for record in done)
    hours = sum(record.get("training_seconds") or 0.0 for record in done) / 3600
    return [
        f"{len(done)} finished runs, started from {started[0]} to {started[-1]}, {hours:.1f}"
        f" worker-hours of training; device {distinct('device')}, {distinct('machine')}, precision"
        f" {distinct('precision')}; unbraid {distinct('unbraid')}, torch {distinct('torch')},"
        f" Python {distinct('python')}."
    ]


def draw(study: Study, store: Store, stem: str, drawn: set[str]) -> list[str]:
    """Draw two learning curves for each row with a log: −ELBO, and scores of the checkpoints.

    Every seed has a line, also those that are not finished. Rows in `drawn`, by their first run,
    have the first of these in another study. Returns the names of the figures.
    """
    names, results, score = [], store.results(), study.primary_score
    for result in measure(study, store):
        members = [m for m in result.members if store.run(m.job).log_file.exists()]
        first = result.row.jobs[0].key
        elbo = {m.seed: _elbo_curve(store.run(m.job)) for m in members}
        scores = {m.seed: _score_curve(m.job, store, study, results) for m in members}
        charted = [("score", scores, f"{score.title}, {score.spec.protocol}, {score.unit}")]
        if first not in drawn:
            drawn.add(first)
            charted.insert(0, ("elbo", elbo, "−ELBO, nats"))
        for kind, curves, label in charted:
            series = [charts.Series(c, f"seed {s}", "thick") for s, c in curves.items() if c]
            if series:
                chart = charts.line_chart(series, label, logarithmic=kind == "elbo")
                name = f"{stem}-row{result.row.number}-{kind}.svg"
                (store.path / name).write_text(charts.standalone(chart), encoding="utf-8")
                names.append(name)
    return names


def _elbo_curve(run: Run) -> list[tuple[float, float]]:
    return charts.subsample([(r["step"], -r["elbo"]) for r in run.read_log() if r["elbo"] < 0])


def _score_curve(job: Job, store: Store, study: Study, results) -> list[tuple[float, float]]:
    finished = job.key in results and results[job.key].is_done
    scores = results[job.key].checkpoints if finished else read_eval_scores(store.run(job))
    score = study.primary_score
    return [
        (int(step), score.in_unit(value))
        for step, values in scores.items()
        if (value := values.get(score.name)) is not None
    ]


def _markdown(rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def write(sources: Sequence[str], runs: Path, to: Path, *, weights: bool = False) -> None:
    """Archive the runs of the studies, unless they are the archive, and write page and figures."""
    studies, store, drawn = [read(source) for source in sources], Store(to), set[str]()
    to.mkdir(parents=True, exist_ok=True)
    page = to / "README.md"
    if not page.exists():
        blocks = [
            f"\n## {study.title}\n\n<!-- {Path(source).stem} -->\n\n<!-- end -->\n"
            for source, study in zip(sources, studies, strict=True)
        ]
        page.write_text(INTRODUCTION + "".join(blocks), encoding="utf-8")
    if runs.resolve() != to.resolve():
        for study in studies:
            add_runs(study, Store(runs), store, weights=weights)
        remove_weights(studies, to)
    for source, study in zip(sources, studies, strict=True):
        stem = Path(source).stem
        fill(page, stem, tables(study, store, stem, draw(study, store, stem, drawn)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", metavar="STUDY", default=TABLES)
    parser.add_argument("--runs", type=Path, default=Path("runs/studies"))
    parser.add_argument("--to", type=Path, default=RESULTS)
    parser.add_argument("--weights", action="store_true", help="add weights of median members")
    flags = parser.parse_args()
    write(flags.studies, flags.runs, flags.to, weights=flags.weights)
    print((flags.to / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
