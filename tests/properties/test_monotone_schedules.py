"""Schedules are monotone, stay between their ends, and change where their definition says so."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.strategies import CHEAP, methods

from unbraid.methods import METHODS, schedules
from unbraid.methods.annealed_vae import AnnealedVAE
from unbraid.methods.cascade_vae import CascadeVAE
from unbraid.methods.cascade_vae_c import CascadeVAEC
from unbraid.methods.chart_vae import FINAL_LR_FACTOR, ChartVAE
from unbraid.methods.joint_vae import JointVAE

STEP, LENGTH = st.integers(0, 10**7), st.integers(1, 10**6)
STEPS = st.lists(STEP, min_size=2, max_size=12).map(sorted)


def never_rises(values: Sequence[float]) -> bool:
    """Whether no value exceeds the one before, up to the rounding of a power."""
    return all(after <= before * (1 + 1e-12) for before, after in itertools.pairwise(values))


@CHEAP
@given(steps=STEPS, length=LENGTH, final=st.floats(0.0, 1e3))
def test_a_capacity_never_falls_and_ends_at_its_final_value(
    steps: list[int], length: int, final: float
) -> None:
    values = [schedules.capacity(step, length, final) for step in steps]
    assert values == sorted(values)
    assert all(0.0 <= value <= final for value in values)
    assert schedules.capacity(0, length, final) == 0.0
    assert schedules.capacity(length, length, final) == final
    # Linear: after half of the steps, half of the value.
    assert schedules.capacity(length, 2 * length, final) == final / 2


@CHEAP
@given(steps=STEPS, length=LENGTH, first=st.floats(1.0, 1e3), ratio=st.floats(1e-4, 1.0))
def test_a_geometric_decay_never_rises(
    steps: list[int], length: int, first: float, ratio: float
) -> None:
    last = first * ratio
    values = [schedules.geometric_decay(step, length, first, last) for step in steps]
    assert never_rises(values)
    assert all(last * (1 - 1e-12) <= value <= first for value in values)
    assert schedules.geometric_decay(0, length, first, last) == first
    assert schedules.geometric_decay(length, length, first, last) == pytest.approx(last)
    # A constant ratio per step: half of the way is the geometric mean.
    middle = schedules.geometric_decay(length, 2 * length, first, last)
    assert middle**2 == pytest.approx(first * last)


@CHEAP
@given(stage=st.integers(0, 40), length=LENGTH, place=st.floats(0.0, 1.0, exclude_max=True))
def test_stage_i_of_a_cascade_opens_dimension_i_plus_1(
    stage: int, length: int, place: float
) -> None:
    """The last step of a stage and the first of the next differ: no stage is a step longer."""
    step = stage * length + int(place * length)
    assert schedules.num_active_dims_continuous(step, length) == stage + 1
    assert schedules.num_active_dims_continuous((stage + 1) * length - 1, length) == stage + 1
    assert schedules.num_active_dims_continuous((stage + 1) * length, length) == stage + 2


@CHEAP
@given(stage=st.integers(0, 40), length=LENGTH, warmup=st.integers(0, 20))
def test_the_stage_of_the_discrete_code_opens_no_dimension(
    stage: int, length: int, warmup: int
) -> None:
    open_dims = [
        schedules.num_active_dims_joint(stage * length + offset, length, warmup)
        for offset in (0, length - 1)
    ]
    expected = stage + 1 if stage < warmup else stage
    assert open_dims == [expected, expected]
    method = CascadeVAE(latent_dim=3, stage_steps=length, warmup_stages=warmup)
    assert method.discrete_is_open(stage * length) == (stage >= warmup)
    assert method.discrete_is_open((stage + 1) * length - 1) == (stage >= warmup)


@CHEAP
@given(method=methods(("cascade-vae-c", "cascade-vae")), steps=STEPS)
def test_a_cascade_opens_dimensions_in_order_and_closes_none(
    method: CascadeVAEC, steps: list[int]
) -> None:
    betas = [method.betas(step) for step in steps]
    for before, after in itertools.pairwise(betas):
        assert all(a >= b for a, b in zip(before, after, strict=True))
    for weights in betas:
        assert len(weights) == method.latent_dim
        assert list(weights) == sorted(weights)
        assert set(weights) <= {method.beta_low, method.beta_high}


@CHEAP
@given(method=methods(("annealed-vae", "joint-vae")), steps=STEPS)
def test_the_capacities_of_a_method_never_fall(method: Any, steps: list[int]) -> None:
    if isinstance(method, JointVAE):
        pairs = [method.capacities(step) for step in steps]
        for capacities in zip(*pairs, strict=True):
            assert list(capacities) == sorted(capacities)
    else:
        assert isinstance(method, AnnealedVAE)
        phases = [method.phase(step) for step in steps]
        assert phases == sorted(phases)
        assert phases[-1] <= method.capacity


@CHEAP
@given(method=methods(("chart-vae",)), steps=STEPS)
def test_the_schedule_of_chart_vae(method: ChartVAE, steps: list[int]) -> None:
    """β falls until the survey; the rate falls on each side of it, at last to a twentieth."""
    before = [step for step in steps if step < method.survey_step]
    after = [step for step in steps if step >= method.survey_step]
    assert never_rises([method.betas(step)[0] for step in before])
    assert {method.betas(step) for step in after} <= {(method.beta,) * method.latent_dim}
    for part in (before, after):
        assert never_rises([method.lr_factor(step) for step in part])
    last = max(method.lr_decay_end, method.survey_step)
    assert method.lr_factor(last) == pytest.approx(FINAL_LR_FACTOR * method.lr_factor_after_survey)


@pytest.mark.parametrize("name", METHODS)
@given(data=st.data(), step=st.integers(1, 10**6))
def test_steps_with_equal_phases_have_equal_weights(
    name: str, data: st.DataObject, step: int
) -> None:
    """A CUDA graph is shared by steps of one phase: whatever the loss reads must be in it."""
    method = data.draw(methods((name,)))
    other = data.draw(st.integers(0, 10**6))
    if method.phase(step) == method.phase(other):
        assert method.betas(step) == method.betas(other)
        assert method.discrete_is_open(step) == method.discrete_is_open(other)
    if method.resets_optimizer(step) and not method.needs_survey(step):
        assert method.begins_stage(step)
