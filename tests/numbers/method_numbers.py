"""Losses of every method: ten steps of a short schedule, the defaults, and two whole runs.

Ten steps are those of the engine in fp32 with the noise, the batches and the initial weights of one
seed, on bars of 16 × 32 pixels. The weights are changed so that no number is lost in rounding: new
weights have a KL of about 1e-4 nats, a difference of numbers of order 1, which fp32 knows to three
digits only; and with biases of 0, empty patches are exactly at the kink of the ReLU.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.test_survey import METHOD, bars_as_a_dataset, place_codes
from torch import nn

from unbraid.data.images import ImageTable
from unbraid.engine import survey, train
from unbraid.engine.state import State
from unbraid.methods import METHODS, Method, find
from unbraid.methods.base import DatasetView
from unbraid.methods.cascade_vae import CascadeVAE
from unbraid.runs import Budget, Config, noise
from unbraid.runs.encode import Trained

STEPS, BATCH_SIZE, SEED = 10, 8, 3
# Factor of the weights of the posterior, and standard deviation of the biases.
GAIN, BIAS_STD = 10.0, 0.1
# Adam's first steps have the length of the learning rate whatever the gradient: where a gradient is
# rounding noise, two processors go in opposite directions. With 1e-5 this changes no fifth digit.
SHARED = {"latent_dim": 3, "learning_rate": 1e-5}
TC = {"dataset_size": 120, "alpha": 2.0, "beta": 6.0, "gamma": 0.5}
CASCADE = {"stage_steps": 3, "warmup_stages": 2, "pair_penalty": 0.5}
# Every kind of step within ten: a capacity during its increase and after it, dimensions that open
# at steps 3, 6 and 9, a discrete code that opens at step 6, a survey before step 4.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {}),
    "vae, l2": ("vae", {"l2": 1e-3}),
    "beta-vae": ("beta-vae", {"beta": 4.0}),
    "annealed-vae": ("annealed-vae", {"gamma": 10.0, "capacity": 8.0, "capacity_steps": 8}),
    "factor-vae": (
        "factor-vae",
        {"gamma": 35.0, "discriminator_hidden_dim": 32, "discriminator_learning_rate": 1e-5},
    ),
    "beta-tcvae": ("beta-tcvae", TC),
    "beta-tcvae, stratified": ("beta-tcvae", {**TC, "stratified": True}),
    "dip-vae-i": ("dip-vae-i", {}),
    "dip-vae-ii": ("dip-vae-ii", {}),
    "cascade-vae-c": ("cascade-vae-c", {"stage_steps": 3}),
    "cascade-vae-c, reset and slim": (
        "cascade-vae-c",
        {"stage_steps": 3, "restart_adam": True, "slim_init": True, "l2": 1e-3},
    ),
    "cascade-vae": ("cascade-vae", CASCADE),
    "cascade-vae, reset and slim": (
        "cascade-vae",
        {**CASCADE, "restart_adam": True, "slim_init": True, "l2": 1e-3},
    ),
    "chart-vae": (
        "chart-vae",
        {
            "beta_anneal_steps": 2,
            "survey_step": 4,
            "charts": 40,
            "chart_images": 30,
            "lr_decay_start": 6,
            "lr_decay_end": 9,
            "pair_penalty": 0.5,
        },
    ),
    "joint-vae": (
        "joint-vae",
        {"gamma": 10.0, "capacity": 8.0, "capacity_discrete": 1.1, "capacity_steps": 8},
    ),
    "qlae": ("qlae", {"codebook_size": 5}),
}

# Methods for whole runs: with a discrete code, a survey and charts.
RUNS = {
    "cascade-vae": CascadeVAE(latent_dim=3, stage_steps=3, warmup_stages=2, learning_rate=1e-3),
    "chart-vae": METHOD,
}


def method_of(case: str) -> Method:
    """Return the method of a case."""
    name, hyperparameters = CASES[case]
    return find(name)(**{**SHARED, **hyperparameters})


def ten_steps(method: Method, dtype: torch.dtype = torch.float32) -> dict[str, list[Any]]:
    """Train ten steps; return every reported term of every step, None where it is not reported.

    Parameters
    ----------
    method : Method
        The method.
    dtype : torch.dtype, default float32
        Type of weights and images; the noise is drawn in float32 and the same for every type.
    """
    table = bars_as_a_dataset()
    config = Config(method, "bars", Budget(STEPS, BATCH_SIZE), SEED, "fp32")
    state = State(config, table.shape, torch.device("cpu"))
    _change_weights(state.parts)
    state.parts.to(dtype)
    records = [_step(state, table, dtype) for _ in range(STEPS)]
    terms = sorted({term for record in records for term in record})
    return {term: [record.get(term) for record in records] for term in terms}


@torch.no_grad()
def _change_weights(parts: nn.ModuleDict) -> None:
    """Give every KL, covariance and total correlation a size of order 1, and every bias a value."""
    weight = parts.get_parameter("encoder.head.weight")
    weight.mul_(GAIN)
    # All means are correlated with the first.
    weight[1:3] += weight[0]
    generator = noise.generator(SEED, "biases", 0)
    for parameter in parts.parameters():
        if parameter.ndim == 1:
            parameter.copy_(BIAS_STD * torch.randn(parameter.shape, generator=generator))


def _step(state: State, table: ImageTable, dtype: torch.dtype) -> dict[str, Any]:
    method, step, parts = state.config.method, state.step, state.parts
    if method.needs_survey(step):
        trained = Trained(state.config, parts, step)
        generator = noise.generator(SEED, "survey", step)
        encode = functools.partial(place_codes, trained, table)
        report = method.survey(parts, DatasetView(table.images, encode, generator))
        assert report["num_pseudo_labels"] > 0
    index = noise.batch_indices(SEED, step, len(table), BATCH_SIZE * method.batches_per_step)
    index, extra = method.sample_batch(parts, index, noise.generator(SEED, "choose", step))
    state.advance(torch.from_numpy(table.images(index.numpy())).to(dtype), extra)
    return state.mean_losses()


def default_losses(name: str, table: ImageTable) -> list[float]:
    """Return the losses of three steps with the default hyperparameters on dSprites, in nats."""
    method = METHODS[name]()
    config = Config(method, "dsprites", Budget(3, 4), 0, "fp32")
    state = State(config, table.shape, torch.device("cpu"))
    values = []
    for step in range(3):
        index = noise.batch_indices(0, step, len(table), 4 * method.batches_per_step)
        state.advance(torch.from_numpy(table.images(index.numpy())).float())
        values.append(state.mean_losses()["loss"])
    return values


def last_record(name: str, precision: str, out: Path) -> dict[str, Any]:
    """Train a whole run; return the loss and the KL of every dimension in its last log record."""
    config = Config(RUNS[name], "bars", Budget(14, 8), 0, precision)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(survey, "encode", place_codes)
        run = train(config, bars_as_a_dataset(), out)
    record = run.read_log()[-1]
    return {"loss": record["loss"], "kl": record["kl"]}


def run_records() -> dict[str, dict[str, Any]]:
    """Return the last record of every run of `RUNS` in every precision."""
    records = {}
    for name in RUNS:
        for precision in ("fp32", "bf16"):
            with tempfile.TemporaryDirectory() as out:
                records[f"{name} {precision}"] = last_record(name, precision, Path(out) / "run")
    return records
