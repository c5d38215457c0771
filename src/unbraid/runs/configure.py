"""A run's configuration from a preset, what the user gave, and what the run already is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from unbraid.data import canonical
from unbraid.runs.device import usable_device
from unbraid.runs.precision import resolve
from unbraid.runs.run import Budget, Config, Run
from unbraid.errors import UserError
from unbraid.methods import Method


def configure(
    method: type[Method],
    preset: str | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
    *,
    continued: Run | None = None,
    device: str = "cpu",
) -> Config:
    """What was given, over the run that is `continued` if it exists, else over the preset.

    Without a preset it is the method's first: that of its paper, if it has one.
    `run` may hold data, steps, batch, seed and precision. UserError for an unknown preset,
    hyperparameter, dataset or device, or a value out of its range.
    """
    hyperparameters, run = dict(hyperparameters or {}), dict(run or {})
    where = usable_device(device)
    preset = preset or next(iter(method.PRESETS))
    if preset not in method.PRESETS:
        raise UserError(
            f"preset {preset!r}: unknown for {method.name}; give one of {', '.join(method.PRESETS)}"
        )
    names = {field.name for field in dataclasses.fields(method)}
    for name in hyperparameters:
        if name not in names:
            raise UserError(
                f"hyperparameter {name!r}: unknown for {method.name}; give one of"
                f" {', '.join(sorted(names))}"
            )
    if continued is not None and continued.config_file.exists():
        base = continued.read_config()
        if base.method.name != method.name:
            raise UserError(
                f"{continued.path}: it was trained with {base.method.name}, not {method.name};"
                f" continue with {base.method.name}, or give another --out"
            )
    else:
        chosen = method.PRESETS[preset]
        base = Config(
            method(**chosen.hyperparameters),
            "dsprites",
            Budget(chosen.steps, chosen.batch_size),
            0,
            "auto",
        )
    budget = Budget(run.get("steps", base.budget.steps), run.get("batch_size", base.budget.batch_size))
    return Config(
        dataclasses.replace(base.method, **hyperparameters),
        canonical(run["data"]) if "data" in run else base.data,
        budget,
        run.get("seed", base.seed),
        resolve(run.get("precision", base.precision), where),
        base.fingerprint,
    )
