"""The tables of a study, published figures beside its own, and one flat record a run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from unbraid.studies.criteria import CRITERIA
from unbraid.studies.store import DONE, FAILED
from unbraid.studies.study import PrimaryScore, Study
from unbraid.studies.table import Member, RowResult, Statistics


@dataclass(frozen=True)
class RenderedTable:
    """A table ready to be set: a caption, column heads, and cells as text."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def rendered_tables(study: Study, lines: list[RowResult]) -> list[RenderedTable]:
    """The claim beside the published figures, the paper's protocol, the selections, every seed."""
    head = study.primary_score
    what = f"{head.title} under `{head.job.protocol}`, {head.unit}"
    scoring = study.rows[0].jobs[0].scoring
    on = f"{scoring.images:,}" if scoring.images else "all"
    found = [_claim(f"on {on} images; {what}", lines)]
    checkpoints = {job.scoring.checkpoints for row in study.rows for job in row.jobs} - {0}
    if checkpoints:
        found.append(
            _paper(
                f"Best of {max(checkpoints)} checkpoints by the {_kind(head)} score, on"
                f" {scoring.sample:,} images{_chooser(head)}; {what}",
                lines,
            )
        )
    return [*found, _selections(head, what, lines), _seeds(what, lines)]


def _kind(head: PrimaryScore) -> str:
    return "supervised" if head.needs_labels else "unsupervised"


def _chooser(head: PrimaryScore) -> str:
    return ": labels choose, as in the paper" if head.needs_labels else ""


def notes(study: Study, lines: list[RowResult]) -> list[str]:
    """What must be read with the tables: impossible figures, failures, what is missing."""
    found = [f"Published: {study.source}."] if study.source else []
    for line in lines:
        published = line.row.published
        if published and published.impossible:
            off = abs(published.best - published.mean) / published.std
            found.append(
                f"† {line.row.title}: the published figures are impossible: the best lies"
                f" {off:.1f} stds from the mean, and {published.seeds} numbers allow"
                f" {(published.seeds - 1) / published.seeds**0.5:.2f} for a std that divides by"
                f" n − 1 ({published.most:.2f} by n)."
            )
    for line in lines:
        found += [
            f"Failed: {line.row.title}, seed {m.seed}: {m.reason}."
            for m in line.members
            if m.status == FAILED
        ]
    for line in lines:
        if len(line.trained) > len(line.done):
            found.append(
                f"{line.row.title}: of {len(line.trained)} runs that are done"
                f" {len(line.done) or 'none'} have a score: {_want(line.primary_score)}."
            )
    missing = sum(m.status == "missing" for line in lines for m in line.members)
    if missing:
        found.append(f"{missing} of {sum(len(line.members) for line in lines)} runs are missing.")
    return found


def _want(head: PrimaryScore) -> str:
    if head.job.metric == "classification":
        return "the method has no discrete code, or the data no label for it"
    return "the data's labels do not allow it, or an earlier version did not score it"


def _claim(what: str, lines: list[RowResult]) -> RenderedTable:
    heads = ("row", "seeds", "mean", "std", "s.e.", "best")
    known = any(line.row.published for line in lines)
    if known:
        heads += ("published", "its best", "difference, s.e.")
    rows = []
    for line in lines:
        failed = sum(m.status == FAILED for m in line.members)
        unscored = len(line.trained) - line.last.n
        count = f"{line.last.n} of {len(line.members)}" + (f", {failed} failed" if failed else "")
        count += f", {unscored} without a score" if unscored else ""
        beside = _beside(line) if known else ()
        rows.append((line.marked_title, count, *_cells(line.last), *beside))
    return RenderedTable(f"Last checkpoint, the claim, {what}", heads, tuple(rows))


def _beside(line: RowResult) -> tuple[str, str, str]:
    published = line.row.published
    if published is None:
        return ("—", "—", "—")
    mean = f"{published.mean:.2f} ({published.std:.2f})"
    return (mean, f"{published.best:.2f}", _number(line.last.off(published), "+.1f"))


def _paper(caption: str, lines: list[RowResult]) -> RenderedTable:
    heads = ("row", "seeds", "mean", "std", "s.e.", "best")
    known = any(line.row.published for line in lines)
    if known:
        heads += ("difference, s.e.",)
    rows = []
    for line in lines:
        beside = (_number(line.best.off(line.row.published), "+.1f"),) if known else ()
        rows.append((line.marked_title, str(line.best.n), *_cells(line.best), *beside))
    return RenderedTable(caption, heads, tuple(rows))


def _selections(head: PrimaryScore, what: str, lines: list[RowResult]) -> RenderedTable:
    rows = []
    for line in lines:
        chosen = [line.chosen(name) for name in CRITERIA]
        cells = ["—" if m is None else f"{m.score:.2f} (seed {m.seed})" for m in chosen]
        rows.append((line.row.title, *cells, _number(line.last.mean), _number(line.last.best)))
    best = "best, by labels" if head.needs_labels else "best"
    heads = ("row", *[f"by {name}" for name in CRITERIA], "mean", best)
    return RenderedTable(
        f"One member chosen without labels, last checkpoint; {what}", heads, tuple(rows)
    )


def _seeds(what: str, lines: list[RowResult]) -> RenderedTable:
    seeds = sorted({m.seed for line in lines for m in line.members})
    rows = []
    for line in lines:
        cells = {m.seed: _cell(m) for m in line.members}
        rows.append((line.row.title, *[cells.get(seed, "") for seed in seeds]))
    heads = ("row", *[f"seed {seed}" for seed in seeds])
    return RenderedTable(f"Every seed, last checkpoint; {what}", heads, tuple(rows))


def _cell(member: Member) -> str:
    if member.score is not None:
        return f"{member.score:.2f}"
    return "no score" if member.status == DONE else member.status


def _cells(own: Statistics) -> tuple[str, str, str, str]:
    return (_number(own.mean), _number(own.std), _number(own.error), _number(own.best))


def _number(value: float | None, how: str = ".2f") -> str:
    return "—" if value is None else format(value, how)


def records(study: Study, lines: list[RowResult]) -> list[dict[str, Any]]:
    """One flat record a run, scores as in the tables, for whoever wants to reckon."""
    found = []
    for line in lines:
        published = line.row.published
        beside = {
            f"published_{name}": getattr(published, name, None)
            for name in ("mean", "std", "best", "impossible")
        }
        for member in line.members:
            config = member.job.config
            found.append(
                {
                    "row": line.row.title,
                    "method": config.method.name,
                    "hyperparameters": json.dumps(dataclasses.asdict(config.method)),
                    "data": config.data,
                    "steps": config.budget.steps,
                    "batch_size": config.budget.batch_size,
                    "seed": member.seed,
                    "key": member.job.key,
                    "status": member.status,
                    "reason": member.reason,
                    "metric": study.primary_score.job.metric,
                    "protocol": study.primary_score.job.protocol,
                    "part": study.primary_score.part,
                    "score": member.score,
                    "best_of_checkpoints": member.best,
                    "best_of_checkpoints_step": member.best_step,
                    **{name: member.criteria.get(name) for name in CRITERIA},
                    "training_seconds": member.seconds,
                    **beside,
                }
            )
    return found
