"""Archive studies in results/studies/: results, tables, and all seeds as a chart.

Run as `python -m benchmarks.tables ablation` after `unbraid study run ablation`; `--runs DIR` is
the `--out` of that command. Results of other studies and seeds in results/studies are unchanged,
except that weights of members that are no longer a median are removed: give studies that share runs
in one command. `--runs results/studies` only writes the tables of the archive again. `--begin`
copies the archived results to the directory of the runs instead, so that `unbraid study run` trains
only the missing runs. The tables in docs/results.md and results/studies/README.md are updated too.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from tqdm import tqdm

from benchmarks.archived_run import GREYS, reduce_colours
from unbraid.data import load
from unbraid.report import charts, figures
from unbraid.report.traversal import draw_block, row_labels, traverse
from unbraid.runs.encode import load_trained
from unbraid.studies.archive import archive
from unbraid.studies.formats import table
from unbraid.studies.rendered_tables import quick_label
from unbraid.studies.store import Store
from unbraid.studies.study import Job, PrimaryScore, Study
from unbraid.studies.study_file import read
from unbraid.studies.table import QUICK_SIGN, RowResult, measure

RESULTS = Path("results/studies")
RESULTS_PAGE = Path("docs/results.md")
LECTURE = ("table1-quick", "table2-quick")
END = "<!-- end -->"


def by_every_metric(study: Study) -> list[Study]:
    """Return the study with each metric of its checkpoints as primary score, its own first.

    Only the study with its own metric has the published figures.
    """
    others = [
        PrimaryScore(spec)
        for spec in study.jobs[0].scoring.checkpoint_metrics
        if spec != study.primary_score.spec
    ]
    rows = tuple(dataclasses.replace(row, published=None) for row in study.rows)
    return [
        study,
        *[dataclasses.replace(study, primary_score=o, source="", rows=rows) for o in others],
    ]


def page(study: Study, results: Path) -> str:
    """Return the summary, then the tables by every metric, as Markdown."""
    tables = [table(version, Store(results), "md") for version in by_every_metric(study)]
    return "\n".join([summary(study, results), *tables])


def summary(study: Study, results: Path) -> str:
    """Return one table by every metric: mean, std and all seeds of the last checkpoints."""
    versions = by_every_metric(study)
    headers = ["row", "seeds"]
    for version in versions:
        headers += [_score_header(version), "every seed"]
    rows = [headers, ["---"] * len(headers)]
    for by_metric in zip(*[measure(version, Store(results)) for version in versions], strict=True):
        first = by_metric[0]
        cells = [first.marked_title, f"{len(first.scored)} of {len(first.members)}"]
        for result in by_metric:
            scores = [f"{m.score:.1f}" if m.score is not None else "—" for m in result.members]
            cells += [_mean_and_std(result), " ".join(scores)]
        rows.append(cells)
    return _markdown(rows) + _label(measure(study, Store(results)))


def beside_published(results: Path, first: Study, *others: Study) -> str:
    """Return a table of the rows of the first study, with the published figures.

    Each other study adds its metric to the rows that it has.
    """
    studies = (first, *others)
    measured = [
        {result.row.title: result for result in measure(study, Store(results))} for study in studies
    ]
    headers = ["row", "seeds"]
    for study in studies:
        headers += [_score_header(study), "published"]
    rows = [headers, ["---"] * len(headers)]
    for title, own in measured[0].items():
        cells = [title + (f" {QUICK_SIGN}" if own.row.is_quick else ""), str(len(own.scored))]
        for by_title in measured:
            result = by_title.get(title)
            cells += [_mean_and_std(result), _published(result)] if result else ["", ""]
        rows.append(cells)
    return _markdown(rows) + _label([*measured[0].values()])


def _label(results: list[RowResult]) -> str:
    label = quick_label(results)
    return f"\n{label}\n" if label else ""


def _score_header(study: Study) -> str:
    return f"`{study.primary_score.spec.protocol}`, {study.primary_score.unit}"


def _published(result: RowResult) -> str:
    published = result.row.published
    if not published:
        return ""
    dagger = " †" if published.is_impossible else ""
    return f"{published.mean:.1f} ({published.std:.1f}){dagger}"


def _mean_and_std(result: RowResult) -> str:
    mean, std = result.last_checkpoint.mean, result.last_checkpoint.std
    return "—" if mean is None else f"**{mean:.1f}**" + ("" if std is None else f" ({std:.1f})")


def _markdown(rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def fill(path: Path, name: str, text: str) -> None:
    """Replace the text between `<!-- name -->` and the next `<!-- end -->` of a file."""
    before, start, rest = path.read_text().partition(f"<!-- {name} -->\n")
    old, end, after = rest.partition(END)
    # The end after the start of another block belongs to that block.
    if end and "<!--" not in old:
        path.write_text(f"{before}{start}\n{text}\n{end}{after}")
    else:
        print(f"{path}: table not written, as <!-- {name} --> or its {END} is missing")


def medians(studies: Sequence[Study], results: Path) -> dict[str, Job]:
    """Return the median member of every row, by the name of its run directory."""
    rows = [row for study in studies for row in measure(study, Store(results))]
    members = [row.median_member for row in rows]
    return {member.job.name: member.job for member in members if member is not None}


def restore_weights(studies: Sequence[Study], results: Path) -> list[Path]:
    """Restore weights of median members that an earlier commit removed, from the history.

    A further seed can make a member the median again. Returns the files that no commit has.
    """
    missing = []
    for job in medians(studies, results).values():
        file = Store(results).run(job).checkpoint_file
        if not file.exists() and not _restored(file):
            missing.append(file)
            print(
                f"{file}: no commit has the weights of this median member; train the run again, in"
                " an empty --out"
            )
    return missing


def _restored(file: Path) -> bool:
    """Restore a file from the parent of the commit that removed it, and return whether it was."""

    def git(*arguments: str) -> bytes:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=file.parent, capture_output=True).stdout

    removal = git("log", "-1", "--diff-filter=D", "--format=%H", "--", file.name).decode().strip()
    weights = git("show", f"{removal}^:./{file.name}") if removal else b""
    if weights:
        file.write_bytes(weights)
    return bool(weights)


def remove_weights(studies: Sequence[Study], results: Path) -> None:
    """Remove the weights of all members of these studies that are not the median of a row."""
    names = medians(studies, results).keys()
    for job in (job for study in studies for job in study.jobs):
        if job.name not in names:
            Store(results).run(job).checkpoint_file.unlink(missing_ok=True)


def draw_seeds(study: Study, results: Path, stem: str) -> None:
    """Draw a strip plot of all seeds, for every metric."""
    for version in by_every_metric(study):
        rows = [row for row in measure(version, Store(results)) if row.scored]
        score = version.primary_score
        label = f"{score.title}, {score.spec.protocol}, {score.unit}"
        label += f"; {quick_label(rows)}" if quick_label(rows) else ""
        chart = charts.strip_plot([figures.strip_row(row) for row in rows], label)
        (results / f"{stem}-{score.spec.protocol}.svg").write_text(charts.standalone(chart))


def draw_medians(study: Study, results: Path, to: Path) -> None:
    """Draw traversals of each row's median member around one image, if its weights exist.

    Categories are those of the image; the study's page has the others.
    """
    store, data = Store(results), load(study.jobs[0].config.data)
    trained = [
        (
            figures.member_title(row, member).replace(": ", "\n", 1),
            load_trained(store.run(member.job), data),
        )
        for row in measure(study, store)
        if (member := row.median_member) is not None
        and store.run(member.job).checkpoint_file.exists()
    ]
    if not trained:
        return
    traversals = [traverse(run, data) for _, run in tqdm(trained, desc="traversing")]
    rows, columns = -(-len(traversals) // 2), min(2, len(traversals))
    heights = [max(len(row_labels(t)) for t in traversals[2 * i : 2 * i + 2]) for i in range(rows)]
    width = columns * (1.3 + 0.4 * len(traversals[0].values))
    figure = Figure(figsize=(width, 0.4 * sum(heights) + 0.7 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, height_ratios=heights, squeeze=False).ravel()
    for axis, (title, _), drawn in zip(axes, trained, traversals, strict=False):
        category = drawn.category if drawn.discrete else 0
        draw_block(axis, drawn.images[category], row_labels(drawn), title)
        axis.set_anchor("NW")
    for axis in axes[len(traversals) :]:
        axis.set_axis_off()
    figure.savefig(to, dpi=100)
    reduce_colours(to, to, *GREYS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="+", metavar="STUDY", help="name or file of a study")
    parser.add_argument("--runs", type=Path, default=Path("runs/studies"))
    parser.add_argument("--weights", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--begin", action="store_true", help="copy the archived results to --runs")
    flags = parser.parse_args()
    studies = [read(source) for source in flags.studies]
    if flags.begin:
        for study in studies:
            archive(study, Store(RESULTS), Store(flags.runs), weights=False)
        return
    if flags.runs.resolve() != RESULTS.resolve():
        for study in studies:
            archive(study, Store(flags.runs), Store(RESULTS), weights=flags.weights)
    remove_weights(studies, RESULTS)
    if flags.weights:
        restore_weights(studies, RESULTS)
    for source, study in zip(flags.studies, studies, strict=True):
        stem = Path(source).stem
        (RESULTS / f"{stem}.md").write_text(page(study, RESULTS))
        draw_seeds(study, RESULTS, stem)
        draw_medians(study, RESULTS, RESULTS / f"{stem}-medians.png")
        fill(RESULTS / "README.md", stem, summary(study, RESULTS))
        print(page(study, RESULTS))
    fill(RESULTS_PAGE, "tables", beside_published(RESULTS, *map(read, LECTURE)))


if __name__ == "__main__":
    main()
