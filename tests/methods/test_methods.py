"""Generic tests of every method in METHODS."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tests.methods.small_inputs import STEPS, losses, make, small_inputs, survey_bars
from torch import Tensor

from unbraid.cli import main
from unbraid.errors import ArgumentError, UserError
from unbraid.methods import METHODS, Method, find
from unbraid.methods.cascade_vae import CascadeVAE
from unbraid.methods.cascade_vae_c import CascadeVAEC


class Frozen:
    """Replacement of `Tensor.detach` that replays recorded values.

    The gradient of a loss with a straight-through estimator is that of the loss with its detached
    values held constant.
    """

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.position: int | None = None
        self.original = Tensor.detach

    def recording(self) -> None:
        self.values, self.position = [], None

    def replaying(self) -> None:
        self.position = 0

    def detach(self, tensor: Tensor) -> Tensor:
        if self.position is None:
            self.values.append(self.original(tensor).clone())
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
def test_gradients_agree_with_finite_differences(name: str, step: int, frozen: Frozen) -> None:
    method = make(name, l2=1e-2)
    parts, x, noise = small_inputs(method)
    generator = torch.Generator().manual_seed(1)
    for group, settings in method.groups().items():
        weights = [w for part in settings.parts for w in parts[part].parameters()]
        frozen.recording()
        loss = method.losses(parts, x, noise, step).minimise[group]
        gradients = torch.autograd.grad(loss, weights)
        direction = [torch.randn(w.shape, generator=generator).double() for w in weights]
        slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                for w, d in zip(weights, direction, strict=True):
                    w += sign * 1e-7 * d
                frozen.replaying()
                ends.append(method.losses(parts, x, noise, step).minimise[group].item())
                for w, d in zip(weights, direction, strict=True):
                    w -= sign * 1e-7 * d
        numeric = (ends[0] - ends[1]) / 2e-7
        assert abs(slope - numeric) < 1e-4 * max(1.0, abs(slope))


@pytest.mark.parametrize("name", METHODS)
def test_steps_have_equal_phases_exactly_if_their_objectives_are_equal(name: str) -> None:
    method = make(name)
    by_phase: dict[Any, list[list[float]]] = {}
    for step in range(16):
        result = losses(method, step)
        terms = [*result.minimise.values(), *result.report.values()]
        by_phase.setdefault(method.phase(step), []).append(torch.hstack(terms).tolist())
    assert all(terms == same[0] for same in by_phase.values() for terms in same)
    firsts = [same[0] for same in by_phase.values()]
    assert all(a != b for i, a in enumerate(firsts) for b in firsts[:i])


# Methods of this project, without a paper.
OURS = ("chart-vae",)


# Other values of fields for which `changed` gives an invalid value or no difference.
OTHER = {
    "capacity_discrete": 0.5,
    "charts": 20,
    "chart_images": 2,
    "gap": 40.0,
    "pair_penalty": 50.0,
    "pseudo_label_fraction": 0.5,
}


def changed(field: str, value: Any) -> Any:
    """Another value of a field, which must change a loss, the schedule or the optimiser."""
    if field in OTHER:
        return OTHER[field]
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else 2 * value or 1.0


def behaviour(method: Method) -> Iterator[Any]:
    """Optimiser, schedule and losses of 20 steps; the fastest to compute first."""
    yield method.groups()
    yield [method.resets_optimizer(s) for s in range(20)]
    yield [method.lr_factor(s) for s in range(20)]
    for step in range(20):
        result = losses(method, step)
        yield [v.item() for v in result.minimise.values()]
        yield [v.tolist() for v in result.report.values()]
    yield survey_bars(method)


@functools.cache
def default_behaviour(name: str) -> list[Any]:
    return list(behaviour(make(name)))


def differs(name: str, method: Method) -> bool:
    """Whether the method differs from the default one; stops at the first difference."""
    pairs = itertools.zip_longest(behaviour(method), default_behaviour(name))
    return any(actual != default for actual, default in pairs)


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field.name) for name, m in METHODS.items() for field in dataclasses.fields(m)],
)
def test_every_hyperparameter_changes_something(name: str, field: str) -> None:
    value = changed(field, getattr(make(name), field))
    assert differs(name, make(name, **{field: value}))


@pytest.mark.parametrize("name", METHODS)
def test_equal_hyperparameters_give_equal_behaviour(name: str) -> None:
    assert not differs(name, make(name))


@pytest.mark.parametrize("name", METHODS)
def test_presets_are_valid(name: str) -> None:
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


NOT_NEGATIVE = "must be at least 0"


@pytest.mark.parametrize(
    ("name", "field", "value", "rule"),
    [
        ("vae", "latent_dim", 0, "must be at least 1; set `latent_dim` to 1 or more"),
        ("vae", "learning_rate", 0.0, "must be greater than 0"),
        ("vae", "learning_rate", float("nan"), "must be finite"),
        ("vae", "l2", -1.0, NOT_NEGATIVE),
        ("beta-vae", "beta", -1.0, NOT_NEGATIVE),
        ("cascade-vae-c", "latent_dim", 1, "must be at least 2; set `latent_dim` to 2 or more"),
        ("cascade-vae", "latent_dim", 1, "must be at least 2"),
        ("cascade-vae", "categories", 1, "must be at least 2; set `categories` to 2 or more"),
        ("cascade-vae", "beta_low", 11.0, "must be at most beta_high=10.0"),
        ("cascade-vae", "beta_low", -0.1, NOT_NEGATIVE),
        ("cascade-vae", "stage_steps", 0, "must be at least 1"),
        ("cascade-vae", "warmup_stages", -1, NOT_NEGATIVE),
        ("cascade-vae", "pair_penalty", -1.0, NOT_NEGATIVE),
        ("chart-vae", "categories", 1, "must be at least 2"),
        ("chart-vae", "pair_penalty", -1.0, NOT_NEGATIVE),
        ("chart-vae", "beta_start", -1.0, NOT_NEGATIVE),
        ("chart-vae", "beta_end", 0.0, "must be greater than 0 and at most beta_start=200.0"),
        ("chart-vae", "beta_end", 201.0, "must be greater than 0 and at most beta_start=200.0"),
        ("chart-vae", "beta", -1.0, NOT_NEGATIVE),
        ("chart-vae", "beta_anneal_steps", 0, "must be at least 1"),
        ("chart-vae", "survey_step", 0, "must be at least 1"),
        ("chart-vae", "charts", 0, "must be at least 1"),
        ("chart-vae", "chart_images", 1, "must be at least 2"),
        ("chart-vae", "gap", 0.9, "must be at least 1"),
        ("chart-vae", "pseudo_label_fraction", 1.0, "must be at least 0 and less than 1"),
        ("chart-vae", "pseudo_label_fraction", -0.1, "must be at least 0 and less than 1"),
        ("chart-vae", "lr_factor_after_survey", 0.0, "must be greater than 0"),
        ("chart-vae", "lr_decay_end", 8, "must be greater than lr_decay_start=8"),
        ("annealed-vae", "gamma", -1.0, NOT_NEGATIVE),
        ("annealed-vae", "capacity", -1.0, NOT_NEGATIVE),
        ("annealed-vae", "capacity_steps", 0, "must be at least 1"),
        ("factor-vae", "gamma", -1.0, NOT_NEGATIVE),
        ("factor-vae", "discriminator_learning_rate", 0.0, "must be greater than 0"),
        ("factor-vae", "discriminator_hidden_dim", 0, "must be at least 1"),
        ("beta-tcvae", "alpha", -1.0, NOT_NEGATIVE),
        ("beta-tcvae", "beta", -1.0, NOT_NEGATIVE),
        ("beta-tcvae", "gamma", -1.0, NOT_NEGATIVE),
        ("beta-tcvae", "dataset_size", 1, "must be at least 2"),
        ("dip-vae-i", "lambda_diagonal", -1.0, NOT_NEGATIVE),
        ("dip-vae-ii", "lambda_off_diagonal", -1.0, NOT_NEGATIVE),
        ("joint-vae", "categories", 1, "must be at least 2"),
        ("joint-vae", "gamma", -1.0, NOT_NEGATIVE),
        ("joint-vae", "capacity", -1.0, NOT_NEGATIVE),
        ("joint-vae", "capacity_discrete", 1.2, "must be between 0 and ln K=1.0986 for K=3"),
        ("joint-vae", "capacity_discrete", -0.1, "must be between 0 and ln K=1.0986 for K=3"),
        ("joint-vae", "capacity_steps", 0, "must be at least 1"),
        ("joint-vae", "temperature", 0.0, "must be greater than 0"),
        ("qlae", "codebook_size", 1, "must be between 2 and 1000"),
        ("qlae", "codebook_size", 1001, "must be between 2 and 1000"),
        ("qlae", "quantization_weight", -1.0, NOT_NEGATIVE),
        ("qlae", "commitment_weight", -1.0, NOT_NEGATIVE),
        ("qlae", "weight_decay", -1.0, NOT_NEGATIVE),
    ],
)
def test_values_out_of_range_are_reported(name: str, field: str, value: float, rule: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        make(name, **{field: value})
    assert str(raised.value).startswith(f"{field}={value}: {rule}")
    assert raised.value.remedy.startswith(f"set `{field}` to ")


def test_an_unknown_method_is_reported() -> None:
    with pytest.raises(UserError, match="method 'gan': unknown"):
        find("gan")


def test_images_that_are_too_small_are_reported() -> None:
    with pytest.raises(ArgumentError, match="height and width must be between 16 and 256 pixels"):
        find("vae")().build((1, 8, 28))


def test_initial_weights_preserve_the_scale_of_their_inputs() -> None:
    """He initialisation: the activations of no layer vanish or explode."""
    torch.manual_seed(0)
    parts = find("vae")(latent_dim=10).build((1, 64, 64))
    x = torch.randn(16, 1, 64, 64)
    mean, std = parts["encoder"](x)
    logits = parts["decoder"](torch.randn(16, 10))
    for tensor in (mean, logits):
        assert 0.05 < tensor.std().item() < 5
    assert np.log(std.mean().item()) == pytest.approx(np.log(np.log(2)), abs=0.5)


def test_a_stage_begins_when_a_kl_weight_changes_or_d_opens() -> None:
    """Stages of 10 steps: the third opens d only; with three dimensions the fifth opens nothing."""
    cascade = CascadeVAE(latent_dim=3, stage_steps=10, warmup_stages=2)
    assert [s for s in range(90) if cascade.begins_stage(s)] == [10, 20, 30]
    without = CascadeVAEC(latent_dim=3, stage_steps=10)
    assert [s for s in range(90) if without.begins_stage(s)] == [10, 20]
    for name in ("vae", "annealed-vae", "joint-vae"):
        assert not any(METHODS[name]().begins_stage(s) for s in range(90))
