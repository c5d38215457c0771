"""The tables of a study as text cells, notes on them, and one flat record per run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from unbraid.runs.paper_budget import QUICK, paper_steps, share_of_paper
from unbraid.studies.criteria import CRITERIA
from unbraid.studies.results import DONE, FAILED, MISSING
from unbraid.studies.study import PrimaryScore, Study
from unbraid.studies.table import QUICK_SIGN, Member, RowResult, Statistics

NO_VALUE = "—"


@dataclass(frozen=True)
class RenderedTable:
    """A table of text cells.

    Parameters
    ----------
    caption : str
        Caption of the table.
    headers : tuple of str
        Column headers.
    rows : tuple of tuple of str
        Cells, the first of which is the title of the row.
    """

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def rendered_tables(study: Study, results: list[RowResult]) -> list[RenderedTable]:
    """Return the tables of a study.

    Parameters
    ----------
    study : Study
        The study.
    results : list of RowResult
        Its rows, from `measure`.

    Returns
    -------
    list of RenderedTable
        Last checkpoints beside the published figures; best checkpoints as in the paper, if
        checkpoints are scored during training; members selected without labels; all seeds. The
        captions label rows whose budget is below the paper's.
    """
    primary_score = study.primary_score
    score = f"{primary_score.title} under `{primary_score.spec.protocol}`, {primary_score.unit}"
    scoring = study.rows[0].jobs[0].scoring
    images = f"{scoring.images:,}" if scoring.images else "all"
    tables = [_last_checkpoints(f"on {images} images; {score}", results)]
    checkpoints = {job.scoring.checkpoints for row in study.rows for job in row.jobs} - {0}
    if checkpoints:
        kind, labels = (
            ("supervised", " (selected by labels, as in the paper)")
            if primary_score.needs_labels
            else ("unsupervised", "")
        )
        caption = (
            f"Best of {max(checkpoints)} checkpoints by the {kind} score on"
            f" {scoring.sample:,} images{labels}; {score}"
        )
        tables.append(_best_checkpoints(caption, results))
    tables += [_selections(primary_score, score, results), _seeds(score, results)]
    label = quick_label(results)
    return [dataclasses.replace(t, caption=f"{t.caption}{label and '; '}{label}") for t in tables]


def quick_label(results: list[RowResult]) -> str:
    """Return what the sign of quick rows means; empty if there are none.

    Parameters
    ----------
    results : list of RowResult
        Rows of a study, from `measure`.
    """
    return f"{QUICK_SIGN} {QUICK}" if any(result.row.is_quick for result in results) else ""


def table_notes(study: Study, results: list[RowResult]) -> list[str]:
    """Return notes on the tables: sources, budgets, impossible figures, failures, missing runs.

    Parameters
    ----------
    study : Study
        The study.
    results : list of RowResult
        Its rows, from `measure`.
    """
    notes = [f"Published: {study.source}."] if study.source else []
    notes += [_quick_budget(result) for result in results if result.row.is_quick]
    notes += [note for result in results for note in _impossible_figures(result)]
    notes += [
        f"Failed: {result.row.title}, seed {m.seed}: {m.reason}."
        for result in results
        for m in result.members
        if m.status == FAILED
    ]
    for result in results:
        if len(result.completed) > len(result.scored):
            notes.append(
                f"{result.row.title}: {len(result.scored) or 'none'} of {len(result.completed)}"
                f" completed runs have a score: {_why_no_score(result.primary_score)}."
            )
    missing = sum(m.status == MISSING for result in results for m in result.members)
    if missing:
        total = sum(len(result.members) for result in results)
        notes.append(f"{missing} of {total} runs are missing.")
    return notes


def _quick_budget(result: RowResult) -> str:
    config = result.row.jobs[0].config
    share = share_of_paper(type(config.method), config.budget.steps)
    preset = f"preset {result.row.preset}"
    return f"{QUICK_SIGN} {result.row.title}: {QUICK} ({share + ', ' if share else ''}{preset})."


def _impossible_figures(result: RowResult) -> list[str]:
    published = result.row.published
    if not published or not published.is_impossible:
        return []
    deviation = abs(published.best - published.mean) / published.std
    return [
        f"† {result.row.title}: the published figures are impossible: the best lies"
        f" {deviation:.1f} stds from the mean, and {published.seeds} numbers allow"
        f" {(published.seeds - 1) / published.seeds**0.5:.2f} for a std that divides by"
        f" n − 1 ({published.max_deviation_of_best:.2f} by n)."
    ]


def _why_no_score(primary_score: PrimaryScore) -> str:
    if primary_score.spec.metric == "classification":
        return "the method has no discrete code, or the data have no label for it"
    return "the labels of the data do not allow it, or an earlier version did not compute it"


def _last_checkpoints(description: str, results: list[RowResult]) -> RenderedTable:
    headers = ("row", "seeds", "mean", "std", "s.e.", "best")
    has_published = any(result.row.published for result in results)
    if has_published:
        headers += ("published", "published best", "difference, s.e.")
    rows = []
    for result in results:
        published = _published_cells(result) if has_published else ()
        statistics = _statistics_cells(result.last_checkpoint)
        rows.append((result.marked_title, _count(result), *statistics, *published))
    return RenderedTable(f"Last checkpoint, {description}", headers, tuple(rows))


def _count(result: RowResult) -> str:
    failed = sum(m.status == FAILED for m in result.members)
    unscored = len(result.completed) - len(result.scored)
    count = f"{len(result.scored)} of {len(result.members)}"
    count += f", {failed} failed" if failed else ""
    return count + (f", {unscored} without a score" if unscored else "")


def _published_cells(result: RowResult) -> tuple[str, str, str]:
    published = result.row.published
    if published is None:
        return (NO_VALUE, NO_VALUE, NO_VALUE)
    mean = f"{published.mean:.2f} ({published.std:.2f})"
    difference = result.last_checkpoint.difference_in_se(published)
    return (mean, f"{published.best:.2f}", _number(difference, "+.1f"))


def _best_checkpoints(caption: str, results: list[RowResult]) -> RenderedTable:
    headers = ("row", "seeds", "mean", "std", "s.e.", "best")
    has_published = any(result.row.published for result in results)
    if has_published:
        headers += ("difference, s.e.",)
    rows = []
    for result in results:
        statistics = result.best_checkpoint
        difference = _number(statistics.difference_in_se(result.row.published), "+.1f")
        cells = (*_statistics_cells(statistics), *([difference] if has_published else []))
        rows.append((result.marked_title, str(statistics.n), *cells))
    return RenderedTable(caption, headers, tuple(rows))


def _selections(
    primary_score: PrimaryScore, description: str, results: list[RowResult]
) -> RenderedTable:
    rows = []
    for result in results:
        selected = [result.selected_by(name) for name in CRITERIA]
        cells = [NO_VALUE if m is None else f"{m.score:.2f} (seed {m.seed})" for m in selected]
        mean, best = result.last_checkpoint.mean, result.last_checkpoint.best
        rows.append((result.marked_title, *cells, _number(mean), _number(best)))
    best = "best, by labels" if primary_score.needs_labels else "best"
    headers = ("row", *[f"by {name}" for name in CRITERIA], "mean", best)
    return RenderedTable(
        f"One member chosen without labels, last checkpoint; {description}", headers, tuple(rows)
    )


def _seeds(description: str, results: list[RowResult]) -> RenderedTable:
    seeds = sorted({m.seed for result in results for m in result.members})
    rows = []
    for result in results:
        cells = {m.seed: _seed_cell(m) for m in result.members}
        rows.append((result.marked_title, *[cells.get(seed, "") for seed in seeds]))
    headers = ("row", *[f"seed {seed}" for seed in seeds])
    return RenderedTable(f"Every seed, last checkpoint; {description}", headers, tuple(rows))


def _seed_cell(member: Member) -> str:
    if member.score is not None:
        return f"{member.score:.2f}"
    return "no score" if member.status == DONE else member.status


def _statistics_cells(statistics: Statistics) -> tuple[str, str, str, str]:
    return (
        _number(statistics.mean),
        _number(statistics.std),
        _number(statistics.standard_error),
        _number(statistics.best),
    )


def _number(value: float | None, spec: str = ".2f") -> str:
    return NO_VALUE if value is None else format(value, spec)


def run_records(study: Study, results: list[RowResult]) -> list[dict[str, Any]]:
    """Return one flat record per run, with scores in the unit of the tables.

    Parameters
    ----------
    study : Study
        The study.
    results : list of RowResult
        Its rows, from `measure`.
    """
    return [_run_record(study, result, m) for result in results for m in result.members]


def _run_record(study: Study, result: RowResult, member: Member) -> dict[str, Any]:
    config, published = member.job.config, result.row.published
    return {
        "row": result.row.title,
        "method": config.method.name,
        "hyperparameters": json.dumps(dataclasses.asdict(config.method)),
        "data": config.data,
        "steps": config.budget.steps,
        "paper_steps": paper_steps(type(config.method)),
        "budget": QUICK if result.row.is_quick else None,
        "batch_size": config.budget.batch_size,
        "seed": member.seed,
        "key": member.job.key,
        "status": member.status,
        "reason": member.reason,
        "metric": study.primary_score.spec.metric,
        "protocol": study.primary_score.spec.protocol,
        "part": study.primary_score.part,
        "score": member.score,
        "best_of_checkpoints": member.best_checkpoint_score,
        "best_of_checkpoints_step": member.best_checkpoint_step,
        **{name: member.criteria.get(name) for name in CRITERIA},
        "training_seconds": member.training_seconds,
        "published_mean": published.mean if published else None,
        "published_std": published.std if published else None,
        "published_best": published.best if published else None,
        "published_impossible": published.is_impossible if published else None,
    }
