"""Information terms of a run: I(x;z), total correlation and marginal KLs of its code."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbraid import information
from unbraid.codes import Codes
from unbraid.data.images import ImageTable
from unbraid.errors import ArgumentError, UserError
from unbraid.evaluation.information_report import (
    InformationReport,
    InformationTerms,
    StageInformation,
    TermErrors,
)
from unbraid.files import written_atomically
from unbraid.methods import Method
from unbraid.runs.codes_cache import encode_once
from unbraid.runs.encode import Trained, encode, load_trained
from unbraid.runs.run import Run
from unbraid.runs.stage_checkpoints import load_stages

BATCH = 64
DEFAULT_IMAGES = 10_000


def measure(
    run: Run, table: ImageTable, *, images: int | None = None, seed: int = 0, stages: bool = False
) -> InformationReport:
    """Estimate I(x;z), TC(z) and Σ_i KL(q(z_i) ‖ p(z_i)) and write information.json.

    x is uniform over images sampled without replacement: q(z) is the mixture of their posteriors,
    and I(x;z) is at most ln `images`. One z is sampled from every posterior; all terms are computed
    in float64. The estimates from batches of 64 images are reported too, for comparison.

    Parameters
    ----------
    run : Run
        A run with a checkpoint.
    table : ImageTable
        The dataset that the run was trained on.
    images : int, optional
        Number of images sampled from the dataset, by default 10,000, or all images of a smaller
        dataset; the cost grows quadratically.
    seed : int, default 0
        Seed for sampling the images and the noise of z.
    stages : bool, default False
        Whether to also compute I(x; z_1 … z_i) and I(x; z_i) at the end of every stage, from the
        same images and noise.

    Returns
    -------
    InformationReport
        The content of the written file; all terms in nats per image.

    Raises
    ------
    ArgumentError
        If `images` is less than 64 or more than the number of images in the dataset.
    UserError
        If the run has no usable checkpoint, if its code is deterministic, or if `stages` is set and
        the run has no stage checkpoints.
    UserError or StorageError
        If the file cannot be written.
    """
    if images is None:
        images = max(BATCH, min(DEFAULT_IMAGES, len(table)))
    if not BATCH <= images <= len(table):
        raise ArgumentError(
            "images",
            images,
            f"must be between {BATCH}, the batch size, and {len(table)}, the size of the dataset",
            f"set `images` to {min(10_000, len(table))}, for example",
        )
    checkpoints = load_stages(run, table) if stages else [load_trained(run, table)]
    if stages and len(checkpoints) == 1:
        raise UserError(
            f"{run.path}: the run has no stage checkpoints, as its method has no stages or an early"
            " version trained it; leave out `stages`"
        )
    trained = checkpoints[-1]
    config = trained.config
    rng = np.random.default_rng(seed)
    index = rng.choice(len(table), images, replace=False)
    codes = encode_once(run, trained, table, index=index, discrete=False)
    if codes.std is None:
        raise UserError(
            f"{run.path}: the code of {config.method.name} is deterministic, so I(x;z) is not"
            " bounded; choose a run of another method"
        )
    noise_nz = torch.from_numpy(rng.standard_normal(codes.mean.shape))
    posteriors = _Posteriors.from_codes(codes, noise_nz)
    estimates = posteriors.decompose()
    report = InformationReport(
        method=config.method.name,
        data=config.data,
        seed=config.seed,
        step=trained.step,
        images=images,
        images_seed=seed,
        terms=_as_record(estimates.terms),
        standard_errors=TermErrors(*estimates.errors.tolist()),
        kl=information.kl_per_dimension(posteriors.mean_nz, posteriors.std_nz).tolist(),
        marginal_kl_by_dimension=estimates.terms.marginal_kl_z.tolist(),
        information_by_dimension=estimates.information_z.tolist(),
        information_of_prefix=estimates.prefix_information_z.tolist(),
        batch=BATCH,
        weighted=posteriors.decompose_by_batches(stratified=False),
        stratified=posteriors.decompose_by_batches(stratified=True),
        stages=(
            [_stage(stage, table, index, noise_nz) for stage in checkpoints] if stages else None
        ),
    )
    with written_atomically(run.information_file) as file:
        file.write(json.dumps(report.to_json(), indent=2).encode())
    return report


class _Posteriors(NamedTuple):
    """Posteriors of n images in float64, and the noise from which one z per image is sampled."""

    mean_nz: Float[Tensor, "n z"]
    std_nz: Float[Tensor, "n z"]
    noise_nz: Float[Tensor, "n z"]

    @classmethod
    def from_codes(cls, codes: Codes, noise_nz: Tensor) -> _Posteriors:
        assert codes.std is not None
        mean_nz, std_nz = torch.from_numpy(codes.mean), torch.from_numpy(codes.std)
        return cls(mean_nz.double(), std_nz.double(), noise_nz)

    def decompose(self) -> information.Decomposition:
        return information.decompose(self.mean_nz, self.std_nz, self.noise_nz[None])

    def decompose_by_batches(self, *, stratified: bool) -> InformationTerms:
        terms = information.decompose_by_batches(
            *self, batch_size=BATCH, dataset_size=len(self.mean_nz), stratified=stratified
        )
        return _as_record(terms)


def _stage(
    trained: Trained, table: ImageTable, index: np.ndarray, noise_nz: Tensor
) -> StageInformation:
    codes = encode(trained, table, index=index, discrete=False)
    result = _Posteriors.from_codes(codes, noise_nz).decompose()
    return StageInformation(
        step=trained.step,
        open=open_dimensions(trained.config.method, trained.step),
        total_correlation=result.terms.total_correlation,
        information_by_dimension=result.information_z.tolist(),
        information_of_prefix=result.prefix_information_z.tolist(),
    )


def _as_record(terms: information.Terms) -> InformationTerms:
    return InformationTerms(
        information=terms.information,
        total_correlation=terms.total_correlation,
        marginal_kl=terms.marginal_kl_z.sum().item(),
        regulariser=terms.regulariser,
        residual=terms.residual,
    )


def as_text(report: InformationReport) -> str:
    """Format information terms as two tables for the terminal.

    Parameters
    ----------
    report : InformationReport
        Information terms of a run.

    Returns
    -------
    str
        One line per term, then one line per dimension.
    """
    images = report.images
    lines = [
        f"{report.method}, seed {report.seed}, step {report.step:,}; x uniform over"
        f" {images:,} images sampled with seed {report.images_seed}, one z each; nats per image",
        f"{'':32}{'all posteriors':>22}{f'weighted, {BATCH}':>16}{f'stratified, {BATCH}':>16}",
    ]
    labels = {
        f"I(x;z), at most ln {images:,} = {np.log(images):.2f}": "information",
        "TC(z)": "total_correlation",
        "Σ KL(q(z_i) ‖ p(z_i))": "marginal_kl",
        "KL(q(z|x) ‖ p(z)), closed form": "regulariser",
        "sum of the three − closed form": "residual",
    }
    for label, name in labels.items():
        error = getattr(report.standard_errors, name, None)
        deviation = " " * 8 if error is None else f" ± {error:.3f}"
        by_batches = (getattr(terms, name) for terms in (report.weighted, report.stratified))
        columns = "".join(f"{value:16.3f}" for value in by_batches)
        lines.append(f"{label:32}{getattr(report.terms, name):14.3f}{deviation}{columns}")
    lines.append(f"{'':6}{'KL':>8}{'I(x;z_i)':>12}{'KL(q(z_i) ‖ p)':>18}{'I(x;z_1…i)':>14}")
    table = zip(
        report.kl,
        report.information_by_dimension,
        report.marginal_kl_by_dimension,
        report.information_of_prefix,
        strict=True,
    )
    for i, (kl, single, marginal, prefix) in enumerate(table):
        lines.append(f"{f'z{i + 1}':6}{kl:8.3f}{single:12.3f}{marginal:18.3f}{prefix:14.3f}")
    return "\n".join(lines)


def open_dimensions(method: Method, step: int) -> str:
    """Return the open dimensions of the stage that ends at a step.

    Parameters
    ----------
    method : Method
        The method.
    step : int
        Last step of the stage.

    Returns
    -------
    str
        The dimensions with the smallest β, and d if the discrete code is open: "z1 … z2, d".
    """
    betas = method.betas(step - 1)
    number = betas.count(min(betas))
    names = "z1" if number == 1 else f"z1 … z{number}"
    return f"{names}, d" if method.discrete_is_open(step - 1) else names
