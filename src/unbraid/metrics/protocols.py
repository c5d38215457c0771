"""HasName protocols: how one is found, and how it is shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from unbraid.errors import UserError


@runtime_checkable
class HasName(Protocol):
    """A record with a name."""

    @property
    def name(self) -> str: ...


P = TypeVar("P", bound=HasName)


def by_name(*protocols: P) -> dict[str, P]:
    """Protocols by their names."""
    return {p.name: p for p in protocols}


def find(protocol: P | str, protocols: Mapping[str, P], metric: str) -> P:
    """A protocol by its name; UserError if it is none of this metric's."""
    if not isinstance(protocol, str):
        if isinstance(protocol, type(next(iter(protocols.values())))):
            return protocol
        raise UserError(
            f"protocol {protocol!r}: a record of another metric than {metric}; give one of"
            f" {', '.join(protocols)}"
        )
    if protocol not in protocols:
        raise UserError(
            f"protocol {protocol!r}: unknown for {metric}; give one of {', '.join(protocols)}"
        )
    return protocols[protocol]


def fields(protocol: Any) -> str:
    """A protocol's fields but for its name, as `images=64, votes=10000`."""
    pairs = dataclasses.asdict(protocol).items()
    return ", ".join(f"{name}={value}" for name, value in pairs if name != "name")
