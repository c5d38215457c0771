"""The assignment of the discrete code against a min-cost flow and an exhaustive search."""

import itertools

import numpy as np
import pytest
import torch
from ortools.graph.python import min_cost_flow

from unbraid.methods.assignment import assign, assign_each, bounded, total


def min_cost_flow_total(cost_bk: np.ndarray, pair_penalty: int) -> int:
    """Reference in integers: each sample sends a unit to a category; the n-th costs λ′(n−1)."""
    b, k = cost_bk.shape
    source, sink = 0, 1 + b + k
    flow = min_cost_flow.SimpleMinCostFlow()
    for sample in range(b):
        flow.add_arc_with_capacity_and_unit_cost(source, 1 + sample, 1, 0)
        for category in range(k):
            cost = int(cost_bk[sample, category])
            flow.add_arc_with_capacity_and_unit_cost(1 + sample, 1 + b + category, 1, cost)
    for category in range(k):
        for n in range(b):
            flow.add_arc_with_capacity_and_unit_cost(1 + b + category, sink, 1, pair_penalty * n)
    flow.set_node_supply(source, b)
    flow.set_node_supply(sink, -b)
    assert flow.solve() == flow.OPTIMAL
    return flow.optimal_cost()


@pytest.mark.parametrize("block", range(20))
def test_agrees_with_min_cost_flow(block: int) -> None:
    """2,000 problems over the blocks: ties (few distinct costs), λ′ from 0 to dominant."""
    rng = np.random.default_rng(block)
    for number in range(100):
        b = int(rng.integers(1, 513 if number % 25 == 0 else 65))
        k = int(rng.integers(2, 21))
        cost = rng.integers(0, int(rng.choice([2, 5, 100, 100_000])), (b, k))
        pair_penalty = int(rng.choice([0, 1, 3, 50, 1_000, 1_000_000]))
        cost_bk = torch.from_numpy(cost).double()
        value = total(cost_bk, assign(cost_bk, float(pair_penalty)), float(pair_penalty))
        problem = (block, number, b, k, pair_penalty)
        assert int(value) == min_cost_flow_total(cost, pair_penalty), problem


def test_agrees_with_an_exhaustive_search() -> None:
    rng = np.random.default_rng(0)
    for pair_penalty in (0.0, 0.001, 0.3, 10.0):
        for _ in range(10):
            cost_bk = torch.from_numpy(rng.normal(size=(5, 3)))
            best = min(
                float(total(cost_bk, torch.tensor(d), pair_penalty))
                for d in itertools.product(range(3), repeat=5)
            )
            value = total(cost_bk, assign(cost_bk, pair_penalty), pair_penalty)
            assert abs(float(value) - best) < 1e-12


def test_total_of_a_small_example() -> None:
    cost_bk = torch.tensor([[1.0, 5.0], [2.0, 5.0], [4.0, 0.5]], dtype=torch.float64)
    # 1 + 2 + 0.5, and one pair in category 0.
    assert float(total(cost_bk, torch.tensor([0, 0, 1]), 0.25)) == 3.75


def test_limits_of_the_pair_penalty() -> None:
    cost_bk = torch.rand(60, 3, generator=torch.Generator().manual_seed(0))
    assert (assign(cost_bk, 0.0) == cost_bk.argmin(dim=1)).all()
    balanced = torch.bincount(assign(cost_bk, 1e6), minlength=3)
    assert balanced.tolist() == [20, 20, 20]
    assert assign(torch.tensor([[3.0, 1.0]]), 5.0).tolist() == [1]


def test_solving_many_problems_at_once_agrees_with_solving_each() -> None:
    rng = np.random.default_rng(1)
    cost_pbk = torch.from_numpy(rng.integers(0, 9, (7, 40, 5))).double()
    together = assign_each(cost_pbk, 0.4)
    for problem, category in zip(cost_pbk, together, strict=True):
        alone = assign(problem, 0.4)
        assert float(total(problem, category, 0.4)) == float(total(problem, alone, 0.4))


def test_vmap_solves_every_batch() -> None:
    cost_mbk = torch.rand(4, 30, 3, generator=torch.Generator().manual_seed(2)).double()
    together = torch.vmap(lambda cost_bk: assign(cost_bk, 0.2))(cost_mbk)
    assert torch.equal(together, assign_each(cost_mbk, 0.2))


def test_a_bounded_search_reports_whether_the_limit_sufficed() -> None:
    """All 60 samples prefer the first of three categories; 40 have to be moved."""
    cost_bk = torch.rand(60, 3, generator=torch.Generator().manual_seed(0)) + torch.arange(3)
    with bounded(39) as unsettled:
        assign(cost_bk, 1e6)
    assert [bool(u) for u in unsettled] == [True]
    with bounded(40) as unsettled:
        category = assign(cost_bk, 1e6)
    assert [bool(u) for u in unsettled] == [False]
    assert torch.equal(category, assign(cost_bk, 1e6))


def test_float32_costs_of_hundreds_of_nats() -> None:
    """As in training: λ′ of 0.001 must not be lost in the rounding of costs near 1,000."""
    cost_bk = torch.full((64, 2), 1000.0)
    assert torch.bincount(assign(cost_bk, 0.001)).tolist() == [32, 32]
