"""Generic proof over the list of methods."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tests.methods.worlds import STEPS, losses, make, surveyed, world
from torch import Tensor

from unbraid.cli import main
from unbraid.errors import UserError
from unbraid.methods import METHODS, Method, find
from unbraid.methods.cascade_vae import CascadeVAE
from unbraid.methods.cascade_vae_c import CascadeVAEC


class Frozen:
    """What is detached keeps the value that it had while `recording`.

    A loss with a straight-through estimate has the gradient of that loss, not its own.
    """

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.position: int | None = None
        self.plain = Tensor.detach

    def recording(self) -> None:
        self.values, self.position = [], None

    def replaying(self) -> None:
        self.position = 0

    def detach(self, tensor: Tensor) -> Tensor:
        if self.position is None:
            self.values.append(self.plain(tensor).clone())
            return self.values[-1]
        self.position += 1
        return self.values[self.position - 1]


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Frozen:
    frozen = Frozen()
    monkeypatch.setattr(Tensor, "detach", lambda tensor: frozen.detach(tensor))
    return frozen


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", METHODS)
def test_gradients_are_those_of_finite_differences(name: str, step: int, frozen: Frozen) -> None:
    method = make(name, l2=1e-2)
    parts, x, noise = world(method)
    generator = torch.Generator().manual_seed(1)
    for group, settings in method.groups().items():
        weights = [w for part in settings.parts for w in parts[part].parameters()]
        frozen.recording()
        loss = method.losses(parts, x, noise, step).minimise[group]
        gradients = torch.autograd.grad(loss, weights)
        along = [torch.randn(w.shape, generator=generator).double() for w in weights]
        slope = sum(float((g * a).sum()) for g, a in zip(gradients, along, strict=True))
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                for w, a in zip(weights, along, strict=True):
                    w += sign * 1e-7 * a
                frozen.replaying()
                ends.append(method.losses(parts, x, noise, step).minimise[group].item())
                for w, a in zip(weights, along, strict=True):
                    w -= sign * 1e-7 * a
        numeric = (ends[0] - ends[1]) / 2e-7
        assert abs(slope - numeric) < 1e-4 * max(1.0, abs(slope))


@pytest.mark.parametrize("name", METHODS)
def test_steps_of_one_phase_have_one_objective(name: str) -> None:
    """And every schedule passes into another phase, unless it has but one."""
    method = make(name)
    by_phase: dict[Any, list[list[float]]] = {}
    for step in range(16):
        found = losses(method, step)
        terms = [*found.minimise.values(), *found.report.values()]
        by_phase.setdefault(method.phase(step), []).append(torch.hstack(terms).tolist())
    assert all(terms == same[0] for same in by_phase.values() for terms in same)
    firsts = [same[0] for same in by_phase.values()]
    assert all(a != b for i, a in enumerate(firsts) for b in firsts[:i])


# Methods that no paper describes.
OURS = ("chart-vae",)


# For every field another value that must change a loss, the schedule or the optimiser.
OTHER = {
    "latent_dim": 3,
    "learning_rate": 3e-4,
    "l2": 0.1,
    "beta": 7.0,
    "beta_low": 0.25,
    "beta_high": 20.0,
    "stage_steps": 4,
    "restart_adam": True,
    "categories": 5,
    "warmup_stages": 1,
    "pair_penalty": 50.0,
    "gamma": 7.0,
    "capacity": 5.0,
    "capacity_discrete": 0.5,
    "capacity_steps": 15,
    "temperature": 0.5,
    "discriminator_learning_rate": 3e-4,
    "discriminator_hidden_dim": 8,
    "alpha": 2.0,
    "stratified": True,
    "dataset_size": 1000,
    "lambda_off_diagonal": 3.0,
    "lambda_diagonal": 3.0,
    "codebook_size": 5,
    "quantization_weight": 1.0,
    "commitment_weight": 1.0,
    "weight_decay": 0.01,
    "beta_start": 100.0,
    "beta_end": 4.0,
    "beta_anneal_steps": 3,
    "survey_step": 9,
    "charts": 20,
    "chart_images": 2,
    "gap": 40.0,
    "reinit_inactive": False,
    "pseudo_label_fraction": 0.5,
    "lr_factor_after_survey": 2.0,
    "lr_decay_start": 10,
    "lr_decay_end": 12,
}


def behaviour(method: Method) -> Iterator[Any]:
    """The optimiser, the schedule and the losses of 20 steps, what is cheap first."""
    yield method.groups()
    yield [method.resets_optimizer(s) for s in range(20)]
    yield [method.lr_factor(s) for s in range(20)]
    for step in range(20):
        found = losses(method, step)
        yield [v.item() for v in found.minimise.values()]
        yield [v.tolist() for v in found.report.values()]
    yield surveyed(method)


@functools.cache
def plain_behaviour(name: str) -> list[Any]:
    return list(behaviour(make(name)))


def differs(name: str, method: Method) -> bool:
    """Whether it behaves unlike the plain one, told at the first difference."""
    pairs = itertools.zip_longest(behaviour(method), plain_behaviour(name))
    return any(own != plain for own, plain in pairs)


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field.name) for name, m in METHODS.items() for field in dataclasses.fields(m)],
)
def test_every_hyperparameter_changes_something(name: str, field: str) -> None:
    assert getattr(make(name), field) != OTHER[field]
    assert differs(name, make(name, **{field: OTHER[field]}))


@pytest.mark.parametrize("name", METHODS)
def test_nothing_changes_where_no_hyperparameter_does(name: str) -> None:
    assert not differs(name, make(name))


@pytest.mark.parametrize("name", METHODS)
def test_presets_are_valid_and_differ_from_none(name: str) -> None:
    method = find(name)
    assert "quick" in method.PRESETS
    assert "paper" in method.PRESETS or name in OURS
    assert next(iter(method.PRESETS)) == ("quick" if name in OURS else "paper")
    for preset in method.PRESETS.values():
        assert method(**preset.hyperparameters)
        assert preset.steps > 0
        assert preset.batch_size > 0
        assert preset.source


@pytest.mark.parametrize("name", METHODS)
def test_help_explains_every_hyperparameter(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", name, "--help"]) == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out).lower()
    for field in dataclasses.fields(find(name)):
        assert f"--{field.name.replace('_', '-')}" in text
        for fact in ("help", "unit", "paper"):
            assert re.sub(r"\s+", " ", field.metadata[fact]).lower() in text


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        ("vae", "latent_dim", 0, "latent_dim=0: a code needs a dimension; give --latent-dim 1"),
        ("vae", "learning_rate", 0.0, "a rate is positive"),
        ("vae", "learning_rate", float("nan"), "every hyperparameter is finite"),
        ("vae", "l2", -1.0, "not negative"),
        ("beta-vae", "beta", -1.0, "not negative"),
        ("cascade-vae-c", "latent_dim", 1, "m=1 leaves nothing to cascade; give --latent-dim 2"),
        ("cascade-vae", "latent_dim", 1, "m=1 leaves nothing to cascade"),
        ("cascade-vae", "categories", 1, "K=1 leaves nothing to choose; give --categories 2"),
        ("cascade-vae", "beta_low", 11.0, "no more than a closed one .beta_high=10.0."),
        ("cascade-vae", "beta_low", -0.1, "not negative"),
        ("cascade-vae", "stage_steps", 0, "a stage has steps"),
        ("cascade-vae", "warmup_stages", -1, "a count"),
        ("cascade-vae", "pair_penalty", -1.0, "must stay convex"),
        ("chart-vae", "categories", 1, "K=1 leaves nothing to choose; give --categories 2"),
        (
            "chart-vae",
            "pair_penalty",
            -1.0,
            "a weight is not negative; give --pair_penalty 0 or more",
        ),
        ("chart-vae", "beta_start", -1.0, "a weight is not negative; give --beta-start 0"),
        ("chart-vae", "beta_end", 0.0, "in equal ratios; give --beta-end more than 0"),
        ("chart-vae", "beta_end", 201.0, "β falls from beta_start=200.0 in equal ratios"),
        ("chart-vae", "beta", -1.0, "a weight is not negative; give --beta 0 or more"),
        (
            "chart-vae",
            "beta_anneal_steps",
            0,
            "a fall takes steps; give --beta-anneal-steps 1 or more",
        ),
        ("chart-vae", "survey_step", 0, "steps come before it; give --survey-step 1 or more"),
        ("chart-vae", "charts", 0, "a count; give --charts 1 or more"),
        ("chart-vae", "chart_images", 1, "a chart has images; give --chart-images 2 or more"),
        ("chart-vae", "gap", 0.9, "what is cut is longer than what is kept; give --gap 1"),
        (
            "chart-vae",
            "pseudo_label_fraction",
            1.0,
            "a share of a batch; give --pseudo-label-fraction 0 to below 1",
        ),
        ("chart-vae", "pseudo_label_fraction", -0.1, "a share of a batch"),
        (
            "chart-vae",
            "lr_factor_after_survey",
            0.0,
            "a rate is positive; give --lr_factor_after_survey more than 0",
        ),
        (
            "chart-vae",
            "lr_decay_end",
            8,
            "falls from lr_decay_start=8 on; give --lr-decay-end more than 8",
        ),
        ("annealed-vae", "gamma", -1.0, "gamma=-1.0: a weight is not negative; give --gamma 0"),
        ("annealed-vae", "capacity", -1.0, "a KL is not negative; give --capacity 0 or more"),
        ("annealed-vae", "capacity_steps", 0, "a rise takes steps; give --capacity-steps 1"),
        ("factor-vae", "gamma", -1.0, "gamma=-1.0: a weight is not negative; give --gamma 0"),
        ("factor-vae", "discriminator_learning_rate", 0.0, "a rate is positive"),
        ("factor-vae", "discriminator_hidden_dim", 0, "a layer has units"),
        ("beta-tcvae", "alpha", -1.0, "a weight is not negative; give --alpha 0 or more"),
        ("beta-tcvae", "beta", -1.0, "a weight is not negative; give --beta 0 or more"),
        ("beta-tcvae", "gamma", -1.0, "a weight is not negative; give --gamma 0 or more"),
        ("beta-tcvae", "dataset_size", 1, "dataset_size=1: a batch comes from it"),
        ("dip-vae-i", "lambda_diagonal", -1.0, "not negative; give --lambda-diagonal 0 or more"),
        ("dip-vae-ii", "lambda_off_diagonal", -1.0, "not negative"),
        ("joint-vae", "categories", 1, "K=1 leaves nothing to choose"),
        ("joint-vae", "gamma", -1.0, "a weight is not negative"),
        ("joint-vae", "capacity", -1.0, "a KL is not negative"),
        ("joint-vae", "capacity_discrete", 1.2, "holds 0 to ln K=1.0986; give --capacity-discrete"),
        ("joint-vae", "capacity_discrete", -0.1, "holds 0 to ln K"),
        ("joint-vae", "capacity_steps", 0, "a rise takes steps"),
        ("joint-vae", "temperature", 0.0, "temperature=0.0: it divides the logits; give --temp"),
        ("qlae", "codebook_size", 1, "codebook_size=1: a codebook of 2 to 1000 values fits"),
        ("qlae", "codebook_size", 1001, "codebook_size=1001: a codebook of 2 to 1000 values fits"),
        ("qlae", "quantization_weight", -1.0, "a weight is not negative"),
        ("qlae", "commitment_weight", -1.0, "a weight is not negative"),
        ("qlae", "weight_decay", -1.0, "a weight is not negative; give --weight-decay 0"),
    ],
)
def test_values_out_of_range_are_named(name: str, field: str, value: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(name, **{field: value})


def test_unknown_method_is_named() -> None:
    with pytest.raises(UserError, match="method 'gan': unknown; give one of vae"):
        find("gan")


def test_sixteen_must_divide_the_image() -> None:
    with pytest.raises(UserError, match="images of 8×28: the networks take sides of 16 to 256"):
        find("vae")().build((1, 8, 28))


def test_fresh_weights_keep_the_scale_of_their_input() -> None:
    """He's rule: no layer's activations vanish or explode at the start."""
    torch.manual_seed(0)
    parts = find("vae")(latent_dim=10).build((1, 64, 64))
    x = torch.randn(16, 1, 64, 64)
    mean, std = parts["encoder"](x)
    logits = parts["decoder"](torch.randn(16, 10))
    for tensor in (mean, logits):
        assert 0.05 < tensor.std().item() < 5
    assert np.log(std.mean().item()) == pytest.approx(np.log(np.log(2)), abs=0.5)


def test_a_stage_begins_where_a_weight_changes_or_d_opens() -> None:
    """Stages of 10: the third opens d alone; with three dimensions the fifth opens nothing."""
    cascade = CascadeVAE(latent_dim=3, stage_steps=10, warmup_stages=2)
    assert [s for s in range(90) if cascade.begins_stage(s)] == [10, 20, 30]
    without = CascadeVAEC(latent_dim=3, stage_steps=10)
    assert [s for s in range(90) if without.begins_stage(s)] == [10, 20]
    for name in ("vae", "annealed-vae", "joint-vae"):
        assert not any(METHODS[name]().begins_stage(s) for s in range(90))
