"""The FactorVAE score at its limits and at values derived by hand."""

import subprocess
import sys

import numpy as np
import pytest
from tests.metrics.helpers import narrow_codes

from unbraid.codes import Codes
from unbraid.errors import ArgumentError
from unbraid.metrics import factor_vae
from unbraid.metrics.factor_vae import PROTOCOLS, Protocol

PLAIN = Protocol("plain", images=100, votes=600, held_out=600, stratified=True)
ALL = [*PROTOCOLS.values(), PLAIN]


def score(codes: Codes, factors: np.ndarray, protocol: Protocol | str = PLAIN, seed: int = 0):
    return factor_vae.score(codes, factors, np.random.default_rng(seed), protocol)


@pytest.mark.parametrize("protocol", ALL, ids=lambda p: p.name)
def test_a_perfect_code_scores_1_also_permuted_and_rescaled(
    protocol: Protocol, grid: np.ndarray
) -> None:
    assert score(narrow_codes(grid), grid, protocol)["score"] == 1.0
    changed = grid[:, [2, 0, 1]] * [-100.0, 3.0, 0.5] + [7.0, 0.0, -1.0]
    assert score(narrow_codes(changed), grid, protocol)["score"] == 1.0


@pytest.mark.parametrize("protocol", ALL, ids=lambda p: p.name)
def test_a_constant_code_scores_0(protocol: Protocol, grid: np.ndarray) -> None:
    result = score(narrow_codes(np.zeros_like(grid)), grid, protocol)
    assert result == {"score": 0.0, "standard_error": 0.0, "dimensions": 0}


@pytest.mark.parametrize("protocol", ALL, ids=lambda p: p.name)
def test_a_duplicated_code_scores_1(protocol: Protocol, grid: np.ndarray) -> None:
    """A vote may choose either copy; both belong to the same factor."""
    assert score(narrow_codes(np.tile(grid, 2)), grid, protocol)["score"] == 1.0


def test_one_factor_of_three_scores_a_third(grid: np.ndarray) -> None:
    """One dimension gets every vote, which is correct for a third of the votes."""
    assert score(narrow_codes(grid[:, :1]), grid)["score"] == pytest.approx(1 / 3, abs=1e-12)


def test_a_missing_factor_loses_its_votes(grid: np.ndarray) -> None:
    """Two of three factors in the code: votes of the third go to either dimension, in error."""
    assert score(narrow_codes(grid[:, :2]), grid)["score"] == pytest.approx(2 / 3, abs=0.02)


def test_noise_scores_chance(grid: np.ndarray) -> None:
    """Votes independent of the factor: 1/3, and no more on held-out votes."""
    noise = np.random.default_rng(0).normal(size=(len(grid), 5))
    result = score(narrow_codes(noise), grid)
    assert abs(result["score"] - 1 / 3) < 4 * result["standard_error"]


def test_a_rotated_pair_is_at_chance() -> None:
    """Two uniform factors rotated by 45°: fixing one leaves both dimensions the same variance.

    All votes of the third factor are correct, and half of the others: (1 + ½ + ½)/3.
    """
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 32, size=(40_000, 3))
    a, b, c = factors.T
    protocol = Protocol("many", images=50, votes=3_000, held_out=3_000, stratified=True)
    result = score(narrow_codes(np.stack([a + b, a - b, c], axis=1)), factors, protocol)
    assert result["score"] == pytest.approx(2 / 3, abs=0.04)


def test_collapsed_dimensions_are_inactive(grid: np.ndarray) -> None:
    """Mean KL below 0.1 nat under jeong2019 and kim2018; std of the mean below 0.05 otherwise."""
    rng = np.random.default_rng(0)
    idle = rng.normal(0, 0.01, size=(len(grid), 4))
    mean = np.concatenate([grid, idle], axis=1).astype(np.float32)
    std = np.concatenate([np.full(grid.shape, 0.05), np.ones(idle.shape)], axis=1)
    codes = Codes(mean, std.astype(np.float32))
    for name in ("jeong2019", "kim2018", "locatello2019"):
        assert score(codes, grid, name)["dimensions"] == 3
        assert score(codes, grid, name)["score"] == 1.0
    assert score(codes, grid, "lecture")["dimensions"] == 7
    # Without a std there is no KL, and no dimension is below its threshold.
    assert score(Codes(mean), grid, "jeong2019")["dimensions"] == 7


def test_a_discrete_code_is_a_dimension(grid: np.ndarray) -> None:
    codes = narrow_codes(grid[:, 1:], category=(grid[:, 0] + 1) % 3, categories=3)
    for protocol in ALL:
        result = score(codes, grid, protocol)
        assert result["score"] == 1.0
        assert result["dimensions"] == 3


def test_a_collapsed_discrete_code_gets_no_vote(grid: np.ndarray) -> None:
    """In the official code its normalised variance is 0/0 → 0, so it gets every vote."""
    collapsed = np.zeros(len(grid), np.int64)
    codes = narrow_codes(grid, category=collapsed, categories=3)
    assert score(codes, grid, "jeong2019") == score(narrow_codes(grid), grid, "jeong2019")
    nearly = collapsed.copy()
    nearly[: len(grid) // 200] = 1
    codes = narrow_codes(grid, category=nearly, categories=3)
    assert score(codes, grid, "jeong2019")["score"] == 1.0
    constant = narrow_codes(np.zeros_like(grid), category=collapsed, categories=3)
    assert score(constant, grid, "jeong2019")["score"] == 0.0


def test_the_gini_variance_of_a_discrete_code(grid: np.ndarray) -> None:
    """Shares ½, ¼, ¼: 1 − (¼ + 1/16 + 1/16) = 5/8."""
    category = np.resize([0, 0, 1, 2], len(grid))
    codes = narrow_codes(grid, category=category, categories=3)
    variance, active = factor_vae._variance_and_activity(codes, PLAIN)
    assert variance[-1] == pytest.approx(5 / 8)
    assert active.all()
    drawn = factor_vae._variances(codes, np.arange(8)[None])
    assert drawn[0, -1] == pytest.approx(5 / 8)


def test_votes_are_stratified_and_complete(grid: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    matrix = factor_vae.votes(narrow_codes(grid), grid, rng, "jeong2019", 800)
    assert matrix.sum() == 800
    assert sorted(matrix.sum(axis=0)) == [266, 267, 267]
    assert (matrix == np.diag(np.diag(matrix))).all()


def test_held_out_votes_are_further_votes(grid: np.ndarray) -> None:
    """A code of noise: the classifier overfits the votes that it is fitted to."""
    noise = narrow_codes(np.random.default_rng(1).normal(size=(len(grid), 30)))
    few = {"images": 20, "votes": 60, "stratified": True}
    training = np.mean(
        [score(noise, grid, Protocol("training", held_out=0, **few), s)["score"] for s in range(40)]
    )
    held = np.mean(
        [score(noise, grid, Protocol("held", held_out=60, **few), s)["score"] for s in range(40)]
    )
    assert held == pytest.approx(1 / 3, abs=0.04)
    assert training > held + 0.15


def test_the_standard_error_is_the_std_over_repeats(grid: np.ndarray) -> None:
    mixed = grid + np.random.default_rng(0).normal(0, 2.0, grid.shape)
    protocol = Protocol("p", images=10, votes=2_000, held_out=400, stratified=False)
    result = [score(narrow_codes(mixed), grid, protocol, seed) for seed in range(60)]
    std = np.std([f["score"] for f in result], ddof=1)
    reported = np.mean([f["standard_error"] for f in result])
    # The std of 60 repeats has a relative error of 1/√120; the tolerance is four of these.
    assert abs(std / reported - 1) < 4 / 120**0.5


def test_a_constant_factor_gets_no_votes(grid: np.ndarray) -> None:
    with_constant = np.concatenate([np.zeros((len(grid), 1), np.int64), grid], axis=1)
    assert score(narrow_codes(grid), with_constant)["score"] == 1.0
    with pytest.raises(ArgumentError, match="every factor is constant"):
        score(narrow_codes(grid), np.zeros_like(grid))


def test_bad_arguments_are_errors(grid: np.ndarray) -> None:
    with pytest.raises(
        ArgumentError, match="protocol=best: the FactorVAE score has no such protocol"
    ):
        score(narrow_codes(grid), grid, "best")
    with pytest.raises(
        ArgumentError, match="factors=10 rows: must have one row for each of the 2400 items"
    ):
        score(narrow_codes(grid), grid[:10])
    with pytest.raises(ArgumentError, match="mean=1 NaN or infinite values"):
        Codes(np.array([[0.0, np.nan]]))
    with pytest.raises(ArgumentError, match="at least one row"):
        Codes(np.zeros((0, 2)))
    with pytest.raises(ArgumentError, match=r"codes=arrays of \[3, 4\] rows"):
        Codes(np.zeros((3, 2)), np.ones((4, 2)))
    with pytest.raises(
        ArgumentError, match=r"category=0 … 3: must be 0 or more and less than `categories` \(3\)"
    ):
        Codes(np.zeros((2, 1)), category=np.array([0, 3]), categories=3)


def test_no_torch_is_needed() -> None:
    script = "import sys, unbraid.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
