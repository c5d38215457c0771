"""Schedules: pure functions of the step."""

from __future__ import annotations


def cascade(
    num_active: int, dimensions: int, beta_low: float, beta_high: float
) -> tuple[float, ...]:
    """The cascade's β over z: β_l for the first `num_active` dimensions, β_h for the others.

    Jeong & Song 2019, Algorithm 1; `num_active` beyond `dimensions` means all.
    """
    num_active = min(num_active, dimensions)
    return (beta_low,) * num_active + (beta_high,) * (dimensions - num_active)


def num_active_dims_continuous(step: int, stage_steps: int) -> int:
    """How many dimensions are open at a step of CascadeVAE-C: stage i opens i + 1."""
    return step // stage_steps + 1


def num_active_dims_joint(step: int, stage_steps: int, warmup_stages: int) -> int:
    """How many dimensions are open at a step of CascadeVAE.

    Stages before `warmup_stages` open one dimension each; the stage that opens the discrete code
    opens no dimension; each later stage opens the next one.
    """
    stage = step // stage_steps
    return stage + 1 if stage < warmup_stages else stage


def capacity(step: int, steps: int, final: float) -> float:
    """A capacity that rises in a straight line from 0 to `final` over `steps`, and stays there."""
    return final * min(step / steps, 1.0)


def geometric_decay(step: int, steps: int, first: float, last: float) -> float:
    """From `first` to `last` in equal ratios over `steps`, and there it stays."""
    return first * (last / first) ** min(step / steps, 1.0)
