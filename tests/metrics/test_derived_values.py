"""Scores of codes with a known joint distribution, compared with values derived by hand."""

import numpy as np
import pytest
from tests.metrics.helpers import narrow_codes, scores

from unbraid.codes import Codes
from unbraid.metrics import classification, dci, infomec, irs, logistic, modularity, unsupervised
from unbraid.metrics.infomec import concentration

# I/H = (ln 2 − H(¼))/ln 2 of a fair bit that a channel flips with probability ¼.
SHARE = 1 - (-0.25 * np.log(0.25) - 0.75 * np.log(0.75)) / np.log(2)


@pytest.fixture
def channel() -> tuple[Codes, np.ndarray]:
    """A fair bit, and a category that equals it except for every fourth item."""
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


def test_scores_of_a_noisy_bit(channel: tuple[Codes, np.ndarray]) -> None:
    """MIG and the explicitness of InfoMEC are I/H; R² = (1 − 2·¼)²; accuracy ¾; AUC (¾ + ¾)/2."""
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
    """NMI = 2 I/(H + H) = I/ln 2, as both bits are fair."""
    codes, factors = channel
    result = classification.score(codes, factors[:, 0])
    assert result["nmi"] == pytest.approx(SHARE, abs=1e-12)
    assert result["one_to_one"] == 3 / 4
    nmi = classification.score(codes, factors[:, 0], protocol="nmi")
    assert nmi == {"score": result["nmi"], "chance": 0.0}


def test_scores_of_a_rotated_pair(rotated: tuple[Codes, np.ndarray]) -> None:
    """Expect a gap of 0 for a and b, on which a + b and a − b are equally informative, and 1 for c.

    The modularity is 1 − ½ for the rotated dimensions and 1 for the third, so ⅔ on average. InfoMEC
    is (½ − ⅓)/⅔ = ¼ for the two and 1 for the third, so ½ on average, by row and by column.
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
    """The lasso weights of uncorrelated standardised columns are |correlation| − α.

    They are 1/√2 − α four times, and 1 − α. The rows of a + b and a − b have two equal weights and
    contribute 1 − ln 2/ln 3; the row of c has one and contributes 1.
    """
    pair, single = 1 / np.sqrt(2) - 0.02, 1 - 0.02
    expected = (4 * pair * (1 - np.log(2) / np.log(3)) + single) / (4 * pair + single)
    result = scores("dci", "eastwood2018", *rotated)
    assert result["disentanglement"] == pytest.approx(expected, abs=0.01)
    assert result["completeness"] == pytest.approx(expected, abs=0.01)
    # The unexplained share is α for c, and √2·α for a and b.
    root = (2 * 0.02 * np.sqrt(2) + 0.02) / 3
    assert result["informativeness"] == pytest.approx(1 - root, abs=1e-3)


def test_boosted_trees_on_a_rotated_pair_share_the_importance(
    rotated: tuple[Codes, np.ndarray],
) -> None:
    """Two rows have equal importances for a and b, one row has importance for c only.

    The importances of each factor sum to 1, so the score is (2·(1 − ln 2/ln 3) + 1)/3, minus the
    small importance of the third column.
    """
    result = scores("dci", "locatello2019", *rotated)
    expected = (2 * (1 - np.log(2) / np.log(3)) + 1) / 3
    assert result["disentanglement"] == pytest.approx(expected, abs=0.02)
    assert result["informativeness"] > 0.99


def test_irs_on_a_rotated_pair(rotated: tuple[Codes, np.ndarray]) -> None:
    """If a is fixed, a ± b deviates by 2 of at most 4, c by 0. Weights: 4/2, 4/2 and 1/√(2/3)."""
    weight = 1 / np.sqrt(2 / 3)
    expected = (2 * 2 * 0.5 + weight) / (4 + weight)
    assert scores("irs", "suter2019", *rotated)["score"] == pytest.approx(expected, abs=1e-9)


def test_irs_of_two_binary_factors() -> None:
    """For z = f₀ + f₁/2 and fixed f₀, z deviates by ¼ of at most ¾: 1 − ⅓."""
    labels = np.array([[i, j] for i in (0, 1) for j in (0, 1)])
    z = labels @ np.array([[1.0], [0.5]])
    assert irs.robustness(z, labels, 1.0) == pytest.approx(2 / 3)
    # Both deviations are ¼, and so is every quantile.
    assert irs.robustness(z, labels, 0.5) == pytest.approx(2 / 3)


def test_dci_of_a_table() -> None:
    """D = (4·(1 − H₂(¼)) + 4·1)/8 for rows (3, 1), (0, 4); C uses the columns (3, 0), (1, 4)."""
    table = np.array([[3.0, 1.0], [0.0, 4.0]])

    def bits(p: float) -> float:
        return float(-p * np.log2(p) - (1 - p) * np.log2(1 - p))

    assert dci.disentanglement(table) == pytest.approx((1 - bits(1 / 4) + 1) / 2)
    assert dci.disentanglement(table.T) == pytest.approx((3 * 1 + 5 * (1 - bits(1 / 5))) / 8)
    assert dci.disentanglement(np.zeros((2, 2))) == 0.0
    assert dci.disentanglement(np.ones((3, 4))) == pytest.approx(0.0)


def test_modularity_of_a_table() -> None:
    """1 − (1/4)/2 = 7/8 and 1 for the first rows; a row of zeros counts only if `idle` is set."""
    table = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    assert modularity.modularity(table, idle=False) == pytest.approx((7 / 8 + 1) / 2)
    assert modularity.modularity(table, idle=True) == pytest.approx((7 / 8 + 1) / 3)


def test_concentration_of_a_table() -> None:
    """(¾ − ½)/½ = ½ for the row (3, 1), and 0 for the row (0, 0)."""
    assert concentration(np.array([[3.0, 1.0], [0.0, 0.0]])) == pytest.approx(1 / 4)


def test_roc_auc_of_four_items() -> None:
    """Positives are 3, 1 and negatives 2, 1: two of four pairs are in order, and one is a tie."""
    scored = np.array([3.0, 1.0, 2.0, 1.0])
    positive = np.array([True, True, False, False])
    assert modularity.roc_auc(scored, positive) == pytest.approx(2.5 / 4)


def test_gaussian_scores_of_a_correlated_pair() -> None:
    """TC = −½ ln(1 − ρ²); for eigenvalues 1 ± ρ, W = (4 − 2(√(1+ρ) + √(1−ρ)))/2."""
    rho = 0.6
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], float)
    x = np.stack([signs[:, 0], rho * signs[:, 0] + np.sqrt(1 - rho**2) * signs[:, 1]], axis=1)
    total, distance = unsupervised.gaussian(x * [5.0, 0.1])
    assert total == pytest.approx(-0.5 * np.log(1 - rho**2))
    assert distance == pytest.approx(2 - np.sqrt(1 + rho) - np.sqrt(1 - rho))


def test_mutual_information_of_every_pair_of_dimensions(grid: np.ndarray) -> None:
    """The dimensions of a grid are independent; a copy of one shares its entropy, ln 5."""
    table = unsupervised.matrix(
        narrow_codes(grid[:, [0, 1, 2, 2]], category=grid[:, 2], categories=5)
    )
    assert np.diag(table) == pytest.approx(np.log([3, 4, 5, 5, 5]))
    assert table[2, 3] == table[2, 4] == pytest.approx(np.log(5))
    assert table[0, 1] == pytest.approx(0, abs=1e-12)


def test_mig_of_one_dimension_and_of_a_wide_posterior() -> None:
    """One dimension has no second best. For means ±1 and std 1, I is computed by quadrature."""
    bit = np.arange(400)[:, None] % 2
    narrow = narrow_codes(2.0 * bit - 1)
    for protocol in ("chen2018", "locatello2019", "do2020"):
        assert scores("mig", protocol, narrow, bit)["score"] == pytest.approx(1, abs=1e-6)
    z = np.linspace(-9, 9, 20_001)
    p = np.exp(-0.5 * (z[:, None] - np.array([-1.0, 1.0])) ** 2) / np.sqrt(2 * np.pi)
    integrand = 0.5 * np.sum(p * np.log(p / p.mean(axis=1, keepdims=True)), axis=1)
    share = np.sum(integrand) * (z[1] - z[0]) / np.log(2)
    wide = Codes(narrow.mean, np.ones((400, 1)))
    for protocol in ("chen2018", "do2020"):
        assert scores("mig", protocol, wide, bit)["score"] == pytest.approx(share, abs=0.012)


def test_explicitness_of_one_value_of_three() -> None:
    """The code is whether the value is 2. The AUC is 1 for 2, and (½ + 1)/2 for the others."""
    labels = np.arange(900)[:, None] % 3
    codes = narrow_codes(labels == 2)
    mean_auc = (1 + 3 / 4 + 3 / 4) / 3
    result = scores("modularity", "locatello2019", codes, labels)["explicitness"]
    assert result == pytest.approx(mean_auc, abs=0.02)
    result = scores("modularity", "ridgeway2018", codes, labels)["explicitness"]
    assert result == pytest.approx(2 * mean_auc - 1, abs=0.04)


def test_irs_of_a_skewed_dimension() -> None:
    """Deviations from the means 1 and 4 are at most 2 and 0, on average 1, of at most |0 − 5/2|."""
    z = np.array([[0.0], [0.0], [3.0], [4.0], [4.0], [4.0]])
    labels = np.array([0, 0, 0, 1, 1, 1])[:, None]
    assert irs.robustness(z, labels, 1.0) == pytest.approx(1 - 1 / 2.5)
    # The median of 1, 1, 2 is 1.
    assert irs.robustness(z, labels, 0.5) == pytest.approx(1 - 0.5 / 2.5)


def test_infomec_of_a_category_with_all_information_on_two_factors() -> None:
    """NMI is 1 for both factors: equal shares give modularity 0, one dimension compactness 1."""
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
    for width, explicitness in ((1.0, 0.0), (2.0, 1.0)):
        codes = narrow_codes(np.concatenate([wide, width * bit], axis=1))
        result = scores("infomec", "hsu2023", codes, bit)
        assert result["explicitness"] == pytest.approx(explicitness, abs=0.1)
        assert result["dimensions"] == 1 + explicitness
    codes = Codes(wide, category=np.zeros(400, np.int64), categories=2)
    assert infomec._active(codes, infomec.PROTOCOLS["hsu2023"]).tolist() == [True, False]


def test_importance_of_a_discrete_code_is_the_sum_of_its_columns() -> None:
    """The one-hot columns are correlated, so the lasso gives weight to at least two of them."""
    labels = np.arange(300) % 3
    x = np.concatenate([np.zeros((300, 1)), np.eye(3)[labels]], axis=1)
    protocol, owner = dci.PROTOCOLS["eastwood2018"], np.array([0, 1, 1, 1])
    y = labels[:, None].astype(float)
    result, _ = dci.importances(x, y, x, y, owner, protocol)
    w, _ = dci._lasso_importance(x, y[:, 0], x, y[:, 0], protocol.alpha)
    assert np.count_nonzero(w) >= 2
    assert result[:, 0].tolist() == pytest.approx([0, w.sum()])


def test_the_intercept_is_not_penalised() -> None:
    """For columns of zeros, the predicted probabilities are the class shares for any penalty."""
    labels = np.arange(100) % 10 // 8
    weights = logistic.fit(np.zeros((100, 2)), labels, 2, C=1e-3)
    p = logistic.predict_proba(weights, np.zeros((1, 2)))
    assert p[0].tolist() == pytest.approx([0.8, 0.2], abs=1e-3)
    assert logistic.predict(weights, np.zeros((1, 2))).tolist() == [0]
    # x = ±1, W = (−w, w): n ln(1 + e^−2w) + w²/C is smallest at w/C = n/(1 + e^2w).
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
    """The fixed factor is the first, the category or neither; the three kinds are separable."""
    codes = narrow_codes(grid[:, :1], category=grid[:, 1], categories=4)
    assert scores("beta-vae", "locatello2019", codes, grid)["score"] > 0.99


def test_a_category_counts_for_pairwise_information_and_not_for_gaussian_scores(
    grid: np.ndarray,
) -> None:
    codes = narrow_codes(grid[:, :1], category=grid[:, 0], categories=3)
    result = scores("unsupervised", "locatello2019", codes, grid)
    assert result["mutual_information"] == pytest.approx(np.log(3))
    assert result["gaussian_tc"] == result["gaussian_wasserstein"] == 0.0
