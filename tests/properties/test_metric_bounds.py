"""Bounds of every metric, its values for perfect and constant codes, and its fall under noise."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.metrics.helpers import SCORED, narrow_codes, values
from tests.properties.strategies import CHEAP, Scored, grid, scored
from tests.properties.test_metric_invariances import quick, score

from unbraid.codes import Codes
from unbraid.metrics import METRICS, classification, udr

all_protocols = pytest.mark.parametrize(("name", "protocol"), SCORED)
sizes_of_grid = st.lists(st.integers(2, 4), min_size=2, max_size=3)
# Parts that are not between 0 and 1: nats, a distance, and an AUC of 2·AUC − 1.
UNBOUNDED = {"gaussian_tc", "gaussian_wasserstein", "mutual_information"}
LEAST = {("modularity", "ridgeway2018", "explicitness"): -1.0}


@all_protocols
@given(item=scored(items=100))
def test_scores_are_between_0_and_1(name: str, protocol: str, item: Scored) -> None:
    for part, value in values(score(name, protocol, item)).items():
        assert value >= LEAST.get((name, protocol, part), 0.0) - 1e-9, part
        assert part in UNBOUNDED or value <= 1 + 1e-9, part


@all_protocols
@given(data=st.data(), sizes=sizes_of_grid)
def test_a_perfect_code_scores_1_in_any_form(
    name: str, protocol: str, data: st.DataObject, sizes: list[int]
) -> None:
    """One dimension per factor: in any order, with any sign, scale and (increasing) values."""
    factors = grid(sizes, 300)
    order = data.draw(st.permutations(range(len(sizes))))
    sign = np.array([data.draw(st.sampled_from([-1.0, 1.0])) for _ in sizes])
    scale = np.array([data.draw(st.floats(1.0, 2.0)) for _ in sizes])
    # Centred, because the bins of `do2020` end at ±4.
    mean = (factors - factors.mean(axis=0)) * sign * scale
    item = Scored(narrow_codes(mean[:, order]), factors)
    result = values(score(name, protocol, item))
    if name == "unsupervised":
        # The dimensions of a grid are independent.
        assert result == pytest.approx(dict.fromkeys(result, 0.0), abs=1e-9)
        return
    if (name, protocol) == ("sap", "locatello2019") and max(sizes) > 2:
        # A linear classifier of one number cannot separate a middle value.
        return
    if name == "infomec":
        # The penalty of the classifier keeps it from being certain.
        assert result.pop("explicitness") > 0.75
    tolerance = {"sap": 0.2}.get(name, 1e-3)
    if protocol == "eastwood2018":
        # The lasso shrinks a weight of 1 by its penalty of 0.02.
        assert result["informativeness"] == pytest.approx(0.98, abs=0.005)
        del result["informativeness"]
    if name == "sap":
        # The second best dimension is at chance: ½ of two balanced values, up to the split.
        wanted = 1.0 if protocol == "kumar2018" else 0.5
        assert result["score"] == pytest.approx(wanted, abs=tolerance)
        return
    assert result == pytest.approx(dict.fromkeys(result, 1.0), abs=tolerance)


@all_protocols
@given(sizes=sizes_of_grid, place=st.floats(-2.0, 2.0))
def test_a_constant_code_scores_0_or_chance(
    name: str, protocol: str, sizes: list[int], place: float
) -> None:
    factors = grid(sizes, 300)
    item = Scored(narrow_codes(np.full(factors.shape, place)), factors)
    raw = score(name, protocol, item)
    result = values(raw)
    if name == "beta-vae":
        # One class is predicted for every vote; a classifier of F factors is at 1/F.
        assert result["score"] == pytest.approx(1 / len(sizes), abs=0.2)
    elif name == "probes":
        # The most frequent value of the training items is predicted.
        assert raw["chance"] - 0.15 <= result["score"] <= raw["chance"] + 1e-9
    else:
        expected = dict.fromkeys(result, 0.0)
        if (name, protocol) == ("modularity", "locatello2019"):
            expected["explicitness"] = 0.5
        if (name, protocol) == ("dci", "locatello2019"):
            shares = [1 / size for size in sizes]
            expected["informativeness"] = float(np.mean(shares))
        tolerance = 0.1 if name == "dci" else 1e-9
        assert result == pytest.approx(expected, abs=tolerance)
        assert result.get("disentanglement", 0.0) == result.get("completeness", 0.0) == 0.0


# Standard deviations of the noise that is added to a perfect code of unit steps.
LADDER = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
SEEDS = 4
# Scores that do not fall: of noise, modularity is that of the largest sampling error.
NOT_FALLING = {
    ("modularity", "modularity"): "sampling errors of I(d; f) are concentrated by chance",
    ("infomec", "modularity"): "as modularity: the estimate of noise is 0 for some factors",
    ("infomec", "compactness"): "as modularity",
    ("dci", "disentanglement"): "the small importances of noise are concentrated by chance",
    ("dci", "completeness"): "as disentanglement",
}


@all_protocols
def test_scores_fall_as_noise_grows(name: str, protocol: str) -> None:
    """Means over four codes never rise by more than 0.03, and fall by a third in all."""
    factors = grid([3, 4, 2], 480)
    means: dict[str, list[float]] = {}
    for level in LADDER:
        results = [values(score(name, protocol, _noisy(factors, level, s))) for s in range(SEEDS)]
        for part in results[0]:
            means.setdefault(part, []).append(float(np.mean([r[part] for r in results])))
    for part, ladder in means.items():
        if part in UNBOUNDED:
            continue
        first = 1 if (name, protocol) == ("sap", "locatello2019") else 0
        if (name, part) in NOT_FALLING:
            # They fall until little information is left.
            ladder = ladder[:4]
        assert max(np.diff(ladder[first:])) <= 0.03, (part, ladder)
        assert ladder[-1] < ladder[first] - (0.05 if (name, part) in NOT_FALLING else 0.3), (
            part,
            ladder,
        )


def _noisy(factors: np.ndarray, level: float, seed: int) -> Scored:
    noise = np.random.default_rng(seed).normal(size=factors.shape)
    mean = factors + level * noise
    # A unit variance, so that no threshold and no fixed range matters.
    return Scored(narrow_codes((mean - mean.mean(axis=0)) / mean.std(axis=0)), factors)


@st.composite
def populations(draw: st.DrawFn) -> list[Codes]:
    """Three members of one population, of the same items."""
    first = draw(scored(discrete=False, items=200))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    members = [first.codes]
    for _ in range(2):
        z = draw(st.integers(1, 4))
        mean = first.codes.mean @ rng.normal(size=(first.codes.mean.shape[1], z))
        members.append(narrow_codes(mean + rng.normal(size=mean.shape)))
    return members


@pytest.mark.parametrize("protocol", udr.PROTOCOLS)
@given(data=st.data(), members=populations())
def test_udr_does_not_depend_on_the_form_of_a_member(
    protocol: str, data: st.DataObject, members: list[Codes]
) -> None:
    """Order, sign and scale of the dimensions, a constant one, and the order of the items."""
    first = udr.score(members, np.random.default_rng(0), protocol)
    assert 0.0 <= first["score"] <= 1.0
    changed = [_another_form(data, member) for member in members]
    order = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(len(changed[0].mean))
    changed = [member.subset(order) for member in changed]
    assert udr.score(changed, np.random.default_rng(0), protocol) == pytest.approx(first, abs=1e-6)


@given(members=populations())
def test_udr_by_rank_correlation_does_not_depend_on_the_order_of_members(
    members: list[Codes],
) -> None:
    """The protocol of the lasso regresses the dimensions of one member on those of a later one."""
    first = udr.score(members, np.random.default_rng(0), "duan2020")
    reverse = udr.score(members[::-1], np.random.default_rng(0), "duan2020")
    assert [reverse[f"member_{i}"] for i in (2, 1, 0)] == pytest.approx(
        [first[f"member_{i}"] for i in range(3)]
    )


def _another_form(data: st.DataObject, codes: Codes) -> Codes:
    assert codes.std is not None
    z = codes.mean.shape[1]
    order = list(data.draw(st.permutations(range(z))))
    signs = data.draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=z, max_size=z))
    scales = data.draw(st.lists(st.floats(0.5, 2.0), min_size=z, max_size=z))
    mean = (codes.mean * signs * scales)[:, order]
    std = (codes.std * scales)[:, order]
    return Codes(np.insert(mean, 0, 0.0, axis=1), np.insert(std, 0, 1.0, axis=1))


@pytest.mark.parametrize("protocol", udr.PROTOCOLS)
def test_udr_falls_as_members_differ_more(protocol: str) -> None:
    """A member and its mirrored copy agree exactly; members of nothing but noise do not."""
    factors = grid([3, 4, 2], 480)
    means: list[float] = []
    for level in LADDER:
        results: list[float] = []
        for s in range(SEEDS):
            members = [_noisy(factors, level, 2 * s + i).codes for i in range(2)]
            results.append(udr.score(members, np.random.default_rng(0), protocol)["score"])
        means.append(float(np.mean(results)))
    assert means[0] == pytest.approx(1.0 if protocol == "duan2020" else 0.9, abs=1e-6)
    assert max(np.diff(means)) <= 0.03, means
    assert means[-1] < 0.5 * means[0]


@CHEAP
@given(data=st.data(), k=st.integers(2, 5), classes=st.integers(2, 5), n=st.integers(2, 60))
def test_classification_depends_only_on_the_table_of_counts(
    data: st.DataObject, k: int, classes: int, n: int
) -> None:
    """Categories and classes may be renamed, and the items be in any order."""
    lists = [st.lists(st.integers(0, m - 1), min_size=n, max_size=n) for m in (k, classes)]
    category, label = (np.array(data.draw(numbers)) for numbers in lists)
    first = _classification(category, label, k)
    names = np.array(data.draw(st.permutations(range(k))))
    titles = np.array(data.draw(st.permutations(range(-7, classes - 7))))
    order = np.array(data.draw(st.permutations(range(n))))
    second = _classification(names[category][order], titles[label][order], k)
    assert second == pytest.approx(first, abs=1e-12)
    assert all(0.0 <= value <= 1.0 for value in first.values())
    assert first["one_to_one"] <= first["majority"]
    # No matching beats every permutation of categories: an exhaustive search.
    assert first["one_to_one"] == pytest.approx(_best_matching(category, label, k, classes))


@CHEAP
@given(data=st.data(), k=st.integers(2, 6), n=st.integers(1, 9))
def test_classification_of_a_perfect_and_a_constant_category(
    data: st.DataObject, k: int, n: int
) -> None:
    label = np.repeat(np.arange(k), n)
    names = np.array(data.draw(st.permutations(range(k))))
    perfect = _classification(names[label], label, k)
    assert perfect == pytest.approx(dict.fromkeys(perfect, 1.0))
    constant = _classification(np.zeros_like(label), label, k)
    assert constant == {"one_to_one": 1 / k, "majority": 1 / k, "nmi": 0.0}


def _classification(category: np.ndarray, label: np.ndarray, k: int) -> dict[str, float]:
    codes = Codes(np.zeros((len(category), 1)), category=category, categories=k)
    result = classification.score(codes, label)
    return {name: result[name] for name in classification.PROTOCOLS}


def _best_matching(
    category: Sequence[int] | np.ndarray, label: np.ndarray, k: int, classes: int
) -> float:
    width = max(k, classes)
    counts = np.zeros((width, width))
    np.add.at(counts, (np.asarray(category), label), 1)
    matchings = itertools.permutations(range(width))
    return max(counts[np.arange(width), list(m)].sum() for m in matchings) / len(label)


def test_the_protocols_with_fewer_votes_differ_in_nothing_else() -> None:
    """`quick` changes the number of votes only; otherwise these tests would prove little."""
    for name, protocol in SCORED:
        record, fewer = METRICS[name].PROTOCOLS[protocol], quick(name, protocol)
        differing = {f for f in vars(record) if getattr(record, f) != getattr(fewer, f)}
        assert differing <= {"votes", "held_out"}
