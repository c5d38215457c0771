"""Names of version 0.1, so that its runs and studies can still be read.

Configurations are written with current names, but their digests are computed from the names of
version 0.1, so that checkpoints and results remain valid when a hyperparameter is renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HYPERPARAMETERS = {"continuous": "latent_dim"}
# Per method, because a method defined elsewhere may use these names for something else.
METHOD_HYPERPARAMETERS = {
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
# Hyperparameters that version 0.1 did not have, and the values with which a method is as it was.
ADDED_HYPERPARAMETERS: dict[str, dict[str, Any]] = {
    "cascade-vae-c": {"slim_init": False},
    "cascade-vae": {"slim_init": False},
}
BUDGET = {"batch": "batch_size"}
# Keys of a study's TOML file and of its rows.
STUDY = {**BUDGET, "patience": "hang_timeout_minutes"}
# Terms of the log.
METHOD_TERMS = {
    "cascade-vae": {"pairwise": "pair_penalty"},
    "qlae": {"quantise": "quantization", "commit": "commitment"},
}
# Prefixes of tensors in a checkpoint.
TENSORS = {"parts.names.": "parts.pseudo_labels."}


def renamed(table: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Rename keys of a table.

    Parameters
    ----------
    table : mapping
        Any table.
    names : mapping
        New name by old name.

    Returns
    -------
    dict
        The table in the same order. Keys without a new name are unchanged.

    Examples
    --------
    >>> renamed({"batch": 64, "steps": 10}, BUDGET)
    {'batch_size': 64, 'steps': 10}
    """
    return {names.get(key, key): value for key, value in table.items()}


def current_config(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with current names.

    Parameters
    ----------
    table : mapping
        Contents of a config.toml that any version wrote.

    Returns
    -------
    dict
        The same configuration with current names.
    """
    return {
        **table,
        "budget": renamed(table["budget"], BUDGET),
        "hyperparameters": current_hyperparameters(table["method"], table["hyperparameters"]),
    }


def current_hyperparameters(method: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters of a method with current names.

    Parameters
    ----------
    method : str
        Name of the method.
    table : mapping
        Hyperparameters that any version wrote.

    Returns
    -------
    dict
        The same hyperparameters with current names.
    """
    return renamed(table, _hyperparameter_names(method))


def digested_config(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as version 0.1 would have written it, to compute digests from.

    A hyperparameter that version 0.1 did not have is left out if its value changes nothing.

    Parameters
    ----------
    table : mapping
        A configuration with current names.

    Returns
    -------
    dict
        The same configuration with the names of version 0.1.
    """
    names = _inverted(_hyperparameter_names(table["method"]))
    added = ADDED_HYPERPARAMETERS.get(table["method"], {})
    values = {
        name: value
        for name, value in table["hyperparameters"].items()
        if name not in added or value != added[name]
    }
    return {
        **table,
        "budget": renamed(table["budget"], _inverted(BUDGET)),
        "hyperparameters": renamed(values, names),
    }


def current_tensor(name: str) -> str:
    """Return the current name of a tensor in a checkpoint.

    Parameters
    ----------
    name : str
        Name that any version wrote.

    Returns
    -------
    str
        Current name.

    Examples
    --------
    >>> current_tensor("parts.names.item")
    'parts.pseudo_labels.item'
    """
    for old, new in TENSORS.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def current_term(method: str, name: str) -> str:
    """Return the current name of a term that a method reports to the log.

    Parameters
    ----------
    method : str
        Name of the method.
    name : str
        Name that any version wrote.

    Returns
    -------
    str
        Current name.

    Examples
    --------
    >>> current_term("cascade-vae", "pairwise")
    'pair_penalty'
    """
    return METHOD_TERMS.get(method, {}).get(name, name)


def _hyperparameter_names(method: str) -> dict[str, str]:
    return {**HYPERPARAMETERS, **METHOD_HYPERPARAMETERS.get(method, {})}


def _inverted(names: Mapping[str, str]) -> dict[str, str]:
    return {new: old for old, new in names.items()}
