"""Names that version 0.1 wrote, so that its runs and studies still open.

A configuration is written with today's names and digested with those of 0.1: renaming a
hyperparameter orphans no checkpoint and no result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HYPERPARAMETERS = {"continuous": "latent_dim"}
# Of one method only: a method defined elsewhere may use these names for something else.
OF_METHOD = {
    "factor-vae": {
        "discriminator_rate": "discriminator_learning_rate",
        "discriminator_width": "discriminator_hidden_dim",
    },
    "cascade-vae": {"pairwise": "pair_penalty"},
    "chart-vae": {
        "pairwise": "pair_penalty",
        "beta_first": "beta_start",
        "beta_last": "beta_end",
        "fall_steps": "beta_anneal_steps",
        "anew": "reinit_inactive",
        "given": "pseudo_label_fraction",
        "quicken": "lr_factor_after_survey",
        "cool_from": "lr_decay_start",
        "cool_to": "lr_decay_end",
    },
    "qlae": {
        "values": "codebook_size",
        "quantise": "quantization_weight",
        "commit": "commitment_weight",
    },
}
BUDGET = {"batch": "batch_size"}
# Keys of a study's TOML file and of its rows.
STUDY = {**BUDGET, "patience": "hang_timeout_minutes"}
# Prefixes of tensors in a checkpoint.
TENSORS = {"parts.names.": "parts.pseudo_labels."}


def renamed(table: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the table with each key of `names` replaced by its new name."""
    return {names.get(key, key): value for key, value in table.items()}


def current_config(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration's table with today's names, whichever version wrote it."""
    return {
        **table,
        "budget": renamed(table["budget"], BUDGET),
        "hyperparameters": current_hyperparameters(table["method"], table["hyperparameters"]),
    }


def current_hyperparameters(method: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's hyperparameters with today's names, whichever version wrote them."""
    return renamed(table, _of(method))


def digested_config(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration's table with the names that its digests are made of."""
    return {
        **table,
        "budget": renamed(table["budget"], _reversed(BUDGET)),
        "hyperparameters": renamed(table["hyperparameters"], _reversed(_of(table["method"]))),
    }


def current_tensor(name: str) -> str:
    """Return a checkpoint's tensor name as it is today."""
    for old, new in TENSORS.items():
        name = new + name.removeprefix(old) if name.startswith(old) else name
    return name


def _of(method: str) -> dict[str, str]:
    return {**HYPERPARAMETERS, **OF_METHOD.get(method, {})}


def _reversed(names: Mapping[str, str]) -> dict[str, str]:
    return {new: old for old, new in names.items()}
