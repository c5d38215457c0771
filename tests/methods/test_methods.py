"""Generic proof over the list of methods."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unbraid import latents
from unbraid.cli import main
from unbraid.errors import UserError
from unbraid.methods import METHODS, Losses, Method, find

SHAPE = (1, 16, 16)
STAGED = {"stage_steps": 3, "warmup_stages": 2, "continuous": 4}
# Steps in each stage of STAGED: before and after each opening, d closed and open.
STEPS = (0, 4, 7, 100)


def make(name: str, **hyperparameters: Any) -> Method:
    method = find(name)
    names = {f.name for f in dataclasses.fields(method)}
    chosen = {k: v for k, v in {**STAGED, **hyperparameters}.items() if k in names}
    return method(**chosen)


def world(method: Method, seed: int = 0) -> tuple[nn.ModuleDict, Tensor, dict[str, Tensor]]:
    """Parts, a batch and noise in double precision.

    Biases are random, as zero ones put every empty patch on the ReLU's kink, where no gradient is.
    """
    torch.manual_seed(seed)
    parts = method.build(SHAPE).double()
    for weight in parts.parameters():
        if weight.ndim == 1:
            nn.init.normal_(weight, std=0.1)
    x = (torch.rand(6, *SHAPE) < 0.3).double()
    noise = {n: torch.randn(s).double() for n, s in method.noise_shapes(6).items()}
    return parts, x, noise


def losses(method: Method, step: int, seed: int = 0) -> Losses:
    parts, x, noise = world(method, seed)
    return method.losses(parts, x, noise, step)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", METHODS)
def test_gradients_are_those_of_finite_differences(name: str, step: int) -> None:
    method = make(name, l2=1e-2)
    parts, x, noise = world(method)
    generator = torch.Generator().manual_seed(1)
    for group, settings in method.groups().items():
        weights = [w for part in settings.parts for w in parts[part].parameters()]
        loss = method.losses(parts, x, noise, step).minimise[group]
        gradients = torch.autograd.grad(loss, weights)
        along = [torch.randn(w.shape, generator=generator).double() for w in weights]
        slope = sum(float((g * a).sum()) for g, a in zip(gradients, along, strict=True))
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                for w, a in zip(weights, along, strict=True):
                    w += sign * 1e-7 * a
                ends.append(method.losses(parts, x, noise, step).minimise[group].item())
                for w, a in zip(weights, along, strict=True):
                    w -= sign * 1e-7 * a
        numeric = (ends[0] - ends[1]) / 2e-7
        assert abs(slope - numeric) < 1e-4 * max(1.0, abs(slope))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", METHODS)
def test_the_loss_is_what_its_equation_says(name: str, step: int) -> None:
    """−E[ln p] + Σ β_z KL_z + ½ l2 ‖w‖², from the parts by hand."""
    method = make(name, l2=1e-2)
    parts, x, noise = world(method)
    found = method.losses(parts, x, noise, step)
    mean, std = parts["encoder"](x)
    z = mean + std * noise["z"]
    kl = (0.5 * (mean**2 + std**2 - 1) - std.log()).mean(dim=0)
    if method.categories:
        opened = step >= STAGED["stage_steps"] * STAGED["warmup_stages"]
        candidates = (torch.eye(3) if opened else torch.zeros(1, 3)).double()
        reconstruction = torch.stack(
            [
                latents.bernoulli_nats(parts["decoder"](torch.cat([z, d.expand(6, 3)], 1)), x)
                for d in candidates
            ]
        )
        # λ′ is 0.001 nats: it can hold the best category back by no more than 0.005 a sample.
        reconstruction = reconstruction.min(dim=0).values.mean()
        slack = 0.005
    else:
        reconstruction = latents.bernoulli_nats(parts["decoder"](z), x).mean()
        slack = 1e-9
    l2 = sum((w**2).sum() for p in parts.values() for w in p.parameters() if w.ndim > 1)
    beta = torch.tensor(method.betas(step)).double()
    expected = reconstruction + (beta * kl).sum() + 1e-2 / 2 * l2
    assert -1e-9 <= (found.minimise["vae"] - expected).item() <= slack
    torch.testing.assert_close(found.report["kl"], kl)
    torch.testing.assert_close(
        found.report["elbo"], -(found.report["reconstruction"] + found.report["kl"].sum())
    )


# For every field another value that must change a loss, the schedule or the optimiser.
OTHER = {
    "continuous": 3,
    "learning_rate": 3e-4,
    "l2": 0.1,
    "beta": 7.0,
    "beta_low": 0.25,
    "beta_high": 20.0,
    "stage_steps": 4,
    "restart_adam": True,
    "categories": 5,
    "warmup_stages": 1,
    "pairwise": 50.0,
}


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field.name) for name, m in METHODS.items() for field in dataclasses.fields(m)],
)
def test_every_hyperparameter_changes_something(name: str, field: str) -> None:
    def behaviour(method: Method) -> list[Any]:
        seen: list[Any] = [method.groups(), [method.restarts(s) for s in range(20)]]
        for step in range(20):
            found = losses(method, step)
            seen += [v.item() for v in found.minimise.values()]
            seen += [v.tolist() for v in found.report.values()]
        return seen

    plain = make(name)
    assert getattr(plain, field) != OTHER[field]
    assert behaviour(plain) != behaviour(make(name, **{field: OTHER[field]}))


def test_beta_vae_at_1_is_the_vae() -> None:
    assert (
        losses(make("beta-vae", beta=1.0), 0).minimise["vae"]
        == (losses(make("vae"), 0).minimise["vae"])
    )


def test_a_finished_cascade_is_the_beta_vae_at_beta_low() -> None:
    cascade = losses(make("cascade-vae-c", beta_low=0.7), 100).minimise["vae"]
    assert cascade == losses(make("beta-vae", beta=0.7), 100).minimise["vae"]


def test_before_anything_opens_the_cascade_is_the_beta_vae_but_for_one_dimension() -> None:
    first = losses(make("cascade-vae-c", beta_low=1.0, beta_high=10.0), 0)
    closed = losses(make("beta-vae", beta=10.0), 0)
    difference = closed.minimise["vae"] - first.minimise["vae"]
    torch.testing.assert_close(difference, 9 * first.report["kl"][0])


def test_the_category_is_the_one_that_reconstructs_best() -> None:
    method = make("cascade-vae")
    parts, x, _ = world(method)
    with torch.no_grad():
        mean, _ = parts["encoder"](x)
        found = method.categorise(parts, x, mean)
        for image, category in enumerate(found):
            nats = []
            for k in range(3):
                p = method.decode(parts, mean[image : image + 1], torch.tensor([k]))
                nats.append(-torch.distributions.Bernoulli(p).log_prob(x[image]).sum())
            assert int(torch.stack(nats).argmin()) == int(category)


@pytest.mark.parametrize("name", METHODS)
def test_presets_are_valid_and_differ_from_none(name: str) -> None:
    method = find(name)
    assert {"paper", "quick"} <= method.PRESETS.keys()
    for preset in method.PRESETS.values():
        assert method(**preset.hyperparameters)
        assert preset.steps > 0
        assert preset.batch > 0
        assert preset.source


@pytest.mark.parametrize("name", METHODS)
def test_help_explains_every_hyperparameter(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["train", name, "--help"])
    assert stopped.value.code == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    for field in dataclasses.fields(find(name)):
        assert f"--{field.name.replace('_', '-')}" in text
        for fact in ("help", "unit", "paper"):
            assert re.sub(r"\s+", " ", field.metadata[fact]) in text


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        ("vae", "continuous", 0, "continuous=0: a code needs a dimension; give --continuous 1"),
        ("vae", "learning_rate", 0.0, "a rate is positive"),
        ("vae", "learning_rate", float("nan"), "every hyperparameter is finite"),
        ("vae", "l2", -1.0, "not negative"),
        ("beta-vae", "beta", -1.0, "not negative"),
        ("cascade-vae-c", "continuous", 1, "m=1 leaves nothing to cascade; give --continuous 2"),
        ("cascade-vae", "continuous", 1, "m=1 leaves nothing to cascade"),
        ("cascade-vae", "categories", 1, "K=1 leaves nothing to choose; give --categories 2"),
        ("cascade-vae", "beta_low", 11.0, "no more than a closed one .beta_high=10.0."),
        ("cascade-vae", "beta_low", -0.1, "not negative"),
        ("cascade-vae", "stage_steps", 0, "a stage has steps"),
        ("cascade-vae", "warmup_stages", -1, "a count"),
        ("cascade-vae", "pairwise", -1.0, "must stay convex"),
    ],
)
def test_values_out_of_range_are_named(name: str, field: str, value: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(name, **{field: value})


def test_unknown_method_is_named() -> None:
    with pytest.raises(UserError, match="method 'gan': unknown; give one of vae"):
        find("gan")


def test_sixteen_must_divide_the_image() -> None:
    with pytest.raises(UserError, match="images of 28×28: four halvings"):
        find("vae")().build((1, 28, 28))


def test_fresh_weights_keep_the_scale_of_their_input() -> None:
    """He's rule: no layer's activations vanish or explode at the start."""
    torch.manual_seed(0)
    parts = find("vae")(continuous=10).build((1, 64, 64))
    x = torch.randn(16, 1, 64, 64)
    mean, std = parts["encoder"](x)
    logits = parts["decoder"](torch.randn(16, 10))
    for tensor in (mean, logits):
        assert 0.05 < tensor.std().item() < 5
    assert np.log(std.mean().item()) == pytest.approx(np.log(np.log(2)), abs=0.5)
