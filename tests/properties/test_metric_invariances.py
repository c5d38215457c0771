"""Invariances of every metric: exact, or the derived change, or a counterexample.

A score does not depend on the order of dimensions or factors, on signs, on the names of values, or
on a dimension without information, unless its definition says so. `EXCEPT` lists these metrics, and
every exception has a test of its own. Only the number of votes and of boosting rounds is smaller
than in the protocols, and standard errors are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.metrics.helpers import SCORED, narrow_codes, values
from tests.properties.strategies import Scored, grid, scored

from unbraid.codes import Codes
from unbraid.metrics import METRICS

Change = Callable[[st.DataObject, Scored], Scored]

# Largest difference by rounding. Logistic regressions are fitted in float32 up to a gradient of
# 1e-5, so that an item near a boundary may change its class. Trees choose among splits of equal
# gain in random order, and a few of 70 test items may change their class.
ROUNDING = {
    "beta-vae/locatello2019": 0.01,
    "sap/locatello2019": 1e-9,
    "dci/eastwood2018": 1e-6,
    "dci/locatello2019": 0.08,
    "modularity/ridgeway2018": 2e-3,
    "modularity/locatello2019": 2e-3,
    "infomec/hsu2023": 2e-3,
    "probes/locatello2019-logistic": 0.02,
    "probes/locatello2019-trees": 0.08,
}
VOTES = "draws its votes by the position of a value, so that only their distribution is the same"
NUMBER = "regresses on the factor's numbers"
SPLIT = "splits the items by their position"
# Change, then metric and protocol: why the score changes.
EXCEPT: dict[str, dict[str, str]] = {
    "scaled": {
        "mig/do2020": "bins range from −4 to 4, on the scale of the prior",
        "infomec/hsu2023": "a dimension is active if its range is an eighth of the widest",
    },
    "values renamed": {
        **dict.fromkeys(["factor-vae", "beta-vae"], VOTES),
        **dict.fromkeys(["sap/kumar2018", "dci/eastwood2018"], NUMBER),
    },
    "factors permuted": dict.fromkeys(["factor-vae", "beta-vae"], VOTES),
    "constant dimension": {
        "dci": "completeness is normalised by the number of dimensions",
        "modularity/locatello2019": "a dimension without information counts as 0",
        "unsupervised": "pairwise information is a mean over all pairs of dimensions",
        "sap/locatello2019": "the accuracy of a constant prediction may be the second best",
    },
    "items permuted": dict.fromkeys(
        ["factor-vae", "beta-vae", "sap/locatello2019", "dci", "modularity", "probes"], SPLIT
    ),
}


def quick(name: str, protocol: str) -> Any:
    """Return a protocol with fewer votes."""
    record = METRICS[name].PROTOCOLS[protocol]
    fewer = {"votes": 300, "held_out": min(getattr(record, "held_out", 0), 200)}
    names = {field.name for field in dataclasses.fields(record)}
    return dataclasses.replace(record, **{k: v for k, v in fewer.items() if k in names})


def score(name: str, protocol: str, item: Scored) -> dict[str, float]:
    """Compute a metric with the same draws for every code."""
    rng = np.random.default_rng(0)
    record = quick(name, protocol)
    return METRICS[name].score(item.codes, item.factors, rng, record)


def columns(codes: Codes, index: Any) -> Codes:
    """Return codes with some dimensions, in the order of an index."""
    assert codes.std is not None
    return dataclasses.replace(codes, mean=codes.mean[:, index], std=codes.std[:, index])


def dimensions_permuted(data: st.DataObject, item: Scored) -> Scored:
    order = data.draw(st.permutations(range(item.codes.mean.shape[1])))
    return item._replace(codes=columns(item.codes, list(order)))


def scaled(data: st.DataObject, item: Scored) -> Scored:
    """Scale every dimension by ½ to 2, and shift it."""
    assert item.codes.std is not None
    z = item.codes.mean.shape[1]
    scale = np.array(data.draw(st.lists(st.floats(0.5, 2.0), min_size=z, max_size=z)))
    shift = np.array(data.draw(st.lists(st.floats(-1.0, 1.0), min_size=z, max_size=z)))
    mean, std = item.codes.mean * scale + shift, item.codes.std * scale
    return item._replace(codes=dataclasses.replace(item.codes, mean=mean, std=std))


def signs_flipped(data: st.DataObject, item: Scored) -> Scored:
    z = item.codes.mean.shape[1]
    sign = np.array(data.draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=z, max_size=z)))
    return item._replace(codes=dataclasses.replace(item.codes, mean=item.codes.mean * sign))


def values_moved(data: st.DataObject, item: Scored) -> Scored:
    """Replace every value v of a factor by a v + b, a > 0: other numbers in the same order."""
    f = item.factors.shape[1]
    a = np.array(data.draw(st.lists(st.integers(1, 9), min_size=f, max_size=f)))
    b = np.array(data.draw(st.lists(st.integers(-50, 50), min_size=f, max_size=f)))
    return item._replace(factors=item.factors * a + b)


def values_renamed(data: st.DataObject, item: Scored) -> Scored:
    """Give the values of every factor other numbers, in another order."""
    renamed = item.factors.copy()
    for f, column in enumerate(item.factors.T):
        names = data.draw(st.permutations(range(int(column.max()) + 1)))
        renamed[:, f] = np.array(names)[column] * 3 - 1
    return item._replace(factors=renamed)


def factors_permuted(data: st.DataObject, item: Scored) -> Scored:
    order = data.draw(st.permutations(range(item.factors.shape[1])))
    return item._replace(factors=item.factors[:, list(order)])


def constant_factor(data: st.DataObject, item: Scored) -> Scored:
    place = data.draw(st.integers(0, item.factors.shape[1]))
    return item._replace(factors=np.insert(item.factors, place, 7, axis=1))


def constant_dimension(data: st.DataObject, item: Scored) -> Scored:
    """Insert a collapsed dimension: the prior for every image."""
    assert item.codes.std is not None
    place = data.draw(st.integers(0, item.codes.mean.shape[1]))
    mean = np.insert(item.codes.mean, place, 0.0, axis=1)
    std = np.insert(item.codes.std, place, 1.0, axis=1)
    return item._replace(codes=dataclasses.replace(item.codes, mean=mean, std=std))


def categories_renamed(data: st.DataObject, item: Scored) -> Scored:
    category, k = item.codes.category, item.codes.categories
    if category is None:
        return item
    names = np.array(data.draw(st.permutations(range(k))))
    return item._replace(codes=dataclasses.replace(item.codes, category=names[category]))


def items_permuted(data: st.DataObject, item: Scored) -> Scored:
    seed = data.draw(st.integers(0, 2**32 - 1))
    order = np.random.default_rng(seed).permutation(len(item.factors))
    return Scored(item.codes.subset(order), item.factors[order])


CHANGES: dict[str, Change] = {
    "dimensions permuted": dimensions_permuted,
    "scaled": scaled,
    "signs flipped": signs_flipped,
    "values moved": values_moved,
    "values renamed": values_renamed,
    "factors permuted": factors_permuted,
    "constant factor": constant_factor,
    "constant dimension": constant_dimension,
    "categories renamed": categories_renamed,
    "items permuted": items_permuted,
}


def is_exception(change: str, name: str, protocol: str) -> bool:
    """Whether a metric or one of its protocols is an exception."""
    return bool({name, f"{name}/{protocol}"} & EXCEPT.get(change, {}).keys())


INVARIANT = [
    (change, name, protocol)
    for change in CHANGES
    for name, protocol in SCORED
    if not is_exception(change, name, protocol)
]


@pytest.mark.parametrize(("change", "name", "protocol"), INVARIANT)
@given(data=st.data(), item=scored(items=200))
def test_invariance(
    change: str, name: str, protocol: str, data: st.DataObject, item: Scored
) -> None:
    first = values(score(name, protocol, item))
    second = values(score(name, protocol, CHANGES[change](data, item)))
    tolerance = ROUNDING.get(f"{name}/{protocol}", 1e-9)
    assert second == pytest.approx(first, abs=tolerance)


VOTED = [pair for pair in SCORED if pair[0] in ("factor-vae", "beta-vae")]


@pytest.mark.parametrize("change", ["values renamed", "factors permuted", "items permuted"])
@pytest.mark.parametrize(("name", "protocol"), VOTED)
@given(data=st.data(), item=scored(items=200))
def test_votes_have_the_same_distribution(
    change: str, name: str, protocol: str, data: st.DataObject, item: Scored
) -> None:
    """Within five standard errors, and one per cent for scores close to 1."""
    first = score(name, protocol, item)
    second = score(name, protocol, CHANGES[change](data, item))
    error = np.hypot(first["standard_error"], second["standard_error"])
    assert second["score"] == pytest.approx(first["score"], abs=5 * error + 0.01)


@given(data=st.data(), item=scored(items=200))
def test_derived_changes_by_a_constant_dimension(data: st.DataObject, item: Scored) -> None:
    """Entropies of the columns are divided by ln(d + 1) instead of ln d, and means by d + 1."""
    more = constant_dimension(data, item)
    d = item.codes.mean.shape[1] + (item.codes.category is not None)
    for protocol in ("locatello2019", "eastwood2018"):
        before, after = (values(score("dci", protocol, i)) for i in (item, more))
        entropy = (1 - before["completeness"]) * np.log(d)
        tolerance = ROUNDING[f"dci/{protocol}"]
        expected = {**before, "completeness": 1 - entropy / np.log(d + 1)}
        assert after == pytest.approx(expected, abs=tolerance)
    before, after = (values(score("modularity", "locatello2019", i)) for i in (item, more))
    assert after["modularity"] == pytest.approx(before["modularity"] * d / (d + 1), abs=1e-9)
    assert after["explicitness"] == pytest.approx(before["explicitness"], abs=2e-3)
    before, after = (values(score("unsupervised", "locatello2019", i)) for i in (item, more))
    pairs = d * (d - 1) / ((d + 1) * d)
    assert after["mutual_information"] == pytest.approx(before["mutual_information"] * pairs)
    for part in ("gaussian_tc", "gaussian_wasserstein"):
        assert after[part] == pytest.approx(before[part], abs=1e-9)


@given(data=st.data(), item=scored(items=200, noise=0.1))
def test_renamed_values_are_other_numbers_for_a_regression(
    data: st.DataObject, item: Scored
) -> None:
    """R² and the lasso are unchanged by a v + b for any a, also a negative one."""
    mirrored = item._replace(factors=5 - 2 * item.factors)
    for name, protocol in (("sap", "kumar2018"), ("dci", "eastwood2018")):
        first, second = (values(score(name, protocol, i)) for i in (item, mirrored))
        assert second == pytest.approx(first, abs=1e-6)


def test_every_exception_is_one() -> None:
    """For each exception, a code whose score changes; otherwise the list would be too long."""
    factors = grid([3, 3, 2], 360)
    rng = np.random.default_rng(0)
    mean = factors + 0.3 * rng.normal(size=factors.shape)
    item = Scored(narrow_codes(mean), factors)
    small = Scored(narrow_codes(mean / [64.0, 1.0, 1.0]), factors)
    for name, protocol in (("mig", "do2020"), ("infomec", "hsu2023")):
        assert _distance(name, protocol, item, small) > 0.05, (name, protocol)
    middle = np.array([1, 0, 2])
    renamed = item._replace(factors=np.stack([middle[c] for c in factors.T], axis=1))
    for name, protocol in (("sap", "kumar2018"), ("dci", "eastwood2018")):
        assert _distance(name, protocol, item, renamed) > 0.05, (name, protocol)
    # Of ten items one is 1. A machine on noise is right about half of them, as classes are
    # balanced; a constant one predicts 0, is right about nine, and so is the second best.
    rare = (np.arange(500) % 10 == 0).astype(np.int64)[:, None]
    noise = rng.normal(size=(500, 2))
    noise[:, :1] = rare + 0.1 * noise[:, :1]
    unlike = Scored(narrow_codes(noise), rare)
    more = Scored(narrow_codes(np.insert(noise, 2, 0.0, axis=1)), rare)
    assert _distance("sap", "locatello2019", unlike, more) > 0.2


def test_thresholds_of_active_dimensions_are_on_the_scale_of_the_prior() -> None:
    """Scales from ½ to 2 leave every dimension active; one of 1/1000 does not.

    The protocol "lecture" has no threshold.
    """
    factors = grid([3, 3, 2], 360)
    for protocol in METRICS["factor-vae"].PROTOCOLS:
        mean = factors * [1e-3, 1.0, 1.0]
        codes = Codes(mean, np.where(mean == mean, [1.0, 0.05, 0.05], 0.0))
        result = score("factor-vae", protocol, Scored(codes, factors))
        assert result["dimensions"] == (3 if protocol == "lecture" else 2), protocol


def _distance(name: str, protocol: str, first: Scored, second: Scored) -> float:
    a, b = (values(score(name, protocol, item)) for item in (first, second))
    return max(abs(a[key] - b[key]) for key in a)
