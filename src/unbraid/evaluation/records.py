"""Typed records of scores.json and information.json, and their conversion from and to JSON.

Files of version 0.1 have the same keys, except that scores.json may lack `device`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

from unbraid.metrics.suite import MetricSpec, ScoreRow

# Key of the confusion matrix in scores.json, followed by the name of the label.
CONFUSION = "images_by_category_and_"


class NotScored(NamedTuple):
    """A metric that was asked for and cannot be computed.

    Parameters
    ----------
    name : str
        Name of the metric.
    why : str
        The reason, in one line.
    """

    name: str
    why: str


@dataclass(frozen=True)
class Evaluation:
    """Scores of a run: what scores.json has.

    Parameters
    ----------
    method, data : str
        Names of the method and of the dataset.
    seed : int
        Seed of the training run.
    step : int
        Step of the checkpoint.
    checkpoint : str
        "last", the checkpoint that was scored.
    configuration : str
        Digest of the run's configuration.
    images : int
        Number of images that were scored.
    precision : str
        Precision of the encoder.
    device : str
        "cpu" or "cuda", the device of the encoder.
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
        """Return whether the scores of both can stand in one file.

        Parameters
        ----------
        other : Evaluation
            Another evaluation.

        Returns
        -------
        bool
            True if both have the same codes, and the same draws of items and votes.
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
        # Version 0.1 had no choice of a device before it could encode on a GPU.
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


@dataclass(frozen=True)
class InformationTerms:
    """The KL of a code and its parts, in nats per image.

    Parameters
    ----------
    information : float
        Estimate of I(x;z).
    total_correlation : float
        Estimate of TC(z).
    marginal_kl : float
        Estimate of Σ_i KL(q(z_i) ‖ p(z_i)).
    regulariser : float
        E_x KL(q(z|x) ‖ p(z)), in closed form.
    residual : float
        Sum of the three estimates less the regulariser.
    """

    information: float
    total_correlation: float
    marginal_kl: float
    regulariser: float
    residual: float


@dataclass(frozen=True)
class TermErrors:
    """Standard errors of the estimates, in nats per image.

    Parameters
    ----------
    information, total_correlation, marginal_kl, residual : float
        Standard error of the estimate of the same name.
    """

    information: float
    total_correlation: float
    marginal_kl: float
    residual: float


@dataclass(frozen=True)
class StageInformation:
    """Information at the end of a training stage, in nats per image.

    Parameters
    ----------
    step : int
        Last step of the stage.
    open : str
        Dimensions that are open in the stage, for example "z1 … z2, d".
    total_correlation : float
        TC(z).
    information_by_dimension : list of float
        I(x; z_i).
    information_of_prefix : list of float
        I(x; z_1 … z_i).
    """

    step: int
    open: str
    total_correlation: float
    information_by_dimension: list[float]
    information_of_prefix: list[float]


@dataclass(frozen=True)
class InformationReport:
    """Information terms of a run: what information.json has; all terms in nats per image.

    Parameters
    ----------
    method, data : str
        Names of the method and of the dataset.
    seed : int
        Seed of the training run.
    step : int
        Step of the checkpoint.
    images : int
        Number of images sampled from the dataset.
    images_seed : int
        Seed for sampling the images and the noise of z.
    terms : InformationTerms
        Estimates over all sampled images.
    standard_errors : TermErrors
        Their standard errors.
    kl : list of float
        KL(q(z_i|x) ‖ p(z_i)) of every dimension, mean over images.
    marginal_kl_by_dimension : list of float
        KL(q(z_i) ‖ p(z_i)).
    information_by_dimension : list of float
        I(x; z_i).
    information_of_prefix : list of float
        I(x; z_1 … z_i).
    batch : int
        Batch size of the two following estimates.
    weighted, stratified : InformationTerms
        Estimates from batches by minibatch weighted and minibatch stratified sampling.
    stages : list of StageInformation, optional
        Information at the end of every stage.
    """

    method: str
    data: str
    seed: int
    step: int
    images: int
    images_seed: int
    terms: InformationTerms
    standard_errors: TermErrors
    kl: list[float]
    marginal_kl_by_dimension: list[float]
    information_by_dimension: list[float]
    information_of_prefix: list[float]
    batch: int
    weighted: InformationTerms
    stratified: InformationTerms
    stages: list[StageInformation] | None = None

    def to_json(self) -> dict[str, Any]:
        """Convert to the content of information.json.

        Returns
        -------
        dict
            JSON values.
        """
        content = dataclasses.asdict(self)
        batches = {key: content.pop(key) for key in ("batch", "weighted", "stratified")}
        stages, terms = content.pop("stages"), content.pop("terms")
        head = {key: content.pop(key) for key in _HEAD}
        stages = {} if stages is None else {"stages": stages}
        return {**head, **terms, **content, "batches": batches, **stages}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> InformationReport:
        """Convert from the content of information.json.

        Parameters
        ----------
        content : dict
            JSON values.

        Returns
        -------
        InformationReport
            The record.

        Raises
        ------
        KeyError, TypeError
            If the content is not that of information.json.
        """
        batches, stages = content["batches"], content.get("stages")
        term_names = [field.name for field in dataclasses.fields(InformationTerms)]
        return cls(
            **{key: content[key] for key in (*_HEAD, *_BY_DIMENSION)},
            terms=InformationTerms(**{key: content[key] for key in term_names}),
            standard_errors=TermErrors(**content["standard_errors"]),
            batch=batches["batch"],
            weighted=InformationTerms(**batches["weighted"]),
            stratified=InformationTerms(**batches["stratified"]),
            stages=None if stages is None else [StageInformation(**stage) for stage in stages],
        )


_HEAD = ("method", "data", "seed", "step", "images", "images_seed")
_BY_DIMENSION = ("kl", "marginal_kl_by_dimension", "information_by_dimension")
_BY_DIMENSION += ("information_of_prefix",)
