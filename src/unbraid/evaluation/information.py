"""The information terms of a run: what its code holds of images, and how it is spread."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbraid import information
from unbraid.codes import Codes
from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.methods import Method
from unbraid.runs.codes_cache import encode_once
from unbraid.runs.encode import Trained, encode, load_trained
from unbraid.runs.run import Run
from unbraid.runs.stage_checkpoints import load_stages

BATCH = 64


def measure(
    run: Run, table: ImageTable, *, images: int = 10_000, seed: int = 0, stages: bool = False
) -> dict[str, Any]:
    """I(x;z), TC(z), Σ_i KL(q(z_i) ‖ p(z_i)) and their residual; written to information.json.

    x is uniform over `images` drawn by `seed` without replacement, which stand for the dataset:
    q(z) is the mixture of their posteriors and I(x;z) at most ln `images`. One z a posterior, in
    float64. Beside it, what batches of 64 of them would say. With `stages`, I(x; z_{1:i}) and
    I(x; z_i) at the end of every stage too, by the same images and noise. Nats per image. UserError
    for a run whose code is not random, fewer images than a batch or more than there are, or no
    stage kept.
    """
    if not BATCH <= images <= len(table):
        raise UserError(
            f"images={images}: they make batches of {BATCH} and are drawn from {len(table)}; give"
            f" --images {BATCH} to {len(table)}"
        )
    ends = load_stages(run, table) if stages else [load_trained(run, table)]
    if stages and len(ends) == 1:
        raise UserError(
            f"{run.path}: it holds no stages/, so its method has none or it was trained before they"
            " were kept; leave --stages out"
        )
    trained = ends[-1]
    rng = np.random.default_rng(seed)
    index = rng.choice(len(table), images, replace=False)
    codes = encode_once(run, trained, table, index=index, discrete=False)
    if codes.std is None:
        raise UserError(
            f"{run.path}: a code of {trained.config.method.name} is one point, so q(z|x) has no"
            " density and I(x;z) no bound; give a run of another method"
        )
    noise_nz = torch.from_numpy(rng.standard_normal(codes.mean.shape))
    mean_nz, std_nz, whole = _decompose(codes, noise_nz)
    by_batches = {
        name: _as_numbers(
            information.decompose_by_batches(
                mean_nz,
                std_nz,
                noise_nz,
                batch=BATCH,
                dataset_size=images,
                stratified=name == "stratified",
            )
        )
        for name in ("weighted", "stratified")
    }
    outcome = {
        "method": trained.config.method.name,
        "data": trained.config.data,
        "seed": trained.config.seed,
        "step": trained.step,
        "images": images,
        "images_seed": seed,
        **_as_numbers(whole.terms),
        "standard_errors": dict(
            zip(
                ("information", "total_correlation", "marginal_kl", "residual"),
                whole.errors.tolist(),
                strict=True,
            )
        ),
        "kl": information.kl_per_dimension(mean_nz, std_nz).tolist(),
        "marginal_kl_by_dimension": whole.terms.marginal_kl_z.tolist(),
        "information_by_dimension": whole.information_z.tolist(),
        "information_of_prefix": whole.prefix_information_z.tolist(),
        "batches": {"batch": BATCH, **by_batches},
    }
    if stages:
        outcome["stages"] = [_stage(end, table, index, noise_nz) for end in ends]
    with written_atomically(run.path / "information.json") as file:
        file.write(json.dumps(outcome, indent=2).encode())
    return outcome


def _decompose(
    codes: Codes, noise_nz: Float[Tensor, "n z"]
) -> tuple[Tensor, Tensor, information.Decomposition]:
    assert codes.std is not None
    mean_nz, std_nz = torch.from_numpy(codes.mean).double(), torch.from_numpy(codes.std).double()
    return mean_nz, std_nz, information.decompose(mean_nz, std_nz, noise_nz[None])


def _stage(end: Trained, table: ImageTable, index: np.ndarray, noise_nz: Tensor) -> dict[str, Any]:
    codes = encode(end, table, index=index, discrete=False)
    found = _decompose(codes, noise_nz)[2]
    return {
        "step": end.step,
        "open": open_dimensions(end.config.method, end.step),
        "total_correlation": found.terms.total_correlation,
        "information_by_dimension": found.information_z.tolist(),
        "information_of_prefix": found.prefix_information_z.tolist(),
    }


def _as_numbers(terms: information.Terms) -> dict[str, float]:
    return {
        "information": terms.information,
        "total_correlation": terms.total_correlation,
        "marginal_kl": terms.marginal_kl_z.sum().item(),
        "regulariser": terms.regulariser,
        "residual": terms.residual,
    }


def as_text(outcome: dict[str, Any]) -> str:
    """The terms as a table for the terminal."""
    images, errors, batches = outcome["images"], outcome["standard_errors"], outcome["batches"]
    lines = [
        f"{outcome['method']}, seed {outcome['seed']}, step {outcome['step']:,}; x uniform over"
        f" {images:,} images drawn by seed {outcome['images_seed']}, one z each; nats per image",
        f"{'':32}{'all posteriors':>22}{f'weighted, {BATCH}':>16}{f'stratified, {BATCH}':>16}",
    ]
    rows = {
        f"I(x;z), at most ln {images:,} = {np.log(images):.2f}": "information",
        "TC(z)": "total_correlation",
        "Σ KL(q(z_i) ‖ p(z_i))": "marginal_kl",
        "KL(q(z|x) ‖ p(z)), closed form": "regulariser",
        "sum of three less closed form": "residual",
    }
    for label, name in rows.items():
        error = f" ± {errors[name]:.3f}" if name in errors else " " * 8
        shares = "".join(f"{batches[kind][name]:16.3f}" for kind in ("weighted", "stratified"))
        lines.append(f"{label:32}{outcome[name]:14.3f}{error}{shares}")
    lines.append(f"{'':6}{'KL':>8}{'I(x;z_i)':>12}{'KL(q(z_i) ‖ p)':>18}{'I(x;z_1…i)':>14}")
    columns = ("kl", "information_by_dimension", "marginal_kl_by_dimension")
    table = zip(*[outcome[c] for c in columns], outcome["information_of_prefix"], strict=True)
    for i, (kl, own, marginal, prefix) in enumerate(table):
        lines.append(f"{f'z{i + 1}':6}{kl:8.3f}{own:12.3f}{marginal:18.3f}{prefix:14.3f}")
    return "\n".join(lines)


def open_dimensions(method: Method, step: int) -> str:
    """What is open in the stage that ended at a step: dimensions of the least β, and d."""
    betas = method.betas(step - 1)
    number = betas.count(min(betas))
    names = "z1" if number == 1 else f"z1 … z{number}"
    return f"{names}, d" if method.discrete_is_open(step - 1) else names
