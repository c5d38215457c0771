"""Record of scores.json, and its conversion from and to JSON.

Files of version 0.1 have the same keys, except that `device` and `not_scored` may be missing.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

from unbraid.metrics.score_row import ScoreRow
from unbraid.metrics.suite import MetricSpec

# Key of the confusion matrix in scores.json, followed by the name of the label.
CONFUSION = "images_by_category_and_"


class NotScored(NamedTuple):
    """A requested metric that cannot be computed.

    Parameters
    ----------
    name : str
        Name of the metric.
    why : str
        Reason, in one line.
    """

    name: str
    why: str


@dataclass(frozen=True)
class Evaluation:
    """Scores of a run, as they are written to scores.json.

    Parameters
    ----------
    method, data : str
        Names of the method and of the dataset.
    seed : int
        Seed of the training run.
    step : int
        Step of the checkpoint.
    checkpoint : str
        Checkpoint that was scored: always "last".
    configuration : str
        Digest of the run's configuration.
    images : int
        Number of images that were scored.
    precision : str
        Precision of the encoder.
    device : str
        Device of the encoder, "cpu" or "cuda".
    votes_seed : int
        Seed for sampling items and votes.
    repeats : int
        Number of repeats of every score.
    label : str, optional
        Factor that the discrete code is compared with; None if the dataset has none.
    scores : list of ScoreRow
        Scores, in the order of metrics and protocols.
    not_scored : list of NotScored
        Metrics that the labels do not allow.
    kl : list of float, optional
        Mean KL of every dimension in nats; None before encoding, and for a deterministic code.
    confusion : list of lists of int, optional
        Number of images of every category and value of the label; None without a discrete code.
    """

    method: str
    data: str
    seed: int
    step: int
    checkpoint: str
    configuration: str
    images: int
    precision: str
    device: str
    votes_seed: int
    repeats: int
    label: str | None = None
    scores: list[ScoreRow] = dataclasses.field(default_factory=list)
    not_scored: list[NotScored] = dataclasses.field(default_factory=list)
    kl: list[float] | None = None
    confusion: list[list[int]] | None = None

    @property
    def specs(self) -> set[MetricSpec]:
        """Metrics and protocols with a score."""
        return {MetricSpec(row["name"], row["protocol"]) for row in self.scores}

    def is_comparable(self, other: Evaluation) -> bool:
        """Return whether the scores of two evaluations belong in one file.

        Parameters
        ----------
        other : Evaluation
            Another evaluation.

        Returns
        -------
        bool
            True if the codes and the draws of items and votes are the same.
        """
        return all(getattr(self, key) == getattr(other, key) for key in _COMPARABLE)

    def to_json(self) -> dict[str, Any]:
        """Convert to the content of scores.json.

        Returns
        -------
        dict
            JSON values.
        """
        content = {key: getattr(self, key) for key in _PLAIN}
        content |= {
            "scores": [dict(row) for row in self.scores],
            "not_scored": [entry._asdict() for entry in self.not_scored],
            "kl": self.kl,
        }
        return content | ({f"{CONFUSION}{self.label}": self.confusion} if self.label else {})

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Evaluation:
        """Convert from the content of scores.json.

        Parameters
        ----------
        content : dict
            JSON values.

        Returns
        -------
        Evaluation
            The record.

        Raises
        ------
        KeyError, TypeError
            If the content is not that of scores.json.
        """
        # The first versions encoded on the CPU only and did not write the device.
        content = {"device": "cpu", **content}
        labels = [key.removeprefix(CONFUSION) for key in content if key.startswith(CONFUSION)]
        label = labels[0] if labels else None
        return cls(
            **{key: content[key] for key in _PLAIN},
            label=label,
            scores=list(content["scores"]),
            not_scored=[NotScored(**entry) for entry in content.get("not_scored", ())],
            kl=content["kl"],
            confusion=content[f"{CONFUSION}{label}"] if label else None,
        )


_PLAIN = ("method", "data", "seed", "step", "checkpoint", "configuration", "images", "precision")
_PLAIN += ("device", "votes_seed", "repeats")
_COMPARABLE = ("configuration", "step", "images", "precision", "device", "votes_seed", "repeats")
