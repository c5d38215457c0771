"""Random numbers are counter-based: a batch depends on its own number, not on those before."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.strategies import CHEAP, methods

from unbraid.methods import Method
from unbraid.runs import Budget, Config, noise
from unbraid.runs.weights import initial_parts

SEEDS, STEPS = st.integers(0, 2**32 - 1), st.integers(0, 10**9)
STREAMS = st.sampled_from(["batch", "choose", "survey", "weights", "noise.z", "noise.d"])

# Seeds of PyTorch's generator; the weights, batches and noise of all runs depend on them.
COMMITTED = {
    (0, "batch", 0): 13197549661946631167,
    (0, "noise.z", 7): 15195641033520290697,
    (3, "weights", 0): 18195093482432711592,
    (2**32 - 1, "choose", 10**9): 2198593588949613231,
    (1, "survey", 3500): 18169377269905855022,
}


@pytest.mark.parametrize("key", COMMITTED)
def test_committed_streams_are_unchanged(key: tuple[int, str, int]) -> None:
    assert noise.generator(*key).initial_seed() == COMMITTED[key]


@CHEAP
@given(seed=SEEDS, steps=st.lists(STEPS, min_size=1, max_size=6), before=st.integers(0, 9))
def test_a_batch_is_independent_of_how_many_came_before(
    seed: int, steps: list[int], before: int
) -> None:
    """Batches in any order, with other draws between them, are those that each step has alone."""
    alone = {step: noise.batch_indices(seed, step, 1_000, 16) for step in set(steps)}
    for step in steps:
        torch.randn(before)
        np.random.default_rng(before).random(before)
        noise.normal(seed, step, {"z": (before, 2)})
        assert torch.equal(noise.batch_indices(seed, step, 1_000, 16), alone[step])


@CHEAP
@given(seed=SEEDS, step=STEPS, sizes=st.lists(st.integers(1, 64), min_size=2, max_size=5))
def test_every_name_of_noise_has_its_own_stream(seed: int, step: int, sizes: list[int]) -> None:
    """Another tensor beside it, before it or after it, changes nothing."""
    shapes: dict[str, tuple[int, ...]] = {f"n{i}": (size, 3) for i, size in enumerate(sizes)}
    together = noise.normal(seed, step, shapes)
    for name, shape in shapes.items():
        assert torch.equal(noise.normal(seed, step, {name: shape})[name], together[name])


@CHEAP
@given(first=st.tuples(SEEDS, STREAMS, STEPS), second=st.tuples(SEEDS, STREAMS, STEPS))
def test_streams_are_equal_only_if_seed_name_and_step_are(
    first: tuple[int, str, int], second: tuple[int, str, int]
) -> None:
    a, b = (torch.rand(8, generator=noise.generator(*key)) for key in (first, second))
    assert torch.equal(a, b) == (first == second)


@CHEAP
@given(seed=SEEDS, step=STEPS)
def test_neighbouring_seeds_and_steps_have_other_numbers(seed: int, step: int) -> None:
    """A seed is not another seed's next step, nor are seed and step exchanged."""
    here = noise.normal(seed, step, {"z": (8,)})["z"]
    others = {(seed + 1, step), (seed, step + 1), (seed + 1, step - 1), (step, seed)}
    for other_seed, other_step in others - {(seed, step)}:
        if 0 <= other_seed < 2**32 and other_step >= 0:
            assert not torch.equal(here, noise.normal(other_seed, other_step, {"z": (8,)})["z"])


@CHEAP
@given(seed=SEEDS, step=STEPS, items=st.integers(1, 2**40), batch=st.integers(1, 64))
def test_indices_are_items_of_the_dataset(seed: int, step: int, items: int, batch: int) -> None:
    index = noise.batch_indices(seed, step, items, batch)
    assert index.shape == (batch,)
    assert int(index.min()) >= 0
    assert int(index.max()) < items


@CHEAP
@given(method=methods(), images=st.integers(4, 64).map(lambda n: 2 * n), seed=SEEDS)
def test_methods_get_noise_of_their_shapes(method: Method, images: int, seed: int) -> None:
    shapes = method.noise_shapes(images)
    drawn = noise.normal(seed, 0, shapes)
    assert {name: tuple(t.shape) for name, t in drawn.items()} == shapes
    assert all(bool(t.isfinite().all()) for t in drawn.values())


@given(seed=SEEDS, before=st.integers(0, 99))
def test_initial_weights_depend_on_the_seed_alone(seed: int, before: int) -> None:
    """They neither depend on the state of PyTorch's generator nor change it."""
    from unbraid.methods.vae import VAE

    config = Config(VAE(latent_dim=2), "dsprites", Budget(1, 4), seed, "fp32")
    first = initial_parts(config, (1, 16, 16)).state_dict()
    torch.manual_seed(before)
    second = initial_parts(config, (1, 16, 16)).state_dict()
    drawn = torch.rand(4)
    torch.manual_seed(before)
    assert torch.equal(torch.rand(4), drawn)
    assert all(torch.equal(first[name], second[name]) for name in first)
