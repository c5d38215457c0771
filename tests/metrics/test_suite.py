"""The suite: which metrics are scored, and what their rows contain."""

import json

import numpy as np
import pytest
from tests.metrics.helpers import narrow_codes

from unbraid.codes import Codes
from unbraid.errors import ArgumentError
from unbraid.metrics import METRICS, suite
from unbraid.metrics.score_row import is_known
from unbraid.metrics.suite import MetricSpec


def test_names_are_parsed() -> None:
    assert suite.parse_names(None) == ["factor-vae", "classification"]
    assert suite.parse_names("all") == [name for name in METRICS if name != "udr"]
    assert suite.parse_names("mig, beta_vae,mig") == ["mig", "beta-vae"]
    for names, message in (
        ("mig,best", "metrics=best: unknown metric; set `metrics` to all or to some of factor-vae"),
        ("", "metrics='': unknown metric"),
        ("udr", "UDR compares the members of a population"),
    ):
        with pytest.raises(ArgumentError, match=message) as raised:
            suite.parse_names(names)
        assert "\n" not in str(raised.value)


def test_codes_without_a_discrete_code_are_not_classified() -> None:
    names = suite.parse_names("all")
    left_out = {
        *suite.metric_specs(names, discrete=True),
    } - {*suite.metric_specs(names, discrete=False)}
    assert {spec.metric for spec in left_out} == {"classification"}


def test_reasons_why_a_metric_is_not_supported(grid: np.ndarray) -> None:
    one_factor = grid * [1, 0, 0]
    for metric, factors, label, reason in (
        ("unsupervised", grid[:, :0], None, None),
        ("mig", grid[:, :0], None, "data: no labels, which this metric needs"),
        ("classification", grid, None, "data: no factor is marked as the class"),
        ("classification", grid, "shape", None),
        ("mig", one_factor, "shape", None),
        (
            "dci",
            one_factor,
            "shape",
            "data: the number of factors that vary is 1, and this metric needs 2",
        ),
    ):
        answer = suite.unsupported_reason(metric, factors, label, "data")
        assert answer is None if reason is None else str(answer).startswith(reason)


def test_rows_of_every_metric_and_protocol(grid: np.ndarray) -> None:
    mean = grid + np.random.default_rng(0).normal(size=grid.shape)
    codes = narrow_codes(mean, category=grid[:, 0], categories=3)
    for spec in suite.metric_specs(suite.parse_names("all"), discrete=True):
        if "trees" in spec.protocol or spec == MetricSpec("dci", "locatello2019"):
            continue
        targets = grid[:, 0] if spec.metric == "classification" else grid
        for row in suite.score_rows(spec, codes, targets):
            assert row["protocol"] == spec.protocol
            assert row["name"] == spec.metric
            assert np.isfinite(row["score"])
            assert ("standard_error" in row) == (spec.metric != "classification")
            assert json.loads(json.dumps(row)) == row
            assert is_known(row)


def test_repeats_give_the_interval_of_their_mean(grid: np.ndarray) -> None:
    mean = grid + np.random.default_rng(0).normal(size=grid.shape)
    codes = Codes(mean)
    spec = MetricSpec("factor-vae", "kim2018")
    (single,) = suite.score_rows(spec, codes, grid, seed=3)
    (row,) = suite.score_rows(spec, codes, grid, seed=3, repeats=6)
    assert "low" not in single
    assert row.get("repeats") == 6
    assert row.get("low", 1.0) < row["score"] < row.get("high", 0.0)
    # The first repeat has the draws of a single one.
    rng = np.random.default_rng([3, list(METRICS["factor-vae"].PROTOCOLS).index("kim2018")])
    errors = [
        METRICS["factor-vae"].score(codes, grid, np.random.default_rng(key), "kim2018")
        for key in (suite._rng_key(spec, 3, repeat) for repeat in range(6))
    ]
    assert row.get("standard_error") == np.mean([result["standard_error"] for result in errors])
    assert single["score"] == METRICS["factor-vae"].score(codes, grid, rng, "kim2018")["score"]
    (not_sampled,) = suite.score_rows(
        MetricSpec("classification", "nmi"),
        narrow_codes(mean, category=grid[:, 0], categories=3),
        grid[:, 0],
        repeats=6,
    )
    assert "repeats" not in not_sampled


def test_the_description_lists_every_metric_and_protocol() -> None:
    text = suite.describe_metrics()
    for name, metric in METRICS.items():
        assert f"{name}: " in text
        for protocol in metric.PROTOCOLS:
            assert f"    {protocol}" in text
    assert "images=64, votes=10000, held_out=5000" in text
