"""Registries list their entries without importing them."""

import subprocess
import sys

import pytest

from unbraid.data import DATASETS, PUBLISHED
from unbraid.methods import METHODS
from unbraid.metrics import METRICS
from unbraid.registry import LazyRegistry


def test_the_packages_of_the_registries_import_nothing_heavy() -> None:
    code = (
        "import sys, unbraid.data, unbraid.methods, unbraid.metrics\n"
        "names = [*unbraid.methods.METHODS, *unbraid.data.DATASETS, *unbraid.metrics.METRICS]\n"
        "assert 'vae' in names and 'dsprites' in names and 'mig' in names\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"torch", "numpy", "scipy", "PIL", "tqdm", "jaxtyping"} & {*loaded.stdout.split()}


def test_an_entry_has_the_name_that_it_is_registered_under() -> None:
    assert {name: method.name for name, method in METHODS.items()} == {m: m for m in METHODS}
    assert {name: info.name for name, info in PUBLISHED.items()} == {p: p for p in PUBLISHED}
    assert {name: module.__name__ for name, module in METRICS.items()} == {
        name: f"unbraid.metrics.{name.replace('-', '_')}" for name in METRICS
    }
    assert all(callable(load) for load in DATASETS.values())


def test_summaries_begin_with_the_title() -> None:
    for name, method in METHODS.items():
        assert METHODS.summary(name).startswith(f"{method.title}: ")
    for name in DATASETS:
        assert DATASETS.summary(name)


def test_a_registry_is_a_mapping_that_can_be_changed() -> None:
    registry = LazyRegistry({"sqrt": ("math:sqrt", "Square root"), "pi": "math:pi"})
    before = dict(registry)
    registry["sqrt"] = len
    assert registry["sqrt"] is len
    assert registry.summary("sqrt") == "Return the number of items in a container."
    del registry["pi"]
    assert list(registry) == ["sqrt"]
    with pytest.raises(KeyError):
        registry["pi"]
    registry.clear()
    registry.update(before)
    assert registry == before
