"""Charts of a study's page, from its results and the logs of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from scipy.stats import rankdata

from unbraid.metrics.uncertainty import interval
from unbraid.report import charts
from unbraid.report.cascade_figure import Log
from unbraid.studies.criteria import CRITERIA
from unbraid.studies.table import Member, RowResult, Statistics


def member_title(result: RowResult, member: Member | None) -> str:
    """Return a row's title and, if it has a score, which member is shown."""
    if member is None or member.score is None:
        return result.row.title
    percent = " %" if result.primary_score.is_percent else ""
    return f"{result.row.title}: seed {member.seed}, the median, {member.score:.2f}{percent}"


def strip_row(result: RowResult) -> charts.StripRow:
    """Return all scores, their mean with its 95 % interval, and the published mean and std."""
    scores = [(m.score, m.seed) for m in result.scored if m.score is not None]
    dots = [(score, f"seed {seed}: {score:.2f}") for score, seed in scores]
    mean_and_ends = interval([score for score, _ in scores]) if len(scores) > 1 else None
    published = result.row.published
    mean_and_std = (published.mean, published.std) if published else None
    return charts.StripRow(result.marked_title, dots, mean_and_ends, mean_and_std)


def learning_curves(result: RowResult, logs: Mapping[str, Log]) -> Markup:
    """Plot −ELBO against steps for every seed, with the median member by score in front."""
    back_to_front = sorted(result.completed, key=lambda m: m is result.median_member)
    series = [
        charts.Series(
            charts.subsample([(r["step"], -r["elbo"]) for r in logs[m.job.key] if r["elbo"] < 0]),
            f"seed {m.seed}",
            "thick" if m is result.median_member else "thin",
        )
        for m in back_to_front
    ]
    return charts.line_chart(series, "−ELBO, nats", logarithmic=True)


def correlations(results: Sequence[RowResult]) -> list[tuple[str, list[str]]]:
    """Compute Spearman's ρ between each criterion and the score: within each row, then the mean.

    It is +1 if the criterion ranks the members as the score does, best first, also for a score that
    is better the lower it is. The mean has its standard error over the rows.
    """
    rows, columns = [], {name: [] for name in CRITERIA}
    for result in results:
        cells = []
        for name in CRITERIA:
            members, criterion, score = _criterion_and_score(name, result)
            rho = _spearman(criterion, score)
            columns[name] += [] if rho is None else [rho]
            cells.append("—" if rho is None else f"{rho:+.2f} (n = {len(members)})")
        rows.append((result.row.title, cells))
    return [*rows, ("mean over rows", [_mean(column) for column in columns.values()])]


def criterion_scatter(name: str, results: Sequence[RowResult]) -> Markup:
    """Plot the score against a criterion, both standardised within rows of 3 or more members."""
    points = []
    for result in results:
        members, criterion, score = _criterion_and_score(name, result)
        if _spearman(criterion, score) is not None:
            x = (criterion - criterion.mean()) / criterion.std()
            y = (score - score.mean()) / score.std()
            points += [
                (float(a), float(b), f"{result.row.title}, seed {m.seed}")
                for a, b, m in zip(x, y, members, strict=True)
            ]
    x_label = f"{name}, standardised by row"
    y_label = "score, standardised by row, up is better"
    return charts.scatter_plot(charts.Scatter(points, x_label, y_label))


def _criterion_and_score(
    name: str, result: RowResult
) -> tuple[list[Member], np.ndarray, np.ndarray]:
    """Return the members that have both, their criterion, and their score, higher is better."""
    members = [m for m in result.scored if name in m.criteria and m.score is not None]
    sign = 1 if result.primary_score.is_percent else -1
    return (
        members,
        np.array([m.criteria[name] for m in members]),
        sign * np.array([m.score for m in members], dtype=float),
    )


def _mean(correlations: list[float]) -> str:
    statistics = Statistics.from_scores(correlations)
    if statistics.mean is None:
        return "—"
    error = "" if statistics.standard_error is None else f" ± {statistics.standard_error:.2f}"
    return f"{statistics.mean:+.2f}{error} (n = {statistics.n})"


def _spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return None if ranks mean nothing: fewer than three members, or all values equal."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
