"""Standard errors are the std over repeats; intervals are Student's."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from tests.metrics.helpers import SCORED, errors, values

from unbraid.codes import Codes
from unbraid.metrics import METRICS, uncertainty

FEW = {"train": 800, "test": 400, "items": 1_000, "votes": 800, "held_out": 400, "rounds": 10}
# Repeats of these take seconds.
SLOW = [("probes", "locatello2019-trees"), ("modularity", "locatello2019")]
SLOW += [("modularity", "ridgeway2018"), ("infomec", "hsu2023")]
# The jackknife is not valid for a maximum; jeong2019 and lecture score the votes that they fit.
EXEMPT = {("irs", "suter2019"), ("factor-vae", "jeong2019"), ("factor-vae", "lecture")}


def smaller(protocol: Any) -> Any:
    """The protocol on few items, so that repeats are quick and vary."""
    names = {field.name for field in dataclasses.fields(protocol)}
    few = {k: v for k, v in FEW.items() if k in names and getattr(protocol, k)}
    return dataclasses.replace(protocol, **few)


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        pytest.param(*pair, marks=[pytest.mark.slow] if pair in SLOW else [])
        for pair in SCORED
        if pair not in EXEMPT
    ],
    ids=lambda v: v,
)
def test_the_standard_error_is_the_std_over_repeats(name: str, protocol: str) -> None:
    rng = np.random.default_rng(0)
    factors = rng.integers(0, (3, 4, 5), size=(60_000, 3))
    turn = np.array([[1.0, 0.3, 0.0], [0.0, 1.0, 0.2], [0.3, 0.0, 1.0]])
    mean = factors @ turn + rng.normal(size=factors.shape)
    codes = Codes(mean, np.full_like(mean, 0.3))
    record = smaller(METRICS[name].PROTOCOLS[protocol])
    slow = name == "sap" or "trees" in (protocol, getattr(record, "predictor", ""))
    repeats = 12 if slow else 30
    result = [
        METRICS[name].score(codes, factors, np.random.default_rng(seed), record)
        for seed in range(repeats)
    ]
    for key in values(result[0]):
        std = np.std([values(f)[key] for f in result], ddof=1)
        reported = np.mean([errors(f)[key] for f in result])
        # Batch means overestimate: a part of a fifth of the items fits worse than the whole.
        assert 0.5 < reported / std < 2.5, (key, reported, std)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    """With groups of one item, √((n − 1)/n Σ(…)²) is std/√n, exactly."""
    x = np.random.default_rng(0).normal(size=50)
    left_out = (x.sum() - x) / 49
    expected = x.std(ddof=1) / np.sqrt(50)
    assert uncertainty.jackknife(left_out) == pytest.approx(expected)


def test_batch_means_of_a_mean() -> None:
    x = np.random.default_rng(0).normal(size=10_000)
    rng = np.random.default_rng(1)
    error = uncertainty.batch_means_se(lambda a, b: [x[a].mean(), 1.0], 10_000, 0, 10, rng)
    # Ten parts: a relative error of 1/√18; the tolerance is three of these.
    assert error[0] == pytest.approx(0.01, rel=0.7)
    assert error[1] == 0.0
    assert uncertainty.batch_means_se(lambda a, b: [1.0], 3, 0, 10, rng).tolist() == [0.0]


def test_batches_are_disjoint_and_their_std_is_divided_by_the_root_of_their_number() -> None:
    """Scores 1 … 5 of five parts: std √2½ over √5."""
    parts = []

    def part(a: np.ndarray, b: np.ndarray) -> list[float]:
        parts.append((a, b))
        return [float(len(parts))]

    error = uncertainty.batch_means_se(part, 20, 15, 5, np.random.default_rng(0))
    assert error == pytest.approx(np.sqrt(2.5 / 5))
    for side, items in ((0, 20), (1, 15)):
        assert {len(pair[side]) for pair in parts} == {items // 5}
        order = np.concatenate([pair[side] for pair in parts]).tolist()
        assert sorted(order) == list(range(items))
        assert order != list(range(items))


def test_groups_are_of_equal_size_and_in_random_order() -> None:
    result = uncertainty.groups(1_000, 10, np.random.default_rng(0))
    assert np.bincount(result).tolist() == [100] * 10
    assert (result != np.arange(1_000) % 10).mean() > 0.8


def test_the_interval_of_two_repeats() -> None:
    """t of one degree of freedom is 12.706: ½ ± 12.706 · (0.1·√2/√2)/… = ½ ± 12.706·0.1."""
    mean, low, high = uncertainty.interval([0.4, 0.6])
    assert mean == pytest.approx(0.5)
    assert (low, high) == pytest.approx((0.5 - 1.2706, 0.5 + 1.2706), abs=1e-3)
    assert uncertainty.interval([0.4]) == (0.4, 0.4, 0.4)
