"""Protocols: named sets of the parameters of a metric, and how to find and print them.

A protocol is a frozen dataclass with a name. Two scores are comparable only under one protocol.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from unbraid.errors import ArgumentError


@runtime_checkable
class HasName(Protocol):
    """A record with a name."""

    @property
    def name(self) -> str:
        """Name of the record."""
        ...


P = TypeVar("P", bound=HasName)


def by_name(*protocols: P) -> dict[str, P]:
    """Return protocols by name.

    Parameters
    ----------
    *protocols : HasName
        Protocols of one metric.

    Returns
    -------
    dict of str to HasName
        The protocols, in the given order.
    """
    return {protocol.name: protocol for protocol in protocols}


def find(protocol: P | str, protocols: Mapping[str, P], metric: str) -> P:
    """Return a protocol of a metric by name.

    Parameters
    ----------
    protocol : HasName or str
        Name of a protocol; a protocol is returned as it is.
    protocols : mapping of str to HasName
        Protocols of the metric by name.
    metric : str
        Title of the metric, for the error message.

    Returns
    -------
    HasName
        The protocol.

    Raises
    ------
    ArgumentError
        If the metric has no such protocol.

    Examples
    --------
    >>> from unbraid.metrics import mig
    >>> find("do2020", mig.PROTOCOLS, mig.TITLE).bins
    100
    """
    names = ", ".join(protocols)
    if not isinstance(protocol, str):
        if isinstance(protocol, type(next(iter(protocols.values())))):
            return protocol
        raise ArgumentError(
            "protocol",
            protocol,
            f"must be a protocol of {metric}, not of another metric",
            f"set `protocol` to one of {names}",
        )
    if protocol not in protocols:
        raise ArgumentError(
            "protocol",
            protocol,
            f"{metric} has no such protocol",
            f"set `protocol` to one of {names}",
        )
    return protocols[protocol]


def format_fields(protocol: Any) -> str:
    """Format the fields of a protocol except its name.

    Parameters
    ----------
    protocol : dataclass instance
        A protocol.

    Returns
    -------
    str
        For example "images=64, votes=10000".
    """
    pairs = dataclasses.asdict(protocol).items()
    return ", ".join(f"{name}={value}" for name, value in pairs if name != "name")
