"""Configurations survive config.toml and JSON, whatever their values and the order of keys."""

import dataclasses
import json
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.strategies import CHEAP, configs, methods

from unbraid.methods import METHODS, Method
from unbraid.metrics import suite
from unbraid.runs import Budget, Config, Run, configure
from unbraid.studies.study import Job, Scoring

SCORING = Scoring(("factor-vae",), (suite.MetricSpec("factor-vae", "jeong2019"),), 4, 1_000)


def reordered(draw: Any, table: Any) -> Any:
    """Return a table with the keys of every level in another order."""
    if not isinstance(table, dict):
        return table
    keys = draw(st.permutations(sorted(table)))
    return {key: reordered(draw, table[key]) for key in keys}


@CHEAP
@given(config=configs())
def test_a_configuration_survives_config_toml(config: Config) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        run.write_config(config)
        read = run.read_config()
    assert read == config
    assert read.identity() == config.identity()


@CHEAP
@given(data=st.data(), config=configs())
def test_the_order_of_keys_changes_nothing(data: st.DataObject, config: Config) -> None:
    table = reordered(data.draw, config.as_table())
    assert Config.from_table(table) == config
    assert Config.from_table(tomllib.loads(tomli_w.dumps(table))).identity() == config.identity()


@CHEAP
@given(config=configs())
def test_a_job_survives_the_way_to_a_worker(config: Config) -> None:
    """A worker gets its job as JSON; the key must be that of the driver."""
    job = Job(dataclasses.replace(config, data="dsprites"), SCORING)
    received = Job.from_table(json.loads(json.dumps(job.as_table())))
    assert received == job
    assert (received.key, received.name) == (job.key, job.name)


@CHEAP
@given(method=methods(), seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 10**6))
def test_configure_keeps_every_given_value(method: Method, seed: int, steps: int) -> None:
    """All hyperparameters given, no value of the preset remains."""
    run = {"seed": seed, "steps": steps, "batch_size": 8, "precision": "fp32"}
    config = configure(type(method), None, dataclasses.asdict(method), run)
    assert config == Config(method, "dsprites", Budget(steps, 8), seed, "fp32")


@pytest.mark.parametrize("name", METHODS)
def test_every_hyperparameter_is_part_of_the_identity(name: str) -> None:
    """Two runs that differ in one hyperparameter must not be resumed as one, or share results."""
    default = Config(METHODS[name](), "dsprites", Budget(10, 8), 0, "fp32")
    configs = [default, *(dataclasses.replace(default, method=m) for m in neighbours(name))]
    assert len({config.identity() for config in configs}) == len(configs)
    assert len({Job(config, SCORING).key for config in configs}) == len(configs)


def neighbours(name: str) -> Iterator[Method]:
    """Yield methods that differ from the defaults in one hyperparameter each."""
    default = METHODS[name]()
    for field in dataclasses.fields(default):
        value = getattr(default, field.name)
        if isinstance(value, bool):
            other: Any = not value
        elif isinstance(value, int):
            other = value + 1
        else:
            # A capacity may not exceed ln K, which is its default.
            factor = 0.875 if field.name == "capacity_discrete" else 1.125
            other = factor * value or 0.125
        yield dataclasses.replace(default, **{field.name: other})
