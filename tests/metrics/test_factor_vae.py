"""The FactorVAE score at its limits and at values derived on paper."""

import subprocess
import sys

import numpy as np
import pytest

from unbraid.codes import Codes
from unbraid.errors import UserError
from unbraid.metrics import factor_vae
from unbraid.metrics.factor_vae import PROTOCOLS, Protocol

PLAIN = Protocol("plain", images=100, votes=600, held_out=600, stratified=True)
ALL = [*PROTOCOLS.values(), PLAIN]


def score(codes: Codes, factors: np.ndarray, protocol: Protocol | str = PLAIN, seed: int = 0):
    return factor_vae.score(codes, factors, np.random.default_rng(seed), protocol)


def codes_of(mean: np.ndarray, **more) -> Codes:
    """Codes with a narrow posterior: no protocol takes a varying dimension for collapsed."""
    mean = mean.astype(np.float32)
    return Codes(mean, np.full_like(mean, 0.05), **more)


@pytest.mark.parametrize("protocol", ALL, ids=lambda p: p.name)
def test_a_perfect_code_scores_1_however_permuted_and_scaled(
    protocol: Protocol, grid: np.ndarray
) -> None:
    assert score(codes_of(grid), grid, protocol)["score"] == 1.0
    changed = grid[:, [2, 0, 1]] * [-100.0, 3.0, 0.5] + [7.0, 0.0, -1.0]
    assert score(codes_of(changed), grid, protocol)["score"] == 1.0


@pytest.mark.parametrize("protocol", ALL, ids=lambda p: p.name)
def test_a_constant_code_scores_0(protocol: Protocol, grid: np.ndarray) -> None:
    found = score(codes_of(np.zeros_like(grid)), grid, protocol)
    assert found == {"score": 0.0, "standard_error": 0.0, "dimensions": 0}


@pytest.mark.parametrize("protocol", ALL, ids=lambda p: p.name)
def test_a_duplicated_code_scores_1(protocol: Protocol, grid: np.ndarray) -> None:
    """Either copy may win a vote; both stand for the same factor."""
    assert score(codes_of(np.tile(grid, 2)), grid, protocol)["score"] == 1.0


def test_one_factor_of_three_scores_a_third(grid: np.ndarray) -> None:
    """One dimension gets every vote: right for its most frequent factor, a third of the votes."""
    assert score(codes_of(grid[:, :1]), grid)["score"] == pytest.approx(1 / 3, abs=1e-12)


def test_a_missing_factor_costs_its_votes_but_for_luck(grid: np.ndarray) -> None:
    """Two of three factors in the code: votes for the third go to either dimension and are lost."""
    assert score(codes_of(grid[:, :2]), grid)["score"] == pytest.approx(2 / 3, abs=0.02)


def test_noise_scores_chance(grid: np.ndarray) -> None:
    """Votes independent of the factor: 1/3, and no more on held-out votes."""
    noise = np.random.default_rng(0).normal(size=(len(grid), 5))
    found = score(codes_of(noise), grid)
    assert abs(found["score"] - 1 / 3) < 4 * found["standard_error"]


def test_a_rotated_pair_is_not_told_apart() -> None:
    """Two uniform factors turned by 45°: fixing one leaves both dimensions the same variance.

    The third factor is found; the votes of the other two are split at random: (1 + ½ + ½)/3.
    """
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 32, size=(40_000, 3))
    a, b, c = factors.T
    protocol = Protocol("many", images=50, votes=3_000, held_out=3_000, stratified=True)
    found = score(codes_of(np.stack([a + b, a - b, c], axis=1)), factors, protocol)
    assert found["score"] == pytest.approx(2 / 3, abs=0.04)


def test_collapsed_dimensions_do_not_count(grid: np.ndarray) -> None:
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
    # An encoder without a std has no KL to prune by.
    assert score(Codes(mean), grid, "jeong2019")["dimensions"] == 7


def test_a_discrete_code_takes_its_factor(grid: np.ndarray) -> None:
    codes = codes_of(grid[:, 1:], category=(grid[:, 0] + 1) % 3, categories=3)
    for protocol in ALL:
        found = score(codes, grid, protocol)
        assert found["score"] == 1.0
        assert found["dimensions"] == 3


def test_a_collapsed_discrete_code_wins_no_vote(grid: np.ndarray) -> None:
    """In the official code its normalised variance is 0/0 → 0: it wins every vote."""
    collapsed = np.zeros(len(grid), np.int64)
    codes = codes_of(grid, category=collapsed, categories=3)
    assert score(codes, grid, "jeong2019") == score(codes_of(grid), grid, "jeong2019")
    nearly = collapsed.copy()
    nearly[: len(grid) // 200] = 1
    codes = codes_of(grid, category=nearly, categories=3)
    assert score(codes, grid, "jeong2019")["score"] == 1.0
    constant = codes_of(np.zeros_like(grid), category=collapsed, categories=3)
    assert score(constant, grid, "jeong2019")["score"] == 0.0


def test_the_gini_variance_is_the_derived_one(grid: np.ndarray) -> None:
    """Shares ½, ¼, ¼: 1 − (¼ + 1/16 + 1/16) = 5/8."""
    category = np.resize([0, 0, 1, 2], len(grid))
    codes = codes_of(grid, category=category, categories=3)
    spread, counts = factor_vae._variance_and_activity(codes, PLAIN)
    assert spread[-1] == pytest.approx(5 / 8)
    assert counts.all()
    drawn = factor_vae._variances(codes, np.arange(8)[None])
    assert drawn[0, -1] == pytest.approx(5 / 8)


def test_votes_are_stratified_and_complete(grid: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    matrix = factor_vae.votes(codes_of(grid), grid, rng, "jeong2019", 800)
    assert matrix.sum() == 800
    assert sorted(matrix.sum(axis=0)) == [266, 267, 267]
    assert (matrix == np.diag(np.diag(matrix))).all()


def test_held_out_votes_are_other_votes(grid: np.ndarray) -> None:
    """A code of noise: on its own votes the classifier gains by luck, held out it does not."""
    noise = codes_of(np.random.default_rng(1).normal(size=(len(grid), 30)))
    few = {"images": 20, "votes": 60, "stratified": True}
    own = np.mean(
        [score(noise, grid, Protocol("own", held_out=0, **few), s)["score"] for s in range(40)]
    )
    held = np.mean(
        [score(noise, grid, Protocol("held", held_out=60, **few), s)["score"] for s in range(40)]
    )
    assert held == pytest.approx(1 / 3, abs=0.04)
    assert own > held + 0.15


def test_the_standard_error_is_the_spread_over_repeats(grid: np.ndarray) -> None:
    mixed = grid + np.random.default_rng(0).normal(0, 2.0, grid.shape)
    protocol = Protocol("p", images=10, votes=2_000, held_out=400, stratified=False)
    found = [score(codes_of(mixed), grid, protocol, seed) for seed in range(60)]
    spread = np.std([f["score"] for f in found], ddof=1)
    stated = np.mean([f["standard_error"] for f in found])
    # The std of 60 repeats has a relative error of 1/√120; four of it.
    assert abs(spread / stated - 1) < 4 / 120**0.5


def test_a_factor_that_never_varies_gets_no_votes(grid: np.ndarray) -> None:
    with_constant = np.concatenate([np.zeros((len(grid), 1), np.int64), grid], axis=1)
    assert score(codes_of(grid), with_constant)["score"] == 1.0
    with pytest.raises(UserError, match="none of them varies"):
        score(codes_of(grid), np.zeros_like(grid))


def test_mistakes_are_named(grid: np.ndarray) -> None:
    with pytest.raises(UserError, match="protocol 'best': unknown for the FactorVAE score"):
        score(codes_of(grid), grid, "best")
    with pytest.raises(UserError, match="2400 codes for 10 items"):
        score(codes_of(grid), grid[:10])
    with pytest.raises(UserError, match="mean: 1 values are NaN or infinite"):
        Codes(np.array([[0.0, np.nan]]))
    with pytest.raises(UserError, match="at least one"):
        Codes(np.zeros((0, 2)))
    with pytest.raises(UserError, match=r"codes of \[3, 4\] images"):
        Codes(np.zeros((3, 2)), np.ones((4, 2)))
    with pytest.raises(UserError, match="category 0 to 3: there are 3"):
        Codes(np.zeros((2, 1)), category=np.array([0, 3]), categories=3)


def test_no_torch_is_needed() -> None:
    script = "import sys, unbraid.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
