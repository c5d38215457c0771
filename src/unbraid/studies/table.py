"""What a study measured: every member, and each row's statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unbraid.studies.criteria import compared
from unbraid.studies.store import DONE, FAILED, Result, Store
from unbraid.studies.study import Job, PrimaryScore, Published, Row, Study
from unbraid.studies.worker import read_sample


@dataclass(frozen=True)
class Statistics:
    """Of n scores: mean, std (n − 1), the mean's standard error, the best; None if undefined."""

    n: int
    mean: float | None
    std: float | None
    error: float | None
    best: float | None

    @staticmethod
    def of(scores: Sequence[float], best: float | None = None) -> Statistics:
        """The statistics of these scores, the best of which is the highest, or the one given."""
        n = len(scores)
        if not n:
            return Statistics(0, None, None, None, None)
        std = float(np.std(scores, ddof=1)) if n > 1 else None
        error = None if std is None else std / n**0.5
        best = max(scores) if best is None else best
        return Statistics(n, float(np.mean(scores)), std, error, best)

    def off(self, published: Published | None) -> float | None:
        """Mean less the published one, in standard errors of that difference."""
        if published is None or self.mean is None or self.error is None:
            return None
        error = float(np.hypot(self.error, published.std / published.seeds**0.5))
        return (self.mean - published.mean) / error if error > 0 else None


@dataclass(frozen=True)
class Member:
    """One run of a row: its scores as shown, if it is done, and its label-free criteria."""

    job: Job
    status: str
    reason: str | None
    score: float | None
    best: float | None
    best_step: int | None
    criteria: dict[str, float]
    seconds: float | None

    @property
    def seed(self) -> int:
        return self.job.config.seed


@dataclass(frozen=True)
class RowResult:
    """A row of the study with its members, in order of seed."""

    row: Row
    members: tuple[Member, ...]
    primary_score: PrimaryScore

    @property
    def trained(self) -> list[Member]:
        """The members that are done, with or without a score."""
        return [m for m in self.members if m.status == DONE]

    @property
    def done(self) -> list[Member]:
        """The members that have a score."""
        return [m for m in self.members if m.score is not None]

    @property
    def marked_title(self) -> str:
        """The row's title, marked where what is published cannot be true."""
        published = self.row.published
        return self.row.title + (" †" if published and published.impossible else "")

    @property
    def last(self) -> Statistics:
        """Of the last checkpoints' scores: the claim."""
        return self._of([m.score for m in self.members if m.score is not None])

    @property
    def best(self) -> Statistics:
        """Of each member's best checkpoint by the score itself: the paper's protocol."""
        return self._of([m.best for m in self.members if m.best is not None])

    def _of(self, scores: list[float]) -> Statistics:
        return Statistics.of(scores, self.primary_score.best(scores))

    @property
    def winner(self) -> Member | None:
        """The member with the best score, the lower seed of two."""
        best = self.last.best
        best_of_all = [m for m in self.done if m.score == best]
        return min(best_of_all, key=lambda m: m.seed, default=None)

    def chosen(self, criterion: str) -> Member | None:
        """The member that a label-free criterion puts first; None where it has no choice.

        Of one member there is none, nor where it is the same for all, and two are always as like
        each other as the other way round.
        """
        have = [m for m in self.done if criterion in m.criteria]
        apart = len({m.criteria[criterion] for m in have}) > 1
        if not apart or len(have) < (2 if criterion == "elbo" else 3):
            return None
        return max(have, key=lambda m: m.criteria[criterion], default=None)

    @property
    def median(self) -> Member | None:
        """The member in the middle by score, the lower of two."""
        ranked = sorted(self.done, key=lambda m: (m.score or 0.0, m.seed))
        return ranked[(len(ranked) - 1) // 2] if ranked else None


def measure(study: Study, store: Store) -> list[RowResult]:
    """Every row of a study as far as its runs are there.

    UDR and agreement need the run directories; a study without them has neither.
    """
    known = store.results()
    return [_line(row, study, known, store) for row in study.rows]


def _line(row: Row, study: Study, known: dict[str, Result], store: Store) -> RowResult:
    codes = {}
    for job in row.jobs:
        done = known.get(job.key, {}).get("status") == DONE
        if done and (sample := read_sample(store.run(job))) is not None:
            codes[job.key] = sample
    others = compared(codes)
    members = [_member(j, study, known.get(j.key), others.get(j.key, {})) for j in row.jobs]
    return RowResult(row, tuple(members), study.primary_score)


def _member(job: Job, study: Study, result: Result | None, others: dict[str, float]) -> Member:
    if result is None:
        return Member(job, "missing", None, None, None, None, {}, None)
    if result["status"] == FAILED:
        reason = f"{result['reasons'][-1]} ({result['attempts']} attempts)"
        return Member(job, FAILED, reason, None, None, None, {}, None)
    head = study.primary_score
    scores = [
        head.shown(row["score"])
        for row in result["scores"]
        if (row["name"], row["protocol"]) == head.job and row["metric"] == head.title
    ]
    marks = {
        int(step): head.shown(scores[head.name])
        for step, scores in result["checkpoints"].items()
        if head.name in scores
    }
    best = head.best(marks.values())
    return Member(
        job,
        DONE,
        None,
        scores[0] if scores else None,
        best,
        next((step for step, score in marks.items() if score == best), None),
        {"elbo": result["elbo"], **others},
        result["training_seconds"],
    )
