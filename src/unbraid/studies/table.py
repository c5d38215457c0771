"""Results of a study by row: all members, and statistics over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from unbraid.studies.criteria import compare_members
from unbraid.studies.results import DONE, FAILED, MISSING, RunResult
from unbraid.studies.samples import read_sample
from unbraid.studies.store import Store
from unbraid.studies.study import Job, PrimaryScore, Published, Row, Study

# Sign of rows whose budget is below the paper's.
QUICK_SIGN = "‡"


@dataclass(frozen=True)
class Statistics:
    """Statistics of n scores; None where undefined.

    Parameters
    ----------
    n : int
        Number of scores.
    mean, std, standard_error : float or None
        Mean, standard deviation (n − 1), and standard error of the mean.
    best : float or None
        Best score.
    """

    n: int
    mean: float | None
    std: float | None
    standard_error: float | None
    best: float | None

    @staticmethod
    def from_scores(scores: Sequence[float], best: float | None = None) -> Statistics:
        """Compute the statistics of scores.

        Parameters
        ----------
        scores : sequence of float
            The scores.
        best : float, optional
            Best score, by default the highest.

        Returns
        -------
        Statistics
            The statistics; None where undefined.

        Examples
        --------
        >>> Statistics.from_scores([50.0, 60.0, 70.0])
        Statistics(n=3, mean=60.0, std=10.0, standard_error=5.773502691896258, best=70.0)
        """
        n = len(scores)
        if not n:
            return Statistics(0, None, None, None, None)
        std = float(np.std(scores, ddof=1)) if n > 1 else None
        standard_error = None if std is None else std / n**0.5
        best = max(scores) if best is None else best
        return Statistics(n, float(np.mean(scores)), std, standard_error, best)

    def difference_in_se(self, published: Published | None) -> float | None:
        """Return the mean minus the published mean, in standard errors of that difference."""
        if published is None or self.mean is None or self.standard_error is None:
            return None
        error = float(np.hypot(self.standard_error, published.std / published.seeds**0.5))
        return (self.mean - published.mean) / error if error > 0 else None


@dataclass(frozen=True)
class Member:
    """One run of a row.

    Parameters
    ----------
    job : Job
        The run.
    status : str
        "done", "failed" or "missing".
    reason : str or None
        Reason of the failure.
    score : float or None
        Score of the last checkpoint in the unit of the table.
    best_checkpoint_score, best_checkpoint_step : float or None, int or None
        Best score of the checkpoints during training, and its step.
    criteria : dict of str to float
        Values of label-free criteria, by their names in `CRITERIA`.
    training_seconds : float or None
        Duration of training, without evaluation.
    """

    job: Job
    status: str
    reason: str | None = None
    score: float | None = None
    best_checkpoint_score: float | None = None
    best_checkpoint_step: int | None = None
    criteria: Mapping[str, float] = field(default_factory=dict)
    training_seconds: float | None = None

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.job.config.seed


@dataclass(frozen=True)
class RowResult:
    """A row of the study with its members, in order of seed."""

    row: Row
    members: tuple[Member, ...]
    primary_score: PrimaryScore

    @property
    def completed(self) -> list[Member]:
        """Members that are done, with or without a score."""
        return [m for m in self.members if m.status == DONE]

    @property
    def scored(self) -> list[Member]:
        """Members that have a score."""
        return [m for m in self.members if m.score is not None]

    @property
    def marked_title(self) -> str:
        """Title of the row, with † if the published figures are impossible, and ‡ if it is quick.

        `rendered_tables` explains both signs.
        """
        published = self.row.published
        impossible = " †" if published and published.is_impossible else ""
        return self.row.title + impossible + (f" {QUICK_SIGN}" if self.row.is_quick else "")

    @property
    def last_checkpoint(self) -> Statistics:
        """Statistics of the scores of the last checkpoints."""
        return self._statistics([m.score for m in self.members])

    @property
    def best_checkpoint(self) -> Statistics:
        """Statistics of each member's best checkpoint by the score itself, as in the paper."""
        return self._statistics([m.best_checkpoint_score for m in self.members])

    def _statistics(self, scores: Sequence[float | None]) -> Statistics:
        defined = [score for score in scores if score is not None]
        return Statistics.from_scores(defined, self.primary_score.best(defined))

    @property
    def best_member(self) -> Member | None:
        """The member with the best score; a tie is broken by the lowest seed."""
        best = self.last_checkpoint.best
        tied = [m for m in self.scored if m.score == best]
        return min(tied, key=lambda m: m.seed, default=None)

    @property
    def median_member(self) -> Member | None:
        """The member with the median score; of an even number, the lower of the middle two."""
        ranked = sorted(self.scored, key=lambda m: (m.score or 0.0, m.seed))
        return ranked[(len(ranked) - 1) // 2] if ranked else None

    def selected_by(self, criterion: str) -> Member | None:
        """Return the member that a label-free criterion ranks first.

        Parameters
        ----------
        criterion : str
            A name in `CRITERIA`.

        Returns
        -------
        Member or None
            None if the criterion cannot rank: it is equal for all members, or there are too few.
            The ELBO needs two members; UDR and agreement, which are symmetric, need three.
        """
        ranked = [m for m in self.scored if criterion in m.criteria]
        differs = len({m.criteria[criterion] for m in ranked}) > 1
        if not differs or len(ranked) < (2 if criterion == "elbo" else 3):
            return None
        return max(ranked, key=lambda m: m.criteria[criterion])


def measure(study: Study, store: Store) -> list[RowResult]:
    """Return the results of every row of a study so far.

    UDR and agreement need the run directories and are left out without them.
    """
    results = store.results()
    return [_row_result(row, study, results, store) for row in study.rows]


def _row_result(
    row: Row, study: Study, results: Mapping[str, RunResult], store: Store
) -> RowResult:
    codes = {}
    for job in row.jobs:
        is_done = job.key in results and results[job.key].is_done
        if is_done and (sample := read_sample(store.run(job))) is not None:
            codes[job.key] = sample
    criteria = compare_members(codes)
    members = tuple(
        _member(job, study.primary_score, results.get(job.key), criteria.get(job.key, {}))
        for job in row.jobs
    )
    return RowResult(row, members, study.primary_score)


def _member(
    job: Job, primary_score: PrimaryScore, result: RunResult | None, criteria: dict[str, float]
) -> Member:
    if result is None:
        return Member(job, MISSING)
    if result.status == FAILED:
        return Member(job, FAILED, f"{result.reasons[-1]} ({result.attempts} attempts)")
    score = next(
        (
            primary_score.in_unit(row["score"])
            for row in result.scores
            if (row["name"], row["protocol"]) == primary_score.spec
            and row["metric"] == primary_score.title
        ),
        None,
    )
    checkpoint_scores = {
        int(step): primary_score.in_unit(value)
        for step, scores in result.checkpoints.items()
        if (value := scores.get(primary_score.name)) is not None
    }
    best = primary_score.best(checkpoint_scores.values())
    best_step = next((step for step, value in checkpoint_scores.items() if value == best), None)
    elbo = {} if result.elbo is None else {"elbo": result.elbo}
    return Member(job, DONE, None, score, best, best_step, elbo | criteria, result.training_seconds)
