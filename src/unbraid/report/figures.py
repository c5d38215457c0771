"""The charts of a study's page, from its members and their logs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from scipy.stats import rankdata

from unbraid.metrics.uncertainty import interval
from unbraid.report import charts
from unbraid.studies.criteria import CRITERIA
from unbraid.studies.table import Member, RowResult, Statistics


def titled(line: RowResult, member: Member | None) -> str:
    """A row's title and, if it is given, which member is shown."""
    if member is None or member.score is None:
        return line.row.title
    percent = " %" if line.primary_score.is_share else ""
    return f"{line.row.title}: seed {member.seed}, the median, {member.score:.2f}{percent}"


def strip(line: RowResult) -> charts.Strip:
    """Every seed's score, the mean's 95 % interval and the published mean and std."""
    scores = [m.score for m in line.done if m.score is not None]
    published = line.row.published
    dots = [(m.score, f"seed {m.seed}: {m.score:.2f}") for m in line.done if m.score is not None]
    mean_and_ends = interval(scores) if len(scores) > 1 else None
    beside = (published.mean, published.std) if published else None
    return charts.Strip(line.marked_title, dots, mean_and_ends, beside)


def learning(line: RowResult, logs: dict[str, list[dict[str, Any]]]) -> Markup:
    """−ELBO over steps, every seed, the median member by score in front."""
    ranked = sorted(line.trained, key=lambda m: m is line.median)
    series = [
        charts.Series(
            charts.thinned([(r["step"], -r["elbo"]) for r in logs[m.job.key] if r["elbo"] < 0]),
            f"seed {m.seed}",
            "thick" if m is line.median else "thin",
        )
        for m in ranked
    ]
    return charts.curves(series, "−ELBO, nats", logarithmic=True)


def cascade(member: Member, logs: dict[str, list[dict[str, Any]]]) -> Markup:
    """KL per dimension over steps; a line where a β begins to fall."""
    log = logs[member.job.key]
    if not log:
        return Markup("")
    dimensions = len(log[0]["kl"])
    series = [
        charts.Series(
            charts.thinned([(r["step"], r["kl"][z]) for r in log]),
            f"z{z + 1}",
            "thick",
            round(250 - 200 * z / max(1, dimensions - 1)),
        )
        for z in range(dimensions)
    ]
    return charts.curves(series, "KL, nats", marks=falls(log))


def falls(log: list[dict[str, Any]]) -> list[int]:
    """The steps of the records at which a β changes and did not at the record before."""
    changes = [False, *[b["beta"] != a["beta"] for a, b in itertools.pairwise(log)]]
    began = zip(log[1:], itertools.pairwise(changes), strict=True)
    return [record["step"] for record, (before, now) in began if now and not before]


def _pairs(name: str, line: RowResult) -> tuple[list[Member], np.ndarray, np.ndarray]:
    """The members that have both, their criterion and their score, the higher the better."""
    have = [m for m in line.done if name in m.criteria and m.score is not None]
    up = 1 if line.primary_score.is_share else -1
    return (
        have,
        np.array([m.criteria[name] for m in have]),
        up * np.array([m.score for m in have], dtype=float),
    )


def correlations(lines: Sequence[RowResult]) -> list[tuple[str, list[str]]]:
    """Spearman's ρ between each criterion and the score, within each row, then their mean.

    It is +1 where the criterion orders the members as the score does, the best first, also of a
    score that is the less the better. Beside the mean its standard error over the rows.
    """
    rows, columns = [], {name: [] for name in CRITERIA}
    for line in lines:
        cells = []
        for name in CRITERIA:
            have, criterion, score = _pairs(name, line)
            rho = _spearman(criterion, score)
            columns[name] += [] if rho is None else [rho]
            cells.append("—" if rho is None else f"{rho:+.2f} (n = {len(have)})")
        rows.append((line.row.title, cells))
    return [*rows, ("mean over rows", [_mean(found) for found in columns.values()])]


def _mean(found: list[float]) -> str:
    own = Statistics.of(found)
    if own.mean is None:
        return "—"
    error = "" if own.error is None else f" ± {own.error:.2f}"
    return f"{own.mean:+.2f}{error} (n = {own.n})"


def _spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """None where a rank means nothing: below three members, or all alike."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def cloud(name: str, lines: Sequence[RowResult]) -> Markup:
    """A criterion beside the score, both in stds of their row; rows of three members or more."""
    points = []
    for line in lines:
        have, criterion, score = _pairs(name, line)
        if _spearman(criterion, score) is not None:
            across = (criterion - criterion.mean()) / criterion.std()
            up = (score - score.mean()) / score.std()
            points += [
                (float(a), float(b), f"{line.row.title}, seed {m.seed}")
                for a, b, m in zip(across, up, have, strict=True)
            ]
    up = "score, stds of its row, up is better"
    return charts.cloud(charts.Dots(points, f"{name}, stds of its row", up))
