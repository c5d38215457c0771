"""Results of a study's runs: one record per line of `results.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from unbraid.runs import version_0_1

DONE, FAILED, RUNNING, MISSING = "done", "failed", "running", "missing"


class ScoreRow(TypedDict):
    """One score of the last checkpoint, as `unbraid evaluate` writes it."""

    metric: str
    name: str
    protocol: str
    score: float
    standard_error: NotRequired[float]


@dataclass(frozen=True)
class RunResult:
    """The result of one run, from `from_table`.

    Parameters
    ----------
    key : str
        Key of the job.
    status : str
        "done" or "failed".
    attempts : int
        How many times the run was started.
    reasons : tuple of str
        Why each failed attempt failed.
    step : int
        Steps trained.
    scores : tuple of ScoreRow
        Scores of the last checkpoint.
    checkpoints : dict of str to dict of str to float
        Scores of checkpoints during training, by step, then by name of the score.
    elbo : float or None
        Last ELBO of the log, in nats per image.
    training_seconds : float or None
        Duration of training alone.
    table : dict
        The whole record with today's names; this is what is written.
    """

    key: str
    status: str
    attempts: int
    reasons: tuple[str, ...]
    step: int
    scores: tuple[ScoreRow, ...]
    checkpoints: dict[str, dict[str, float | None]]
    elbo: float | None
    training_seconds: float | None
    table: dict[str, Any]

    @staticmethod
    def from_table(table: Mapping[str, Any]) -> RunResult:
        """Return the result of a record, whichever version wrote it.

        Parameters
        ----------
        table : mapping
            A record with at least `key` and `status`.

        Raises
        ------
        KeyError
            If the record has no key or no status.
        """
        if {"method", "budget", "hyperparameters"} <= table.keys():
            table = version_0_1.current_config(table)
        return RunResult(
            table["key"],
            table["status"],
            table.get("attempts", 1),
            tuple(table.get("reasons", ())),
            table.get("step", 0),
            tuple(table.get("scores", ())),
            table.get("checkpoints", {}),
            table.get("elbo"),
            table.get("training_seconds"),
            dict(table),
        )

    @staticmethod
    def from_line(line: str) -> RunResult | None:
        """Return the result on a line of `results.jsonl`, or None if it is damaged or unknown."""
        try:
            return RunResult.from_table(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def as_line(self) -> str:
        """Return the record as a line of `results.jsonl`."""
        return json.dumps(self.table) + "\n"

    @property
    def is_done(self) -> bool:
        """Whether the run was trained and evaluated."""
        return self.status == DONE
