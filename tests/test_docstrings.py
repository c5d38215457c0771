"""Docstrings of the public API: every parameter and result is described, every example runs."""

import ast
import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from numpydoc.docscrape import NumpyDocString

import unbraid

# Rooms and modules that users import from; in all others a summary line is enough.
PUBLIC = ("errors", "codes", "entropy", "distributions", "information", "methods", "nets")
PUBLIC += ("metrics", "runs", "evaluation", "data", "engine.trainer", "engine.population")
PUBLIC += ("report.traversal", "report.cascade_figure", "report.compare", "report.stage_figure")
# What Python or the base class documents already.
INHERITED = ("forward", "__init__")


def modules() -> list[str]:
    """Names of the public modules."""
    found = [info.name for info in pkgutil.walk_packages(unbraid.__path__, "unbraid.")]
    rooms = tuple(f"unbraid.{name}" for name in PUBLIC)
    return sorted(n for n in found if n.startswith(rooms) and "._" not in n)


def members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Public functions, classes and methods that are defined in a module."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(thing):
            yield name, thing
            for own, member in vars(thing).items():
                function = getattr(member, "__func__", member)
                if not own.startswith("_") and inspect.isfunction(function):
                    yield f"{name}.{own}", function
        elif inspect.isfunction(thing):
            yield name, thing


def faults(name: str, thing: Any) -> list[str]:
    """What a docstring lacks."""
    own = name.rpartition(".")[2]
    doc = inspect.getdoc(thing)
    if not doc:
        return [f"{name}: no docstring"]
    if own in INHERITED or (inspect.isclass(thing) and not _own_init(thing)):
        return []
    sections = NumpyDocString(doc)
    described = {
        part.strip().lstrip("*")
        for field in ("Parameters", "Attributes", "Other Parameters")
        for parameter in sections[field]
        for part in parameter.name.split(",")
    }
    found = []
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return []
    wanted = [p for p in signature.parameters if p not in ("self", "cls") and p[:1] != "_"]
    missing = [p for p in wanted if p not in described]
    # Hyperparameters carry their help, unit, default and source in the field itself.
    if missing and not _is_method_class(thing):
        found.append(f"{name}: parameters {', '.join(missing)} are not described")
    returns = signature.return_annotation
    nothing = inspect.isclass(thing) or returns in (None, "None", inspect.Signature.empty)
    if not nothing and not sections["Returns"] and not sections["Yields"]:
        found.append(f"{name}: no Returns section")
    return found


def _own_init(thing: type) -> bool:
    # typing.Protocol gives its classes an __init__ of their own.
    if getattr(thing, "_is_protocol", False):
        return False
    return "__init__" in vars(thing) or hasattr(thing, "_fields")


def _is_method_class(thing: Any) -> bool:
    from unbraid.methods.base import Method

    return inspect.isclass(thing) and issubclass(thing, Method)


@pytest.mark.parametrize("name", modules())
def test_parameters_and_results_are_described(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    found = [fault for own, thing in members(module) for fault in faults(own, thing)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", modules())
def test_defaults_are_the_documented_ones(name: str) -> None:
    """For example, `steps : int, default 1000` documents the argument `steps: int = 1_000`."""
    for own, thing in members(importlib.import_module(name)):
        try:
            signature = inspect.signature(thing)
        except (TypeError, ValueError):
            continue
        sections = NumpyDocString(inspect.getdoc(thing) or "")
        for parameter in [*sections["Parameters"], *sections["Other Parameters"]]:
            _, found, documented = parameter.type.partition("default ")
            for argument in parameter.name.split(", "):
                if found and argument in signature.parameters:
                    default = signature.parameters[argument].default
                    assert _same(default, documented), f"{own}: {argument}"


def _same(default: Any, documented: str) -> bool:
    """Whether a docstring's text is a default: its literal, or that of an object with a name."""
    text = documented.strip("`")
    try:
        return bool(default == ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return True


@pytest.mark.parametrize("name", modules())
def test_examples_run(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert outcome.failed == 0
