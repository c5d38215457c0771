"""Records that training writes into a run directory."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class LogRecord(TypedDict):
    """A record of the training log: means since the record before, in nats per image.

    Methods report further terms beside these.
    """

    step: int
    loss: float
    reconstruction: float
    elbo: float
    kl: list[float]
    beta: list[float]


class SessionRecord(TypedDict):
    """A training session in provenance.json."""

    from_step: int
    started: str
    unbraid: str
    torch: str
    python: str
    machine: str
    device: str
    threads: int
    flush_denormal: NotRequired[bool]
    members: NotRequired[int]
    to_step: NotRequired[int]
    seconds: NotRequired[float]
