"""Configuration of a run from a preset, the user's values and the run to resume."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from unbraid.data import canonical_name
from unbraid.errors import ArgumentError, UserError
from unbraid.methods import Method
from unbraid.runs.config import Budget, Config
from unbraid.runs.device import usable_device
from unbraid.runs.precision import resolve
from unbraid.runs.run import Run


def configure(
    method: type[Method],
    preset: str | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    resumed_run: Run | None = None,
    device: str = "cpu",
) -> Config:
    """Return a configuration: the given values, and defaults for all others.

    The defaults are the configuration of `resumed_run` if that run exists, else the preset.

    Parameters
    ----------
    method : type of Method
        Class of the method.
    preset : str, optional
        Name of one of the method's presets. By default the first, which has the values of the
        method's paper if it has one.
    hyperparameters : mapping, optional
        Hyperparameters of the method that differ from the defaults.
    overrides : mapping, optional
        Values of "data", "steps", "batch_size", "seed" and "precision" that differ from the
        defaults.
    resumed_run : Run, optional
        Run that is resumed if it exists.
    device : str, optional
        Device to train on, default "cpu". It decides what the precision "auto" means.

    Returns
    -------
    Config
        The configuration of the run.

    Raises
    ------
    UserError
        If the preset, a hyperparameter, the dataset or the device is unknown, a value is out of
        range, or `resumed_run` was trained with another method.

    Examples
    --------
    >>> from unbraid.methods import find
    >>> config = configure(find("beta-vae"), "quick", {"beta": 8.0}, {"seed": 3})
    >>> config.method.beta, config.seed, config.data
    (8.0, 3, 'dsprites')
    """
    hyperparameters, overrides = dict(hyperparameters or {}), dict(overrides or {})
    torch_device = usable_device(device)
    base = _base(method, preset, resumed_run)
    names = {field.name for field in dataclasses.fields(method)}
    for name in hyperparameters:
        if name not in names:
            raise UserError(
                f"hyperparameter {name!r}: unknown for {method.name}; use one of"
                f" {', '.join(sorted(names))}"
            )
    return Config(
        dataclasses.replace(base.method, **hyperparameters),
        canonical_name(overrides["data"]) if "data" in overrides else base.data,
        Budget(
            overrides.get("steps", base.budget.steps),
            overrides.get("batch_size", base.budget.batch_size),
        ),
        overrides.get("seed", base.seed),
        resolve(overrides.get("precision", base.precision), torch_device),
        base.fingerprint,
    )


def _base(method: type[Method], preset: str | None, resumed_run: Run | None) -> Config:
    preset = preset or next(iter(method.PRESETS))
    if preset not in method.PRESETS:
        raise ArgumentError(
            "preset",
            preset,
            f"unknown for {method.name}",
            f"set `preset` to one of {', '.join(method.PRESETS)}",
        )
    if resumed_run is None or not resumed_run.config_file.exists():
        values = method.PRESETS[preset]
        budget = Budget(values.steps, values.batch_size)
        return Config(method(**values.hyperparameters), "dsprites", budget, 0, "auto")
    config = resumed_run.read_config()
    if config.method.name != method.name:
        raise UserError(
            f"{resumed_run.path}: trained with {config.method.name}, not {method.name};"
            f" resume it with {config.method.name}, or set `out` to another folder"
        )
    return config
