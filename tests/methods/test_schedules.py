"""Schedules against the published ones."""

import pytest

from unbraid.methods import schedules
from unbraid.methods.cascade_vae import CascadeVAE
from unbraid.methods.cascade_vae_c import CascadeVAEC


@pytest.mark.parametrize(
    ("step", "num_open", "discrete"),
    [
        # Official code, stages of 20,000: four stages open 1–4 dimensions, the fifth opens d with
        # four dimensions still open, dimensions 5 and 6 open at 100k and 120k.
        (0, 1, False),
        (19_999, 1, False),
        (20_000, 2, False),
        (40_000, 3, False),
        (60_000, 4, False),
        (79_999, 4, False),
        (80_000, 4, True),
        (99_999, 4, True),
        (100_000, 5, True),
        (120_000, 6, True),
        (299_999, 6, True),
    ],
)
def test_cascade_vae_has_the_schedule_of_the_official_code(
    step: int, num_open: int, discrete: bool
) -> None:
    method = CascadeVAE(latent_dim=6, beta_low=1.0)
    assert method.betas(step) == (1.0,) * num_open + (10.0,) * (6 - num_open)
    assert method.discrete_is_open(step) is discrete


@pytest.mark.parametrize(("step", "num_open"), [(0, 1), (19_999, 1), (20_000, 2), (180_000, 10)])
def test_cascade_vae_c_opens_one_dimension_per_stage(step: int, num_open: int) -> None:
    method = CascadeVAEC(latent_dim=10, beta_low=0.7)
    assert method.betas(step) == (0.7,) * num_open + (10.0,) * (10 - num_open)


def test_the_cascade_opens_at_most_all_dimensions() -> None:
    assert schedules.cascade(9, 3, 1.0, 10.0) == (1.0, 1.0, 1.0)
    assert schedules.cascade(0, 3, 1.0, 10.0) == (10.0, 10.0, 10.0)


def test_adam_is_reset_only_when_a_dimension_opens() -> None:
    method = CascadeVAE(latent_dim=6, restart_adam=True)
    resets = [s for s in range(0, 200_001, 20_000) if method.resets_optimizer(s)]
    # Not at 0, and not at 80k, where only d opens.
    assert resets == [20_000, 40_000, 60_000, 100_000, 120_000]
    assert not any(method.resets_optimizer(s) for s in (1, 19_999, 20_001))
    assert not CascadeVAE(latent_dim=6).resets_optimizer(20_000)


@pytest.mark.parametrize(
    ("step", "nats"), [(0, 0.0), (1, 40 / 300_000), (150_000, 20.0), (300_000, 40.0), (10**6, 40.0)]
)
def test_a_capacity_increases_linearly_and_then_stays_constant(step: int, nats: float) -> None:
    assert schedules.capacity(step, 300_000, 40.0) == pytest.approx(nats)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 200.0), (1, 200.0 * 0.1**0.5), (2, 20.0), (3, 20.0 * 0.1**0.5)]
)
def test_a_geometric_decay_divides_by_the_same_factor_every_two_steps(
    step: int, expected: float
) -> None:
    assert schedules.geometric_decay(step, 4, 200.0, 2.0) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("step", [4, 5, 1_000])
def test_a_geometric_decay_stays_at_its_last_value(step: int) -> None:
    assert schedules.geometric_decay(step, 4, 200.0, 2.0) == pytest.approx(2.0, rel=1e-12)
