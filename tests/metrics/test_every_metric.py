"""Every metric: its limits, one-line errors for bad input, and no crash on any arrays."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.metrics.helpers import (
    SCALE_DEPENDENT,
    SCORED,
    errors,
    narrow_codes,
    scores,
    values,
)

from unbraid.codes import Codes
from unbraid.errors import ArgumentError
from unbraid.metrics import METRICS, dci, mig, suite
from unbraid.metrics.protocols import find

all_protocols = pytest.mark.parametrize(("name", "protocol"), SCORED, ids=lambda v: v)
# A linear classifier on one number cannot separate a middle value: SAP is below 1.
PERFECT = {"sap/locatello2019": None, "unsupervised/locatello2019": {"*": 0.0}}
CONSTANT = {
    "beta-vae/locatello2019": {"score": 1 / 3},
    "modularity/locatello2019": {"modularity": 0.0, "explicitness": 0.5},
    "probes/locatello2019-logistic": {"score": (1 / 3 + 1 / 4 + 1 / 5) / 3},
    "probes/locatello2019-trees": {"score": (1 / 3 + 1 / 4 + 1 / 5) / 3},
}
DUPLICATED = {
    "mig/chen2018": {"score": 0.0},
    "mig/locatello2019": {"score": 0.0},
    "mig/do2020": {"score": 0.0},
    "sap/locatello2019": {"score": 0.0},
    "sap/kumar2018": {"score": 0.0},
    # Two of six dimensions share each factor evenly.
    "dci/locatello2019": {"disentanglement": 1.0, "completeness": 1 - np.log(2) / np.log(6)},
    "infomec/hsu2023": {"modularity": 1.0, "compactness": (1 / 2 - 1 / 6) / (1 - 1 / 6)},
    "unsupervised/locatello2019": {
        # Three copies, each one direction of no variance.
        "gaussian_tc": 1.5 * np.log(1e12) - 1.5 * np.log(2),
        "gaussian_wasserstein": (12 - 6 * np.sqrt(2)) / 6,
        "mutual_information": 6 * (np.log(3) + np.log(4) + np.log(5)) / 3 / 30,
    },
}


def scores_or_error(
    name: str, protocol: str, codes: Codes, factors: np.ndarray
) -> tuple[dict[str, float], str]:
    """The scores, or the text of the error."""
    try:
        return scores(name, protocol, codes, factors), ""
    except ArgumentError as error:
        return {}, str(error)


def assert_close(result: dict[str, float], expected: dict[str, float], tolerance: float) -> None:
    """Compare the scores that are expected; "*" stands for every score."""
    for key, value in values(result).items():
        if key in expected or "*" in expected:
            wanted = expected.get(key, expected.get("*"))
            assert value == pytest.approx(wanted, abs=tolerance), key


@all_protocols
def test_a_perfect_code_scores_1(name: str, protocol: str, grid: np.ndarray) -> None:
    result = scores(name, protocol, narrow_codes(grid), grid)
    expected = PERFECT.get(f"{name}/{protocol}", {"*": 1.0})
    # The lasso shrinks a weight of 1 by its penalty, 0.02: that much remains unexplained.
    tolerance = 0.021 if protocol == "eastwood2018" else 1e-3
    if name == "infomec":
        # The classifier's penalty keeps it from being certain.
        assert_close(result, {"modularity": 1.0, "compactness": 1.0}, tolerance)
        assert result["explicitness"] > 0.8
    elif expected is not None:
        assert_close(result, expected, tolerance)


@all_protocols
def test_a_permuted_and_rescaled_code_scores_the_same(
    name: str, protocol: str, grid: np.ndarray
) -> None:
    mean = grid + 0.5 * np.random.default_rng(1).normal(size=grid.shape)
    scale, shift = np.array([-100.0, 3.0, 0.5]), np.array([7.0, 0.0, -1.0])
    if (name, protocol) in SCALE_DEPENDENT:
        scale, shift = np.array([-1.0, 1.0, 1.0]), np.zeros(3)
    std = 0.05 * np.abs(scale) if name == "mig" else 0.001
    changed = Codes(mean[:, [2, 0, 1]] * scale + shift, std + 0 * mean)
    first = scores(name, protocol, narrow_codes(mean), grid)
    second = scores(name, protocol, changed, grid)
    # Mirrored bins split ties at the other edge, and boosting sees its columns in another order.
    for key, value in values(first).items():
        assert values(second)[key] == pytest.approx(value, abs=0.02), key


@all_protocols
def test_a_constant_code_scores_0_or_chance(name: str, protocol: str, grid: np.ndarray) -> None:
    result = scores(name, protocol, narrow_codes(np.zeros_like(grid)), grid)
    tolerance = 0.04 if name in ("beta-vae", "probes") else 1e-9
    if (name, protocol) == ("dci", "locatello2019") or name == "dci":
        assert_close(result, {"disentanglement": 0.0, "completeness": 0.0}, tolerance)
    else:
        assert_close(result, CONSTANT.get(f"{name}/{protocol}", {"*": 0.0}), tolerance)


@all_protocols
def test_a_duplicated_code_has_no_gap(name: str, protocol: str, grid: np.ndarray) -> None:
    result = scores(name, protocol, narrow_codes(np.tile(grid, 2)), grid)
    expected = DUPLICATED.get(f"{name}/{protocol}", {"*": 1.0})
    # Copies take turns, and the first rounds weigh most.
    tolerance = 0.06 if name == "dci" else 0.021 if protocol == "eastwood2018" else 0.002
    if name == "infomec":
        assert result["explicitness"] > 0.8
    assert_close(result, expected, tolerance)


@all_protocols
def test_noise_scores_chance(name: str, protocol: str, grid: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(size=grid.shape)
    result = values(scores(name, protocol, narrow_codes(noise), grid))
    chance = {"factor-vae": 1 / 3, "beta-vae": 1 / 3, "probes": (1 / 3 + 1 / 4 + 1 / 5) / 3}
    # Modularity of noise is that of sampling noise, and IRS depends on the sample's maximum.
    result = {k: v for k, v in result.items() if k != "modularity"}
    if name == "irs":
        assert result["score"] < 0.35
    elif (name, protocol) == ("modularity", "locatello2019"):
        assert result["explicitness"] == pytest.approx(0.5, abs=0.04)
    elif name == "infomec":
        assert result["explicitness"] < 0.02
    elif name == "dci":
        # Only informativeness is at chance: the small weights of noise may be concentrated.
        chance_of_trees = (1 / 3 + 1 / 4 + 1 / 5) / 3 if protocol == "locatello2019" else 0.0
        assert result["informativeness"] == pytest.approx(chance_of_trees, abs=0.04)
    else:
        # The bias of 2,400 items in 20 by 20 bins is 19²/(2·2400) = 0.075 nats.
        tolerance = 0.1 if name == "unsupervised" else 0.06
        for value in result.values():
            assert value == pytest.approx(chance.get(name, 0.0), abs=tolerance)


@all_protocols
def test_every_sampled_score_has_a_standard_error(
    name: str, protocol: str, grid: np.ndarray
) -> None:
    mean = grid + np.random.default_rng(0).normal(size=grid.shape)
    result = scores(name, protocol, narrow_codes(mean), grid)
    assert set(errors(result)) == set(values(result))
    for key, error in errors(result).items():
        assert np.isfinite(error)
        assert error > 0 or values(result)[key] == 1.0
    assert scores(name, protocol, narrow_codes(mean), grid) == result


BAD = {
    "lengths": (
        lambda f: f[:100],
        "factors=100 rows: must have one row for each of the 2400 items",
    ),
    "empty": (lambda f: f[:0], "must have one row per item and one column per factor"),
    "no factor": (lambda f: f[:, :0], "must have one row per item and one column per factor"),
    "one column": (lambda f: f[:, 0], "must have one row per item and one column per factor"),
    "strings": (lambda f: f.astype(str), "values must be numbers"),
    "one value": (lambda f: np.zeros_like(f), "every factor is constant"),
    "NaN": (lambda f: np.where(f == 1, np.nan, f), "NaN or infinite"),
    "more factors than items": (
        lambda f: np.tile(f, (1, 1000)),
        "must have at least as many items as factors",
    ),
}


@pytest.mark.parametrize("case", BAD)
@all_protocols
def test_bad_factors_are_errors_of_one_line(
    case: str, name: str, protocol: str, grid: np.ndarray
) -> None:
    if name == "unsupervised":
        return
    change, message = BAD[case]
    with pytest.raises(ArgumentError, match=message) as raised:
        scores(name, protocol, narrow_codes(grid), change(grid))
    assert "\n" not in str(raised.value)


@all_protocols
def test_an_unknown_protocol_and_continuous_factors(
    name: str, protocol: str, grid: np.ndarray
) -> None:
    with pytest.raises(ArgumentError, match=r"protocol=best: .* has no such protocol"):
        scores(name, "best", narrow_codes(grid), grid)
    continuous = protocol in ("kumar2018", "eastwood2018") or name == "unsupervised"
    if continuous:
        assert scores(name, protocol, narrow_codes(grid), grid + 0.5)
    else:
        with pytest.raises(ArgumentError, match="this protocol needs whole numbers"):
            scores(name, protocol, narrow_codes(grid), grid + 0.5)


@all_protocols
def test_rows_have_the_titles_of_their_scores(name: str, protocol: str, grid: np.ndarray) -> None:
    spec = suite.MetricSpec(name, protocol)
    rows = suite.score_rows(spec, narrow_codes(grid), grid)
    names = [spec.part_title(part) for part in spec.parts] or [spec.title]
    assert [row["metric"] for row in rows] == names


def test_a_protocol_of_another_metric_is_an_error() -> None:
    record = dci.PROTOCOLS["eastwood2018"]
    with pytest.raises(
        ArgumentError, match=r"must be a protocol of MIG, .* `protocol` to one of chen2018"
    ):
        find(record, mig.PROTOCOLS, mig.TITLE)
    assert find(record, dci.PROTOCOLS, dci.TITLE) is record
    assert len({m.TITLE for m in METRICS.values()}) == len(METRICS)


def test_posterior_protocols_need_positive_stds(grid: np.ndarray) -> None:
    for protocol in ("chen2018", "do2020"):
        with pytest.raises(ArgumentError, match="codes=no std: the protocol"):
            scores("mig", protocol, Codes(grid.astype(float)), grid)
        with pytest.raises(ArgumentError, match="stds of 0 or less: the protocol"):
            scores("mig", protocol, Codes(grid.astype(float), np.zeros(grid.shape)), grid)


def test_codes_without_dimensions_are_errors(grid: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="codes=no dimensions"):
        scores("mig", "locatello2019", Codes(np.zeros((len(grid), 0))), grid)
    category = Codes(np.zeros((len(grid), 0)), category=grid[:, 0], categories=3)
    with pytest.raises(ArgumentError, match="IRS measures distances"):
        scores("irs", "suter2019", category, grid)


@all_protocols
def test_a_few_items_give_finite_scores_or_an_error(name: str, protocol: str) -> None:
    factors = np.arange(8).reshape(4, 2) % 3
    result, message = scores_or_error(name, protocol, narrow_codes(factors), factors)
    assert all(np.isfinite(v) for v in result.values())
    assert result or "factors=4 rows: must have at least 10 rows" in message


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    data=st.data(),
    n=st.integers(1, 40),
    z=st.integers(1, 3),
    f=st.integers(1, 3),
    discrete=st.booleans(),
    which=st.sampled_from([pair for pair in SCORED if "trees" not in pair[1]]),
)
def test_any_arrays_give_finite_scores_or_an_error_of_one_line(
    data, n, z, f, discrete, which
) -> None:
    name, protocol = which
    number = st.floats(-1e6, 1e6, width=32)
    mean = data.draw(hnp.arrays(np.float32, (n, z), elements=number))
    std = data.draw(hnp.arrays(np.float32, (n, z), elements=st.floats(2**-10, 8, width=32)))
    factors = data.draw(hnp.arrays(np.int64, (n, f), elements=st.integers(-2, 5)))
    category = data.draw(hnp.arrays(np.int64, n, elements=st.integers(0, 2))) if discrete else None
    codes = Codes(mean, std, category, 3 if discrete else 0)
    result, message = scores_or_error(name, protocol, codes, factors)
    assert result or message
    assert "\n" not in message
    assert all(np.isfinite(v) for v in result.values()), result
    for key, value in values(result).items():
        bounded = name != "unsupervised"
        assert value >= -1e-9 or key == "explicitness", (key, value)
        assert not bounded or value <= 1 + 1e-9, (key, value)
