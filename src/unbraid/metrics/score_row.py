"""Rows of scores: one score of a metric under a protocol, as it is written to scores.json."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unbraid.metrics import METRICS


class ScoreRow(TypedDict):
    """One score as it is written to scores.json; keys without a value are left out.

    Attributes
    ----------
    metric : str
        Title of the score, for example "DCI: completeness".
    name, protocol : str
        Name of the metric and of its protocol.
    score : float
        The score, or the mean over repeats.
    standard_error : float
        Standard error of one repeat.
    low, high : float
        95 % confidence interval of the mean over repeats.
    repeats : int
        Number of repeats, if more than one.
    chance : float
        Score of a code that is independent of the factors.
    dimensions : int
        Number of active dimensions.
    items : int
        Number of items that the metric was fitted to.
    """

    metric: str
    name: str
    protocol: str
    score: float
    standard_error: NotRequired[float]
    low: NotRequired[float]
    high: NotRequired[float]
    repeats: NotRequired[int]
    chance: NotRequired[float]
    dimensions: NotRequired[int]
    items: NotRequired[int]


def is_known(row: ScoreRow) -> bool:
    """Return whether the metric and the protocol of a row exist.

    Parameters
    ----------
    row : ScoreRow
        A row, perhaps of a file that another version wrote.

    Returns
    -------
    bool
        True if both exist.
    """
    return row["name"] in METRICS and row["protocol"] in METRICS[row["name"]].PROTOCOLS


def sort_key(row: ScoreRow) -> tuple[int, int]:
    """Return the position of a row in a table: in the order of metrics, then of protocols.

    Parameters
    ----------
    row : ScoreRow
        A row of a known metric and protocol.

    Returns
    -------
    tuple of int
        Position of the metric, and of the protocol among those of the metric.
    """
    protocols = list(METRICS[row["name"]].PROTOCOLS)
    return list(METRICS).index(row["name"]), protocols.index(row["protocol"])
