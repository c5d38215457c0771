"""Codes with a known joint distribution, and the scores that follow from it by hand."""

import numpy as np
import pytest
from tests.metrics.helpers import narrow_codes, scores

from unbraid.codes import Codes
from unbraid.metrics import classification, dci, infomec, irs, logistic, modularity, unsupervised
from unbraid.metrics.infomec import concentration

# A bit through a channel that flips one in four: I/H = (ln 2 − H(¼))/ln 2.
SHARE = 1 - (-0.25 * np.log(0.25) - 0.75 * np.log(0.75)) / np.log(2)


@pytest.fixture
def channel() -> tuple[Codes, np.ndarray]:
    """A category that is a bit flipped in every fourth item, and the bit."""
    bit = np.repeat([0, 1], 6_000)
    flipped = np.where(np.arange(12_000) % 4 == 0, 1 - bit, bit)
    constant = np.zeros((12_000, 1))
    return Codes(constant, constant + 1, category=flipped, categories=2), bit[:, None]


@pytest.fixture
def rotated() -> tuple[Codes, np.ndarray]:
    """Factors a, b of 5 values and c of 3 in a full grid; the code is a + b, a − b, c."""
    values = np.meshgrid(range(5), range(5), range(3), indexing="ij")
    factors = np.repeat(np.stack([v.reshape(-1) for v in values], axis=1), 40, axis=0)
    a, b, c = factors.T
    return narrow_codes(np.stack([a + b, a - b, c], axis=1)), factors.astype(np.int64)


def test_every_score_of_a_noisy_bit(channel: tuple[Codes, np.ndarray]) -> None:
    """MIG = explicitness of InfoMEC = I/H; R² = (1 − 2·¼)²; accuracy ¾; area (¾ + ¾)/2."""
    for protocol in ("chen2018", "locatello2019", "do2020"):
        result = scores("mig", protocol, *channel)
        assert result["score"] == pytest.approx(SHARE, abs=4 * result["standard_error"] + 1e-9)
    assert scores("mig", "do2020", *channel)["score"] == pytest.approx(SHARE, abs=1e-9)
    result = scores("sap", "kumar2018", *channel)
    assert result["score"] == pytest.approx(1 / 4, abs=4 * result["standard_error"])
    assert scores("sap", "locatello2019", *channel)["score"] == pytest.approx(1 / 4, abs=0.03)
    result = scores("modularity", "ridgeway2018", *channel)
    assert result["explicitness"] == pytest.approx(2 * 3 / 4 - 1, abs=0.04)
    assert result["modularity"] == 1.0
    result = scores("infomec", "hsu2023", *channel)
    assert result["explicitness"] == pytest.approx(SHARE, abs=0.03)
    assert (result["modularity"], result["compactness"]) == (1.0, 1.0)
    for protocol in ("locatello2019-logistic", "locatello2019-trees"):
        result = scores("probes", protocol, *channel)
        assert result["score"] == pytest.approx(3 / 4, abs=4 * result["standard_error"])
        assert result["chance"] == pytest.approx(1 / 2, abs=0.03)
    result = scores("dci", "locatello2019", *channel)
    assert (result["disentanglement"], result["completeness"]) == (1.0, 1.0)
    assert result["informativeness"] == pytest.approx(3 / 4, abs=0.03)
    assert scores("beta-vae", "locatello2019", *channel)["score"] == 1.0


def test_normalised_information_of_a_noisy_bit(channel: tuple[Codes, np.ndarray]) -> None:
    """2 I/(H + H) = I/ln 2, both being fair bits."""
    codes, factors = channel
    result = classification.score(codes, factors[:, 0])
    assert result["nmi"] == pytest.approx(SHARE, abs=1e-12)
    assert result["one_to_one"] == 3 / 4
    one = classification.score(codes, factors[:, 0], protocol="nmi")
    assert one == {"score": result["nmi"], "chance": 0.0}


def test_scores_of_a_rotated_pair(rotated: tuple[Codes, np.ndarray]) -> None:
    """a + b and a − b have as much information on a as on b: the gap is 0 for both and 1 for c.

    Modularity: 1 − ½ for the rotated dimensions, 1 for the third: ⅔. InfoMEC: (½ − ⅓)/⅔ = ¼ for
    two, 1 for the third: ½ by row and by column.
    """
    for protocol in ("locatello2019", "chen2018"):
        assert scores("mig", protocol, *rotated)["score"] == pytest.approx(1 / 3, abs=1e-3)
    assert scores("sap", "kumar2018", *rotated)["score"] == pytest.approx(1 / 3, abs=1e-12)
    result = scores("modularity", "ridgeway2018", *rotated)
    assert result["modularity"] == pytest.approx(2 / 3, abs=0.02)
    result = scores("infomec", "hsu2023", *rotated)
    assert result["modularity"] == pytest.approx(1 / 2, abs=1e-3)
    assert result["compactness"] == pytest.approx(1 / 2, abs=1e-3)
    # The votes of a and b are at chance.
    result = scores("beta-vae", "locatello2019", *rotated)
    assert result["score"] == pytest.approx(2 / 3, abs=0.02)


def test_the_lasso_on_a_rotated_pair(rotated: tuple[Codes, np.ndarray]) -> None:
    """Uncorrelated standardised columns: |w| = |correlation| − α, 1/√2 − α four times, and 1 − α.

    Rows of a + b, a − b are halves: 1 − ln 2/ln 3; the row of c is pure.
    """
    pair, single = 1 / np.sqrt(2) - 0.02, 1 - 0.02
    expected = (4 * pair * (1 - np.log(2) / np.log(3)) + single) / (4 * pair + single)
    result = scores("dci", "eastwood2018", *rotated)
    assert result["disentanglement"] == pytest.approx(expected, abs=0.01)
    assert result["completeness"] == pytest.approx(expected, abs=0.01)
    # The unexplained share of c is α, and of a and b √2·α.
    root = (2 * 0.02 * np.sqrt(2) + 0.02) / 3
    assert result["informativeness"] == pytest.approx(1 - root, abs=1e-3)


def test_boosted_trees_on_a_rotated_pair_share_the_importance(
    rotated: tuple[Codes, np.ndarray],
) -> None:
    """Halves for a and b, pure for c, importances summing to 1 a factor: (2·(1 − ln2/ln3) + 1)/3.

    Minus the little importance of the third column.
    """
    result = scores("dci", "locatello2019", *rotated)
    expected = (2 * (1 - np.log(2) / np.log(3)) + 1) / 3
    assert result["disentanglement"] == pytest.approx(expected, abs=0.02)
    assert result["informativeness"] > 0.99


def test_irs_on_a_rotated_pair(rotated: tuple[Codes, np.ndarray]) -> None:
    """With a fixed, a ± b deviates by 2 of at most 4; c by 0. Weights: 4/2, 4/2 and 1/√(2/3)."""
    weight = 1 / np.sqrt(2 / 3)
    expected = (2 * 2 * 0.5 + weight) / (4 + weight)
    assert scores("irs", "suter2019", *rotated)["score"] == pytest.approx(expected, abs=1e-9)


def test_irs_of_two_binary_factors() -> None:
    """Factors of values 0, 1; z = f₀ + f₁/2. With f₀ fixed z deviates by ¼, at most ¾: 1 − ⅓."""
    labels = np.array([[i, j] for i in (0, 1) for j in (0, 1)])
    z = labels @ np.array([[1.0], [0.5]])
    assert irs.robustness(z, labels, 1.0) == pytest.approx(2 / 3)
    # Every quantile of ¼, ¼ is ¼.
    assert irs.robustness(z, labels, 0.5) == pytest.approx(2 / 3)


def test_dci_of_a_table() -> None:
    """Rows (3, 1) and (0, 4): D = (4·(1 − H₂(¼)) + 4·1)/8; columns (3, 0) and (1, 4) for C."""
    table = np.array([[3.0, 1.0], [0.0, 4.0]])

    def bits(p: float) -> float:
        return float(-p * np.log2(p) - (1 - p) * np.log2(1 - p))

    assert dci.disentanglement(table) == pytest.approx((1 - bits(1 / 4) + 1) / 2)
    assert dci.disentanglement(table.T) == pytest.approx((3 * 1 + 5 * (1 - bits(1 / 5))) / 8)
    assert dci.disentanglement(np.zeros((2, 2))) == 0.0
    assert dci.disentanglement(np.ones((3, 4))) == pytest.approx(0.0)


def test_modularity_of_a_table() -> None:
    """Rows (2, 1, 0) and (0, 0, 3): 1 − (1/4)/2 = 7/8 and 1; a row of 0 counts or does not."""
    table = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    assert modularity.modularity(table, idle=False) == pytest.approx((7 / 8 + 1) / 2)
    assert modularity.modularity(table, idle=True) == pytest.approx((7 / 8 + 1) / 3)


def test_concentration_of_a_table() -> None:
    """Rows (3, 1) and (0, 0): (¾ − ½)/½ = ½, and 0."""
    assert concentration(np.array([[3.0, 1.0], [0.0, 0.0]])) == pytest.approx(1 / 4)


def test_the_area_under_the_roc_curve() -> None:
    """Positives 3, 1 and negatives 2, 1: 2 pairs in order, 1 tie: 2½ of 4."""
    scored = np.array([3.0, 1.0, 2.0, 1.0])
    positive = np.array([True, True, False, False])
    assert modularity.roc_auc(scored, positive) == pytest.approx(2.5 / 4)


def test_gaussian_scores_of_a_correlated_pair() -> None:
    """Correlation ρ: TC = −½ ln(1 − ρ²); eigenvalues 1 ± ρ, so W = (4 − 2(√(1+ρ) + √(1−ρ)))/2."""
    rho = 0.6
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], float)
    x = np.stack([signs[:, 0], rho * signs[:, 0] + np.sqrt(1 - rho**2) * signs[:, 1]], axis=1)
    total, distance = unsupervised.gaussian(x * [5.0, 0.1])
    assert total == pytest.approx(-0.5 * np.log(1 - rho**2))
    assert distance == pytest.approx(2 - np.sqrt(1 + rho) - np.sqrt(1 - rho))


def test_information_of_every_pair_of_dimensions(grid: np.ndarray) -> None:
    """The dimensions of a grid are independent; a copy of one shares its entropy, ln 5."""
    table = unsupervised.matrix(
        narrow_codes(grid[:, [0, 1, 2, 2]], category=grid[:, 2], categories=5)
    )
    assert np.diag(table) == pytest.approx(np.log([3, 4, 5, 5, 5]))
    assert table[2, 3] == table[2, 4] == pytest.approx(np.log(5))
    assert table[0, 1] == pytest.approx(0, abs=1e-12)


def test_mig_of_one_dimension_and_of_a_wide_posterior() -> None:
    """One dimension has no second best. Means ±1 of std 1: I = ln 2 − E[H₂], by quadrature."""
    bit = np.arange(400)[:, None] % 2
    narrow = narrow_codes(2.0 * bit - 1)
    for protocol in ("chen2018", "locatello2019", "do2020"):
        assert scores("mig", protocol, narrow, bit)["score"] == pytest.approx(1, abs=1e-6)
    z = np.linspace(-9, 9, 20_001)
    p = np.exp(-0.5 * (z[:, None] - np.array([-1.0, 1.0])) ** 2) / np.sqrt(2 * np.pi)
    each = 0.5 * np.sum(p * np.log(p / p.mean(axis=1, keepdims=True)), axis=1)
    share = np.sum(each) * (z[1] - z[0]) / np.log(2)
    wide = Codes(narrow.mean, np.ones((400, 1)))
    for protocol in ("chen2018", "do2020"):
        assert scores("mig", protocol, wide, bit)["score"] == pytest.approx(share, abs=0.012)


def test_explicitness_of_one_value_of_three() -> None:
    """The code is whether the value is 2: an area of 1 for 2, and of (½ + 1)/2 for the others."""
    labels = np.arange(900)[:, None] % 3
    codes = narrow_codes(labels == 2)
    areas = (1 + 3 / 4 + 3 / 4) / 3
    result = scores("modularity", "locatello2019", codes, labels)["explicitness"]
    assert result == pytest.approx(areas, abs=0.02)
    result = scores("modularity", "ridgeway2018", codes, labels)["explicitness"]
    assert result == pytest.approx(2 * areas - 1, abs=0.04)


def test_irs_of_a_skewed_dimension() -> None:
    """f = 0 at 0, 0, 3, mean 1; f = 1 at 4: worst 2 and 0, the greatest |0 − 5/2|: 1 − 1/2½."""
    z = np.array([[0.0], [0.0], [3.0], [4.0], [4.0], [4.0]])
    labels = np.array([0, 0, 0, 1, 1, 1])[:, None]
    assert irs.robustness(z, labels, 1.0) == pytest.approx(1 - 1 / 2.5)
    # The median of 1, 1, 2 is 1.
    assert irs.robustness(z, labels, 0.5) == pytest.approx(1 - 0.5 / 2.5)


def test_infomec_of_a_category_with_all_information_on_two_factors() -> None:
    """NMI is 1 for both factors: shares of ½, so no modularity; one dimension: compact."""
    f, g = (v.reshape(-1) for v in np.meshgrid(range(2), range(4), indexing="ij"))
    factors = np.tile(np.stack([f, g], axis=1), (50, 1))
    category = factors[:, 0] * 4 + factors[:, 1]
    codes = Codes(np.zeros((400, 1)), category=category, categories=8)
    result = scores("infomec", "hsu2023", codes, factors)
    assert result["modularity"] == pytest.approx(0, abs=1e-9)
    assert result["compactness"] == pytest.approx(1)
    assert result["dimensions"] == 1


def test_dimensions_below_an_eighth_of_the_widest_range_are_inactive() -> None:
    bit = np.arange(400)[:, None] % 2
    wide = np.random.default_rng(0).uniform(0, 9, size=(400, 1))
    for width, explicit in ((1.0, 0.0), (2.0, 1.0)):
        codes = narrow_codes(np.concatenate([wide, width * bit], axis=1))
        result = scores("infomec", "hsu2023", codes, bit)
        assert result["explicitness"] == pytest.approx(explicit, abs=0.1)
        assert result["dimensions"] == 1 + explicit
    one = Codes(wide, category=np.zeros(400, np.int64), categories=2)
    assert infomec._active(one, infomec.PROTOCOLS["hsu2023"]).tolist() == [True, False]


def test_importance_of_a_discrete_code_is_the_sum_of_its_columns() -> None:
    """One-hot columns of share ⅓ are correlated; the lasso gives weight to two of them."""
    labels = np.arange(300) % 3
    x = np.concatenate([np.zeros((300, 1)), np.eye(3)[labels]], axis=1)
    protocol, owner = dci.PROTOCOLS["eastwood2018"], np.array([0, 1, 1, 1])
    y = labels[:, None].astype(float)
    result, _ = dci.importances(x, y, x, y, owner, protocol)
    w, _ = dci._lasso_importance(x, y[:, 0], x, y[:, 0], protocol.alpha)
    assert np.count_nonzero(w) >= 2
    assert result[:, 0].tolist() == pytest.approx([0, w.sum()])


def test_the_intercept_is_not_penalised() -> None:
    """With columns of 0, p is the share of the classes for any penalty."""
    labels = np.arange(100) % 10 // 8
    weights = logistic.fit(np.zeros((100, 2)), labels, 2, C=1e-3)
    p = logistic.predict_proba(weights, np.zeros((1, 2)))
    assert p[0].tolist() == pytest.approx([0.8, 0.2], abs=1e-3)
    assert logistic.predict(weights, np.zeros((1, 2))).tolist() == [0]
    # x = ±1, W = (−w, w): n ln(1 + e^−2w) + w²/strength is least at w/C = n/(1 + e^2w).
    x = np.repeat([[-1.0], [1.0]], 50, axis=0)
    w = logistic.fit(x, np.repeat([0, 1], 50), 2, C=0.1)[0, 1]
    assert w / 0.1 == pytest.approx(100 / (1 + np.exp(2 * w)), rel=1e-3)


def test_chance_of_a_probe_is_the_share_of_the_most_frequent_value() -> None:
    labels = (np.arange(1_500) % 5 == 0).astype(np.int64)[:, None]
    codes = narrow_codes(np.random.default_rng(0).normal(size=(1_500, 1)))
    result = scores("probes", "locatello2019-logistic", codes, labels)
    assert result["chance"] == pytest.approx(4 / 5, abs=0.08)
    assert result["score"] == pytest.approx(result["chance"], abs=0.02)


def test_a_category_separates_votes_of_the_beta_vae_metric(grid: np.ndarray) -> None:
    """Fixed: the first factor, the category, or neither: three kinds of votes, all separable."""
    codes = narrow_codes(grid[:, :1], category=grid[:, 1], categories=4)
    assert scores("beta-vae", "locatello2019", codes, grid)["score"] > 0.99


def test_a_category_counts_for_pairwise_information_and_not_for_gaussian_scores(
    grid: np.ndarray,
) -> None:
    codes = narrow_codes(grid[:, :1], category=grid[:, 0], categories=3)
    result = scores("unsupervised", "locatello2019", codes, grid)
    assert result["mutual_information"] == pytest.approx(np.log(3))
    assert result["gaussian_tc"] == result["gaussian_wasserstein"] == 0.0
