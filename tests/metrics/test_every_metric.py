"""What every metric owes: its limits, one clear line for bad input, and no crash on any arrays."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.metrics.codes_of_all_kinds import (
    BOUND_TO_A_RANGE,
    SCORED,
    codes_of,
    errors,
    scores,
    values,
)

from unbraid.codes import Codes
from unbraid.errors import UserError
from unbraid.metrics import METRICS, dci, mig, suite
from unbraid.metrics.protocols import find

every = pytest.mark.parametrize(("name", "protocol"), SCORED, ids=lambda v: v)
# A linear classifier on one number cannot single out a middle value: below 1 by construction.
PERFECT = {"sap/locatello2019": None, "unsupervised/locatello2019": {"*": 0.0}}
CONSTANT = {
    "beta-vae/locatello2019": {"score": 1 / 3},
    "modularity/locatello2019": {"modularity": 0.0, "explicitness": 0.5},
    "probes/locatello2019-logistic": {"score": (1 / 3 + 1 / 4 + 1 / 5) / 3},
    "probes/locatello2019-trees": {"score": (1 / 3 + 1 / 4 + 1 / 5) / 3},
    # A constant guesses the largest class of the sample; both dimensions do.
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


def outcome(
    name: str, protocol: str, codes: Codes, factors: np.ndarray
) -> tuple[dict[str, float], str]:
    """What a metric finds, or else what it complains of."""
    try:
        return scores(name, protocol, codes, factors), ""
    except UserError as error:
        return {}, str(error)


def close(found: dict[str, float], wanted: dict[str, float], tolerance: float) -> None:
    for key, value in values(found).items():
        if key in wanted or "*" in wanted:
            assert value == pytest.approx(wanted.get(key, wanted.get("*")), abs=tolerance), key


@every
def test_a_perfect_code(name: str, protocol: str, grid: np.ndarray) -> None:
    found = scores(name, protocol, codes_of(grid), grid)
    wanted = PERFECT.get(f"{name}/{protocol}", {"*": 1.0})
    # The lasso shrinks a weight of 1 by its penalty, 0.02: so much of the factor stays unsaid.
    tolerance = 0.021 if protocol == "eastwood2018" else 1e-3
    if name == "infomec":
        # The classifier's penalty keeps it from being certain.
        close(found, {"modularity": 1.0, "compactness": 1.0}, tolerance)
        assert found["explicitness"] > 0.8
    elif wanted is not None:
        close(found, wanted, tolerance)


@every
def test_a_permuted_and_rescaled_code_scores_the_same(
    name: str, protocol: str, grid: np.ndarray
) -> None:
    mean = grid + 0.5 * np.random.default_rng(1).normal(size=grid.shape)
    scale, shift = np.array([-100.0, 3.0, 0.5]), np.array([7.0, 0.0, -1.0])
    if (name, protocol) in BOUND_TO_A_RANGE:
        scale, shift = np.array([-1.0, 1.0, 1.0]), np.zeros(3)
    std = 0.05 * np.abs(scale) if name == "mig" else 0.001
    changed = Codes(mean[:, [2, 0, 1]] * scale + shift, std + 0 * mean)
    first = scores(name, protocol, codes_of(mean), grid)
    second = scores(name, protocol, changed, grid)
    # Mirrored bins split ties at the other edge, and boosting sees its columns in another order.
    for key, value in values(first).items():
        assert values(second)[key] == pytest.approx(value, abs=0.02), key


@every
def test_a_constant_code(name: str, protocol: str, grid: np.ndarray) -> None:
    found = scores(name, protocol, codes_of(np.zeros_like(grid)), grid)
    tolerance = 0.04 if name in ("beta-vae", "probes") else 1e-9
    if (name, protocol) == ("dci", "locatello2019") or name == "dci":
        close(found, {"disentanglement": 0.0, "completeness": 0.0}, tolerance)
    else:
        close(found, CONSTANT.get(f"{name}/{protocol}", {"*": 0.0}), tolerance)


@every
def test_a_duplicated_code(name: str, protocol: str, grid: np.ndarray) -> None:
    found = scores(name, protocol, codes_of(np.tile(grid, 2)), grid)
    wanted = DUPLICATED.get(f"{name}/{protocol}", {"*": 1.0})
    # Copies take turns, and the first rounds weigh most.
    tolerance = 0.06 if name == "dci" else 0.021 if protocol == "eastwood2018" else 0.002
    if name == "infomec":
        assert found["explicitness"] > 0.8
    close(found, wanted, tolerance)


@every
def test_noise_knows_nothing(name: str, protocol: str, grid: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(size=grid.shape)
    found = values(scores(name, protocol, codes_of(noise), grid))
    chance = {"factor-vae": 1 / 3, "beta-vae": 1 / 3, "probes": (1 / 3 + 1 / 4 + 1 / 5) / 3}
    # Modularity of noise is that of sampling noise; IRS is what a sample's greatest leaves.
    found = {k: v for k, v in found.items() if k != "modularity"}
    if name == "irs":
        assert found["score"] < 0.35
    elif (name, protocol) == ("modularity", "locatello2019"):
        assert found["explicitness"] == pytest.approx(0.5, abs=0.04)
    elif name == "infomec":
        assert found["explicitness"] < 0.02
    elif name == "dci":
        # Weights of noise are small, not ordered: what they say is that nothing is predicted.
        chance_of_trees = (1 / 3 + 1 / 4 + 1 / 5) / 3 if protocol == "locatello2019" else 0.0
        assert found["informativeness"] == pytest.approx(chance_of_trees, abs=0.04)
    else:
        # 2,400 items in 20 by 20 bins look as if they shared 19²/(2·2400) = 0.075 nats.
        tolerance = 0.1 if name == "unsupervised" else 0.06
        for value in found.values():
            assert value == pytest.approx(chance.get(name, 0.0), abs=tolerance)


@every
def test_every_sampled_score_has_a_standard_error(
    name: str, protocol: str, grid: np.ndarray
) -> None:
    mean = grid + np.random.default_rng(0).normal(size=grid.shape)
    found = scores(name, protocol, codes_of(mean), grid)
    assert set(errors(found)) == set(values(found))
    for key, error in errors(found).items():
        assert np.isfinite(error)
        assert error > 0 or values(found)[key] == 1.0
    assert scores(name, protocol, codes_of(mean), grid) == found


BAD = {
    "lengths": (lambda f: f[:100], "codes for 100 items"),
    "empty": (lambda f: f[:0], "each item is a row"),
    "no factor": (lambda f: f[:, :0], "each item is a row"),
    "one column": (lambda f: f[:, 0], "each item is a row"),
    "strings": (lambda f: f.astype(str), "a factor is a number"),
    "one value": (lambda f: np.zeros_like(f), "none of them varies"),
    "NaN": (lambda f: np.where(f == 1, np.nan, f), "NaN or infinite"),
    "more factors than items": (lambda f: np.tile(f, (1, 1000)), "needs more items than factors"),
}


@pytest.mark.parametrize("case", BAD)
@every
def test_bad_factors_are_one_clear_line(
    case: str, name: str, protocol: str, grid: np.ndarray
) -> None:
    if name == "unsupervised":
        return
    change, message = BAD[case]
    with pytest.raises(UserError, match=message) as raised:
        scores(name, protocol, codes_of(grid), change(grid))
    assert "\n" not in str(raised.value)


@every
def test_a_protocol_that_does_not_fit(name: str, protocol: str, grid: np.ndarray) -> None:
    with pytest.raises(UserError, match="protocol 'best': unknown for"):
        scores(name, "best", codes_of(grid), grid)
    continuous = protocol in ("kumar2018", "eastwood2018") or name == "unsupervised"
    if continuous:
        assert scores(name, protocol, codes_of(grid), grid + 0.5)
    else:
        with pytest.raises(UserError, match="some are not whole"):
            scores(name, protocol, codes_of(grid), grid + 0.5)


@every
def test_scores_are_called_what_is_told_of_them(name: str, protocol: str, grid: np.ndarray) -> None:
    """Whoever asks for one of several scores by name finds it."""
    job = suite.MetricSpec(name, protocol)
    rows = suite.score_rows(job, codes_of(grid), grid)
    names = [job.part_title(part) for part in job.parts] or [job.title]
    assert [row["metric"] for row in rows] == names


def test_a_record_of_another_metric_is_named() -> None:
    record = dci.PROTOCOLS["eastwood2018"]
    with pytest.raises(UserError, match="a record of another metric than MIG; give one of chen20"):
        find(record, mig.PROTOCOLS, mig.TITLE)
    assert find(record, dci.PROTOCOLS, dci.TITLE) is record
    assert len({m.TITLE for m in METRICS.values()}) == len(METRICS)


def test_a_posterior_needs_a_width(grid: np.ndarray) -> None:
    for protocol in ("chen2018", "do2020"):
        with pytest.raises(UserError, match="these codes have no std"):
            scores("mig", protocol, Codes(grid.astype(float)), grid)
        with pytest.raises(UserError, match="values are 0 or less"):
            scores("mig", protocol, Codes(grid.astype(float), np.zeros(grid.shape)), grid)


def test_codes_of_no_dimension_are_named(grid: np.ndarray) -> None:
    with pytest.raises(UserError, match="codes of no dimension"):
        scores("mig", "locatello2019", Codes(np.zeros((len(grid), 0))), grid)
    category = Codes(np.zeros((len(grid), 0)), category=grid[:, 0], categories=3)
    with pytest.raises(UserError, match="IRS measures distances"):
        scores("irs", "suter2019", category, grid)


@every
def test_too_few_items_to_hold_any_out(name: str, protocol: str) -> None:
    factors = np.arange(8).reshape(4, 2) % 3
    found, complaint = outcome(name, protocol, codes_of(factors), factors)
    assert all(np.isfinite(v) for v in found.values())
    assert found or "4 items: too few" in complaint


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
def test_any_arrays_give_finite_scores_or_one_line(data, n, z, f, discrete, which) -> None:
    name, protocol = which
    number = st.floats(-1e6, 1e6, width=32)
    mean = data.draw(hnp.arrays(np.float32, (n, z), elements=number))
    std = data.draw(hnp.arrays(np.float32, (n, z), elements=st.floats(2**-10, 8, width=32)))
    factors = data.draw(hnp.arrays(np.int64, (n, f), elements=st.integers(-2, 5)))
    category = data.draw(hnp.arrays(np.int64, n, elements=st.integers(0, 2))) if discrete else None
    codes = Codes(mean, std, category, 3 if discrete else 0)
    found, complaint = outcome(name, protocol, codes, factors)
    assert found or complaint
    assert "\n" not in complaint
    assert all(np.isfinite(v) for v in found.values()), found
    for key, value in values(found).items():
        bounded = name != "unsupervised"
        assert value >= -1e-9 or key == "explicitness", (key, value)
        assert not bounded or value <= 1 + 1e-9, (key, value)
