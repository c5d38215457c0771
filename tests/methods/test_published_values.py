"""Presets are frozen, and defaults are the values of the paper that the help quotes."""

import dataclasses
import re

import pytest

from unbraid.methods import METHODS, find

# Adam's rate, then the other hyperparameters, steps and batch size, from the sources that
# docs/fidelity.md names. A name always stands for the same values.
FROZEN = {
    "vae/paper": "300000×64: latent_dim=10, learning_rate=0.0001, l2=0.0",
    "vae/quick": "10000×64: latent_dim=10, learning_rate=0.0005, l2=0.0",
    "beta-vae/paper": "300000×64: latent_dim=10, learning_rate=0.0001, l2=0.0, beta=4.0",
    "beta-vae/quick": "10000×64: latent_dim=10, learning_rate=0.0005, l2=0.0, beta=4.0",
    "annealed-vae/paper": (
        "300000×64: latent_dim=10, learning_rate=0.0005, l2=0.0, gamma=1000.0, capacity=25.0, "
        "capacity_steps=100000"
    ),
    "annealed-vae/quick": (
        "10000×64: latent_dim=10, learning_rate=0.0005, l2=0.0, gamma=30.0, capacity=25.0, "
        "capacity_steps=8000"
    ),
    "factor-vae/paper": (
        "300000×64: latent_dim=10, learning_rate=0.0001, l2=0.0, gamma=35.0, "
        "discriminator_learning_rate=0.0001, discriminator_hidden_dim=1000"
    ),
    "factor-vae/quick": (
        "10000×64: latent_dim=10, learning_rate=0.0005, l2=0.0, gamma=35.0, "
        "discriminator_learning_rate=0.0005, discriminator_hidden_dim=1000"
    ),
    "beta-tcvae/paper": (
        "18000×2048: latent_dim=10, learning_rate=0.001, l2=0.0, alpha=1.0, beta=6.0, gamma=1.0, "
        "stratified=False, dataset_size=737280"
    ),
    "beta-tcvae/quick": (
        "10000×64: latent_dim=10, learning_rate=0.0005, l2=0.0, alpha=1.0, beta=6.0, gamma=1.0, "
        "stratified=False, dataset_size=737280"
    ),
    "dip-vae-i/paper": (
        "300000×64: latent_dim=10, learning_rate=0.0001, l2=0.0, lambda_off_diagonal=10.0, "
        "lambda_diagonal=100.0"
    ),
    "dip-vae-i/quick": (
        "10000×64: latent_dim=10, learning_rate=0.0005, l2=0.0, lambda_off_diagonal=10.0, "
        "lambda_diagonal=100.0"
    ),
    "dip-vae-ii/paper": (
        "300000×64: latent_dim=10, learning_rate=0.0001, l2=0.0, lambda_off_diagonal=10.0, "
        "lambda_diagonal=10.0"
    ),
    "dip-vae-ii/quick": (
        "10000×64: latent_dim=10, learning_rate=0.0005, l2=0.0, lambda_off_diagonal=10.0, "
        "lambda_diagonal=10.0"
    ),
    "cascade-vae-c/paper": (
        "300000×64: latent_dim=10, learning_rate=0.0001, l2=4e-05, beta_low=1.0, beta_high=10.0, "
        "stage_steps=20000, restart_adam=True, slim_init=True"
    ),
    "cascade-vae-c/quick": (
        "10000×64: latent_dim=5, learning_rate=0.0005, l2=0.0, beta_low=1.0, beta_high=10.0, "
        "stage_steps=2000, restart_adam=False, slim_init=False"
    ),
    "cascade-vae/paper": (
        "300000×64: categories=3, latent_dim=6, learning_rate=0.0001, l2=4e-05, beta_low=1.0, "
        "beta_high=10.0, stage_steps=20000, restart_adam=True, slim_init=True, warmup_stages=4, "
        "pair_penalty=0.001"
    ),
    "cascade-vae/paper-tokui2022": (
        "300000×64: categories=3, latent_dim=6, learning_rate=0.0003, l2=0.0, beta_low=2.0, "
        "beta_high=10.0, stage_steps=20000, restart_adam=False, slim_init=False, "
        "warmup_stages=5, pair_penalty=0.001"
    ),
    "cascade-vae/quick": (
        "8500×64: categories=3, latent_dim=4, learning_rate=0.0007, l2=0.0, beta_low=2.0, "
        "beta_high=10.0, stage_steps=1500, restart_adam=False, slim_init=False, "
        "warmup_stages=4, pair_penalty=0.001"
    ),
    "chart-vae/quick": (
        "11500×64: categories=3, latent_dim=6, learning_rate=0.001, l2=0.0, pair_penalty=0.001, "
        "beta_start=200.0, beta_end=2.0, beta_anneal_steps=3000, survey_step=3500, charts=1600, "
        "chart_images=360, gap=1.1, reinit_inactive=True, beta=1.5, "
        "pseudo_label_fraction=0.6875, lr_factor_after_survey=1.5, lr_decay_start=8500, "
        "lr_decay_end=11500"
    ),
    "chart-vae/brief": (
        "5000×64: categories=3, latent_dim=6, learning_rate=0.001, l2=0.0, pair_penalty=0.001, "
        "beta_start=200.0, beta_end=2.0, beta_anneal_steps=2000, survey_step=2300, charts=1600, "
        "chart_images=360, gap=1.1, reinit_inactive=True, beta=1.5, "
        "pseudo_label_fraction=0.6875, lr_factor_after_survey=1.5, lr_decay_start=3700, "
        "lr_decay_end=5000"
    ),
    "joint-vae/paper": (
        "345600×64: categories=3, latent_dim=6, learning_rate=0.0005, l2=0.0, gamma=150.0, "
        "capacity=40.0, capacity_discrete=1.1, capacity_steps=300000, temperature=0.67"
    ),
    "joint-vae/quick": (
        "10000×64: categories=3, latent_dim=6, learning_rate=0.0005, l2=0.0, gamma=30.0, "
        "capacity=25.0, capacity_discrete=1.1, capacity_steps=8000, temperature=0.67"
    ),
    "qlae/paper": (
        "200000×128: latent_dim=10, learning_rate=0.001, l2=0.0, codebook_size=10, "
        "quantization_weight=4.096, commitment_weight=4.096, weight_decay=0.1"
    ),
    "qlae/quick": (
        "10000×64: latent_dim=10, learning_rate=0.001, l2=0.0, codebook_size=10, "
        "quantization_weight=4.096, commitment_weight=4.096, weight_decay=0.1"
    ),
}
# Defaults whose paper gives a range, another unit or a relation instead of one value.
NOT_A_NUMBER = {"lambda_off_diagonal", "lambda_diagonal", "quantization_weight"}
NOT_A_NUMBER |= {"commitment_weight"}


def resolved(preset: str) -> str:
    name, key = preset.split("/")
    values = METHODS[name].PRESETS[key]
    method = find(name)(**values.hyperparameters)
    fields = (f"{f.name}={getattr(method, f.name)!r}" for f in dataclasses.fields(method))
    return f"{values.steps}×{values.batch_size}: {', '.join(fields)}"


def test_every_preset_is_frozen() -> None:
    presets = {f"{name}/{key}" for name, method in METHODS.items() for key in method.PRESETS}
    assert presets == FROZEN.keys()


@pytest.mark.parametrize("preset", FROZEN)
def test_the_values_of_a_preset_do_not_change(preset: str) -> None:
    assert resolved(preset) == FROZEN[preset]


@pytest.mark.parametrize("name", METHODS)
def test_a_default_is_the_value_that_the_help_quotes_from_the_paper(name: str) -> None:
    for field in dataclasses.fields(METHODS[name]):
        quoted = re.match(r"[\d.]+(e-?\d+)?", field.metadata["paper"])
        if quoted and field.name not in NOT_A_NUMBER:
            assert field.default == float(quoted[0].rstrip(".")), field.name
