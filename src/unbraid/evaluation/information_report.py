"""Record of information.json, and its conversion from and to JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


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
        Sum of the three estimates minus the regulariser.
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
    """Information terms of a run, as they are written to information.json, in nats per image.

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
        Information at the end of every stage; None if it was not requested.
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
