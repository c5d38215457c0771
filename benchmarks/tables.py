"""Keep what studies measured in results/studies/: results, tables, every seed as a picture.

Run as `python -m benchmarks.tables studies/ablation.toml` after `unbraid study run` on the same
file; `--runs DIR` is the `--out` that it had. What results/studies has of other studies and seeds
stays, but for weights that another member has taken the place of: studies that share runs are given
together. With `--runs results/studies` the tables of what is kept are written anew. `--begin` is
the other way round: it gives the runs' directory the results that are kept, so that `unbraid study
run` makes only what is missing. The tables of README.md and results/studies/README.md are filled in
from what is kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from tqdm import tqdm

from unbraid.data import load
from unbraid.report import charts, figures
from unbraid.report.traversal import draw_block, row_labels, traverse
from unbraid.runs.encode import load_trained
from unbraid.studies.archive import archive, shown_of
from unbraid.studies.formats import table
from unbraid.studies.store import Store
from unbraid.studies.study import PrimaryScore, Study
from unbraid.studies.study_file import read
from unbraid.studies.table import measure

RESULTS = Path("results/studies")
LECTURE = (Path("studies/table1-quick.toml"), Path("studies/table2-quick.toml"))


def views(study: Study) -> list[Study]:
    """The study by each metric that its checkpoints are scored by, its own first.

    What is published is of its own alone.
    """
    others = [
        PrimaryScore(job) for job in study.jobs[0].scoring.by if job != study.primary_score.job
    ]
    bare = [dataclasses.replace(row, published=None) for row in study.rows]
    about = {"source": "", "rows": tuple(bare)}
    return [study, *[dataclasses.replace(study, primary_score=head, **about) for head in others]]


def page(study: Study, kept: Path) -> str:
    """The summary, then the tables of every view, as Markdown."""
    tables = [table(view, Store(kept), "md") for view in views(study)]
    return "\n".join([summary(study, kept), *tables])


def summary(study: Study, kept: Path) -> str:
    """One table of all views: mean, std and every seed of the last checkpoints."""
    seen = views(study)
    heads = ["row", "seeds"]
    for view in seen:
        heads += [f"`{view.primary_score.job.protocol}`, {view.primary_score.unit}", "every seed"]
    rows = [heads, ["---"] * len(heads)]
    for lines in zip(*[measure(view, Store(kept)) for view in seen], strict=True):
        cells = [lines[0].row.title, f"{len(lines[0].done)} of {len(lines[0].members)}"]
        for line in lines:
            cells.append(_mean_and_std(line.last.mean, line.last.std))
            cells.append(
                " ".join("—" if m.score is None else f"{m.score:.1f}" for m in line.members)
            )
        rows.append(cells)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def beside_published(kept: Path, first: Study, *others: Study) -> str:
    """A row of the first study's: means and stds of the last checkpoints, the published beside.

    Each other study adds its metric where it has the row.
    """
    studies = (first, *others)
    measured = [{line.row.title: line for line in measure(study, Store(kept))} for study in studies]
    heads = ["row", "seeds"]
    for study in studies:
        heads += [f"`{study.primary_score.job.protocol}`, {study.primary_score.unit}", "published"]
    rows = [heads, ["---"] * len(heads)]
    for title, line in measured[0].items():
        cells = [title, str(len(line.done))]
        for lines in measured:
            found = lines.get(title)
            cells.append(_mean_and_std(found.last.mean, found.last.std) if found else "")
            published = found.row.published if found else None
            mark = " †" if published and published.impossible else ""
            cells.append(f"{published.mean:.1f} ({published.std:.1f}){mark}" if published else "")
        rows.append(cells)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _mean_and_std(mean: float | None, std: float | None) -> str:
    return "—" if mean is None else f"**{mean:.1f}**" + ("" if std is None else f" ({std:.1f})")


def fill(path: Path, name: str, text: str) -> None:
    """Put a text in place of the one between `<!-- name -->` and the next `<!-- end -->`."""
    before, mark, rest = path.read_text().partition(f"<!-- {name} -->\n")
    old, end, after = rest.partition("<!-- end -->")
    # An end after another block's mark is that block's, and what lies between would be lost.
    if end and "<!--" not in old:
        path.write_text(f"{before}{mark}\n{text}\n{end}{after}")
    else:
        print(f"{path}: no table is filled in, for want of <!-- {name} --> and <!-- end -->")


def bring_weights_back(studies: Sequence[Study], kept: Path) -> list[Path]:
    """Weights of best and median members that an earlier commit dropped, from the history.

    A seed more can make a member the median again. What no commit has is told, and returned.
    """
    store, lost = Store(kept), []
    lines = [line for study in studies for line in measure(study, store)]
    for job in {job.name: job for line in lines for job in shown_of(line)}.values():
        file = store.run(job).checkpoint_file
        if not file.exists() and not _back_from_history(file):
            lost.append(file)
            print(
                f"{file}: the weights of a best or median member are in no commit; make the run"
                " once more, in an empty --out"
            )
    return lost


def _back_from_history(file: Path) -> bool:
    def git(*words: str) -> bytes:
        return subprocess.run(["git", *words], cwd=file.parent, capture_output=True).stdout

    dropped = git("log", "-1", "--diff-filter=D", "--format=%H", "--", file.name).decode().strip()
    weights = git("show", f"{dropped}^:./{file.name}") if dropped else b""
    if weights:
        file.write_bytes(weights)
    return bool(weights)


def drop_weights(studies: Sequence[Study], kept: Path) -> None:
    """Of these studies' runs only each row's best and median member keep their weights."""
    store = Store(kept)
    lines = [line for study in studies for line in measure(study, store)]
    shown = {job.name for line in lines for job in shown_of(line)}
    for job in (job for study in studies for job in study.jobs):
        if job.name not in shown:
            store.run(job).checkpoint_file.unlink(missing_ok=True)


def draw(study: Study, kept: Path, stem: str) -> None:
    """A strip of every seed, for each view, beside the results."""
    for view in views(study):
        lines = [line for line in measure(view, Store(kept)) if line.done]
        head = view.primary_score
        across = f"{head.title}, {head.job.protocol}, {head.unit}"
        drawn = charts.strips([figures.strip(line) for line in lines], across)
        name = f"{stem}-{head.job.protocol}.svg"
        (kept / name).write_text(charts.alone(drawn))


def draw_medians(study: Study, kept: Path, to: Path) -> None:
    """Each row's median member whose weights are kept, traversed around one image, as a PNG.

    Of a discrete code the category is that of the image; the page has the others.
    """
    store, data = Store(kept), load(study.jobs[0].config.data)
    medians = [(line, line.median) for line in measure(study, store)]
    there = [
        (
            figures.titled(line, member).replace(": ", "\n", 1),
            load_trained(store.run(member.job), data),
        )
        for line, member in medians
        if member is not None and store.run(member.job).checkpoint_file.exists()
    ]
    if not there:
        return
    drawn = [traverse(trained, data) for _, trained in tqdm(there, desc="traversing")]
    high, wide = -(-len(drawn) // 2), min(2, len(drawn))
    tall = [max(len(row_labels(t)) for t in drawn[2 * i : 2 * i + 2]) for i in range(high)]
    size = (wide * (1.3 + 0.4 * len(drawn[0].values)), 0.4 * sum(tall) + 0.7 * high)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(high, wide, height_ratios=tall, squeeze=False).ravel()
    for axis, (title, _), one in zip(axes, there, drawn, strict=False):
        draw_block(axis, one.images[one.category if one.discrete else 0], row_labels(one), title)
        axis.set_anchor("NW")
    for axis in axes[len(drawn) :]:
        axis.set_axis_off()
    figure.savefig(to, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--runs", type=Path, default=Path("runs/studies"))
    parser.add_argument("--weights", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--begin", action="store_true")
    flags = parser.parse_args()
    studies = [read(file) for file in flags.files]
    if flags.begin:
        for study in studies:
            archive(study, Store(RESULTS), Store(flags.runs), weights=False)
        return
    if flags.runs.resolve() != RESULTS.resolve():
        for study in studies:
            archive(study, Store(flags.runs), Store(RESULTS), weights=flags.weights)
    drop_weights(studies, RESULTS)
    if flags.weights:
        bring_weights_back(studies, RESULTS)
    for file, study in zip(flags.files, studies, strict=True):
        (RESULTS / f"{file.stem}.md").write_text(page(study, RESULTS))
        draw(study, RESULTS, file.stem)
        draw_medians(study, RESULTS, RESULTS / f"{file.stem}-medians.png")
        fill(RESULTS / "README.md", file.stem, summary(study, RESULTS))
        print(page(study, RESULTS))
    fill(Path("README.md"), "tables", beside_published(RESULTS, *map(read, LECTURE)))


if __name__ == "__main__":
    main()
