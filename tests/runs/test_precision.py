"""Denormal numbers are rounded to zero while a run trains, in every thread, and only then."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unbraid.data.images import ImageTable
from unbraid.engine import train
from unbraid.engine.state import State
from unbraid.methods import Losses
from unbraid.methods.vae import VAE
from unbraid.runs import Budget, Config
from unbraid.runs.precision import flushed_denormals, flushes_denormals


@pytest.fixture
def two_threads() -> Iterator[None]:
    """PyTorch with two threads that exist already."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.ones(1_000_000).mul(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_every_thread_flushes_inside_the_block_and_none_after_it() -> None:
    tiny = torch.full((1_000_000,), 1e-40)
    assert not flushes_denormals()
    with flushed_denormals():
        assert flushes_denormals()
        assert not (tiny * 1.0).view(torch.int32).any()
        with flushed_denormals():
            pass
        assert flushes_denormals()
    assert not flushes_denormals()
    assert (tiny * 1.0).view(torch.int32).all()


@dataclass(frozen=True)
class ObservedVAE(VAE):
    """VAE that reports whether denormals are rounded to zero."""

    def losses(
        self, parts: nn.ModuleDict, x: Tensor, noise: Mapping[str, Tensor], step: int
    ) -> Losses:
        losses = super().losses(parts, x, noise, step)
        losses.report["flushes"] = torch.tensor(float(flushes_denormals()))
        return losses


@pytest.mark.usefixtures("two_threads")
def test_training_flushes_and_records_it(table: ImageTable, tmp_path: Path) -> None:
    budget = Budget(2, 4)
    run = train(Config(ObservedVAE(latent_dim=2), "dsprites", budget, 0, "fp32"), table, tmp_path)
    assert dict(run.read_log()[-1])["flushes"] == 1.0
    assert [session.get("flush_denormal") for session in run.read_provenance()] == [True]
    assert not flushes_denormals()


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-30), ("bf16", 1e-8)])
def test_denormal_moments_of_adam_do_not_change_the_weights(
    table: ImageTable, precision: str, tolerance: float
) -> None:
    """They add at most lr · 1e-41 / 1e-8 to a weight, which only shows where the weight is 0.

    In bfloat16 such a difference may change how an activation is rounded.
    """
    weights = []
    for context in (contextlib.nullcontext(), flushed_denormals()):
        config = Config(VAE(latent_dim=2), "dsprites", Budget(8, 4), 0, precision)
        state = State(config, table.shape, torch.device("cpu"))
        x = torch.from_numpy(table.images(np.arange(4))).float()
        state.advance(x)
        for moments in state.optimisers["vae"].state.values():
            for name in ("exp_avg", "exp_avg_sq"):
                moments[name].view(-1)[::2] = 1e-41
        with context:
            for _ in range(3):
                state.advance(x)
        weights.append(state.parts.state_dict())
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=tolerance)
