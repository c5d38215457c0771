"""Schedules as pure functions of the step."""

from __future__ import annotations


def cascade(
    num_active: int, dimensions: int, beta_low: float, beta_high: float
) -> tuple[float, ...]:
    """Return β of every dimension when the first dimensions are open.

    Parameters
    ----------
    num_active : int
        Number of open dimensions; more than `dimensions` means all.
    dimensions : int
        Number m of continuous dimensions.
    beta_low : float
        β_l, weight of the KL of an open dimension.
    beta_high : float
        β_h, weight of the KL of a closed dimension.

    Returns
    -------
    tuple of float
        β_l for the open dimensions, then β_h for the closed ones.

    References
    ----------
    Jeong and Song, "Learning Discrete and Continuous Factors of Data via Alternating
    Disentanglement", 2019, Algorithm 1.

    Examples
    --------
    >>> cascade(2, 3, beta_low=1.0, beta_high=10.0)
    (1.0, 1.0, 10.0)
    """
    num_active = min(num_active, dimensions)
    return (beta_low,) * num_active + (beta_high,) * (dimensions - num_active)


def num_active_dims_continuous(step: int, stage_steps: int) -> int:
    """Return the number of open dimensions of CascadeVAE-C: stage i opens dimension i + 1.

    Parameters
    ----------
    step : int
        Number of steps already done.
    stage_steps : int
        Steps per stage.

    Returns
    -------
    int
        Number of open dimensions, 1 or more.

    Examples
    --------
    >>> num_active_dims_continuous(step=25_000, stage_steps=20_000)
    2
    """
    return step // stage_steps + 1


def num_active_dims_joint(step: int, stage_steps: int, warmup_stages: int) -> int:
    """Return the number of open dimensions of CascadeVAE.

    Stages before `warmup_stages` open one dimension each. The stage that opens the discrete code
    opens no dimension; each later stage opens the next one.

    Parameters
    ----------
    step : int
        Number of steps already done.
    stage_steps : int
        Steps per stage.
    warmup_stages : int
        Number of stages before the discrete code opens.

    Returns
    -------
    int
        Number of open dimensions.

    Examples
    --------
    >>> [num_active_dims_joint(step, 10, warmup_stages=2) for step in (0, 10, 20, 30)]
    [1, 2, 2, 3]
    """
    stage = step // stage_steps
    return stage + 1 if stage < warmup_stages else stage


def capacity(step: int, steps: int, final: float) -> float:
    """Return a capacity that increases linearly from 0, then stays constant.

    Parameters
    ----------
    step : int
        Number of steps already done.
    steps : int
        Number of steps of the increase.
    final : float
        Capacity at the end of the increase, nats.

    Returns
    -------
    float
        Capacity in nats.

    Examples
    --------
    >>> capacity(step=50, steps=100, final=25.0)
    12.5
    """
    return final * min(step / steps, 1.0)


def geometric_decay(step: int, steps: int, first: float, last: float) -> float:
    """Return a value that decreases by a constant ratio per step, then stays constant.

    Parameters
    ----------
    step : int
        Number of steps already done.
    steps : int
        Number of steps of the decrease.
    first, last : float
        Values at the start and at the end of the decrease.

    Returns
    -------
    float
        Value at the step.

    Examples
    --------
    >>> geometric_decay(step=1, steps=2, first=100.0, last=1.0)
    10.0
    """
    return first * (last / first) ** min(step / steps, 1.0)
