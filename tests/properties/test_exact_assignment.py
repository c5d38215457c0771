"""The assignment of the discrete code against all assignments, and its symmetries."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.strategies import CHEAP
from torch import Tensor

from unbraid.methods.assignment import assign, assign_each, total

# Costs with many ties, costs far apart, and any others; in nats.
COSTS = st.one_of(
    st.sampled_from([0.0, 1.0]),
    st.integers(-3, 3).map(float),
    st.sampled_from([-1e4, 0.0, 1e-3, 1e4]),
    st.floats(-100.0, 100.0),
)
PENALTIES = st.one_of(st.sampled_from([0.0, 1e-3, 0.5, 1.0, 1e6]), st.floats(0.0, 50.0))


@st.composite
def problems(draw: st.DrawFn, max_images: int = 6) -> Tensor:
    """Costs of a few images and categories; equal rows, equal columns and constants among them."""
    b, k = draw(st.integers(1, max_images)), draw(st.integers(2, 4))
    element = draw(st.sampled_from([COSTS, st.just(draw(COSTS))]))
    rows = draw(st.lists(st.lists(element, min_size=k, max_size=k), min_size=b, max_size=b))
    cost_bk = torch.tensor(rows, dtype=torch.float64)
    if draw(st.booleans()):
        cost_bk[:, -1] = cost_bk[:, 0]
    if draw(st.booleans()):
        cost_bk[-1] = cost_bk[0]
    return cost_bk


def least(cost_bk: Tensor, pair_penalty: float) -> float:
    """Return the lowest total cost of all assignments, by enumeration."""
    b, k = cost_bk.shape
    every = itertools.product(range(k), repeat=b)
    return min(float(total(cost_bk, torch.tensor(d), pair_penalty)) for d in every)


def cost_of(cost_bk: Tensor, pair_penalty: float) -> float:
    """Return the total cost of the assignment."""
    return float(total(cost_bk, assign(cost_bk, pair_penalty), pair_penalty))


def close(value: float, cost_bk: Tensor, pair_penalty: float) -> Any:
    """Equal up to the rounding of a sum of the costs and penalties."""
    b = len(cost_bk)
    size = b * float(cost_bk.abs().max()) + pair_penalty * b * b
    return pytest.approx(value, abs=1e-11 * (1 + size))


@CHEAP
@given(cost_bk=problems(), pair_penalty=PENALTIES)
def test_no_assignment_is_cheaper(cost_bk: Tensor, pair_penalty: float) -> None:
    best = least(cost_bk, pair_penalty)
    assert cost_of(cost_bk, pair_penalty) == close(best, cost_bk, pair_penalty)


@CHEAP
@given(data=st.data(), cost_bk=problems(max_images=12), pair_penalty=PENALTIES)
def test_symmetries(data: st.DataObject, cost_bk: Tensor, pair_penalty: float) -> None:
    """The order of images and of categories is irrelevant; a constant per image shifts the cost."""
    b, k = cost_bk.shape
    value = cost_of(cost_bk, pair_penalty)
    images = torch.tensor(data.draw(st.permutations(range(b))))
    categories = torch.tensor(data.draw(st.permutations(range(k))))
    moved = cost_bk[images][:, categories]
    assert cost_of(moved, pair_penalty) == close(value, cost_bk, pair_penalty)
    shift_b = torch.tensor(data.draw(st.lists(st.integers(-9, 9), min_size=b, max_size=b)))
    shifted = cost_bk + shift_b[:, None]
    expected = value + float(shift_b.sum())
    assert cost_of(shifted, pair_penalty) == close(expected, shifted, pair_penalty)


@CHEAP
@given(data=st.data(), cost_bk=problems(max_images=12))
def test_a_higher_penalty_leaves_fewer_pairs_in_one_category(
    data: st.DataObject, cost_bk: Tensor
) -> None:
    """For optima at λ₁ < λ₂, (λ₂ − λ₁)(pairs₂ − pairs₁) ≤ 0; and no cost falls as λ′ rises."""
    low, high = sorted(data.draw(st.lists(PENALTIES, min_size=2, max_size=2)))
    cost = cost_of(cost_bk, high)
    assert cost >= cost_of(cost_bk, low) or cost == close(cost_of(cost_bk, low), cost_bk, high)
    # Between penalties that rounding cannot distinguish, ties leave a choice.
    if high - low > 1e-2:
        few, many = (float(total(0 * cost_bk, assign(cost_bk, p), 1.0)) for p in (high, low))
        assert few <= many


@CHEAP
@given(data=st.data(), pair_penalty=PENALTIES, p=st.integers(1, 4))
def test_batches_solved_at_once_are_each_optimal(
    data: st.DataObject, pair_penalty: float, p: int
) -> None:
    """One batch that needs many exchanges does not stop the search of another."""
    cost_pbk = torch.stack([data.draw(_of_shape(4, 3)) for _ in range(p)])
    together = assign_each(cost_pbk, pair_penalty)
    for cost_bk, category_b in zip(cost_pbk, together, strict=True):
        value = float(total(cost_bk, category_b, pair_penalty))
        assert value == close(least(cost_bk, pair_penalty), cost_bk, pair_penalty)


def _of_shape(b: int, k: int) -> st.SearchStrategy[Tensor]:
    row = st.lists(COSTS, min_size=k, max_size=k)
    rows = st.lists(row, min_size=b, max_size=b)
    return rows.map(lambda values: torch.tensor(values, dtype=torch.float64))
