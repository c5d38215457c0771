"""Codes with a known joint distribution, and the values that follow from it on paper."""

import numpy as np
import pytest
from tests.metrics.codes_of_all_kinds import codes_of, scores

from unbraid.codes import Codes
from unbraid.metrics import classification, dci, infomec, irs, logistic, modularity, unsupervised
from unbraid.metrics.infomec import concentration

# A bit through a channel that flips one in four: I = ln 2 − H(¼), over ln 2.
SHARE = 1 - (-0.25 * np.log(0.25) - 0.75 * np.log(0.75)) / np.log(2)


@pytest.fixture
def channel() -> tuple[Codes, np.ndarray]:
    """The bit, and a category that is the bit flipped in every fourth item; no other dimension."""
    bit = np.repeat([0, 1], 6_000)
    flipped = np.where(np.arange(12_000) % 4 == 0, 1 - bit, bit)
    idle = np.zeros((12_000, 1))
    return Codes(idle, idle + 1, category=flipped, categories=2), bit[:, None]


@pytest.fixture
def rotated() -> tuple[Codes, np.ndarray]:
    """Factors a, b of 5 values and c of 3, all combinations alike; the code is a + b, a − b, c."""
    values = np.meshgrid(range(5), range(5), range(3), indexing="ij")
    factors = np.repeat(np.stack([v.reshape(-1) for v in values], axis=1), 40, axis=0)
    a, b, c = factors.T
    return codes_of(np.stack([a + b, a - b, c], axis=1)), factors.astype(np.int64)


def test_a_noisy_bit(channel: tuple[Codes, np.ndarray]) -> None:
    """MIG = compactness of information = I/H; R² = (1 − 2·¼)²; accuracy ¾; area (¾ + ¾)/2."""
    for protocol in ("chen2018", "locatello2019", "do2020"):
        found = scores("mig", protocol, *channel)
        assert found["score"] == pytest.approx(SHARE, abs=4 * found["standard_error"] + 1e-9)
    assert scores("mig", "do2020", *channel)["score"] == pytest.approx(SHARE, abs=1e-9)
    found = scores("sap", "kumar2018", *channel)
    assert found["score"] == pytest.approx(1 / 4, abs=4 * found["standard_error"])
    assert scores("sap", "locatello2019", *channel)["score"] == pytest.approx(1 / 4, abs=0.03)
    found = scores("modularity", "ridgeway2018", *channel)
    assert found["explicitness"] == pytest.approx(2 * 3 / 4 - 1, abs=0.04)
    assert found["modularity"] == 1.0
    found = scores("infomec", "hsu2023", *channel)
    assert found["explicitness"] == pytest.approx(SHARE, abs=0.03)
    assert (found["modularity"], found["compactness"]) == (1.0, 1.0)
    for protocol in ("locatello2019-logistic", "locatello2019-trees"):
        found = scores("probes", protocol, *channel)
        assert found["score"] == pytest.approx(3 / 4, abs=4 * found["standard_error"])
        assert found["chance"] == pytest.approx(1 / 2, abs=0.03)
    found = scores("dci", "locatello2019", *channel)
    assert (found["disentanglement"], found["completeness"]) == (1.0, 1.0)
    assert found["informativeness"] == pytest.approx(3 / 4, abs=0.03)
    assert scores("beta-vae", "locatello2019", *channel)["score"] == 1.0


def test_normalised_information_of_a_noisy_bit(channel: tuple[Codes, np.ndarray]) -> None:
    """2 I/(H + H) = I/ln 2, both being fair bits."""
    codes, factors = channel
    found = classification.score(codes, factors[:, 0])
    assert found["nmi"] == pytest.approx(SHARE, abs=1e-12)
    assert found["one_to_one"] == 3 / 4
    one = classification.score(codes, factors[:, 0], protocol="nmi")
    assert one == {"score": found["nmi"], "chance": 0.0}


def test_a_rotated_pair(rotated: tuple[Codes, np.ndarray]) -> None:
    """a + b and a − b know as much of a as of b: a gap of 0 for two factors, of 1 for c.

    Modularity: one of two other factors known as well, 1 − ½, twice, and 1: ⅔. InfoMEC: (½ − ⅓)/⅔ =
    ¼, twice, and 1: ½ by row and by column.
    """
    for protocol in ("locatello2019", "chen2018"):
        assert scores("mig", protocol, *rotated)["score"] == pytest.approx(1 / 3, abs=1e-3)
    assert scores("sap", "kumar2018", *rotated)["score"] == pytest.approx(1 / 3, abs=1e-12)
    found = scores("modularity", "ridgeway2018", *rotated)
    assert found["modularity"] == pytest.approx(2 / 3, abs=0.02)
    found = scores("infomec", "hsu2023", *rotated)
    assert found["modularity"] == pytest.approx(1 / 2, abs=1e-3)
    assert found["compactness"] == pytest.approx(1 / 2, abs=1e-3)
    # The votes of a and b are told apart by chance.
    found = scores("beta-vae", "locatello2019", *rotated)
    assert found["score"] == pytest.approx(2 / 3, abs=0.02)


def test_the_lasso_on_a_rotated_pair(rotated: tuple[Codes, np.ndarray]) -> None:
    """Uncorrelated standardised columns: |w| = |correlation| − α, 1/√2 − α four times, and 1 − α.

    Rows of a + b, a − b are halves: 1 − ln 2/ln 3; the row of c is pure.
    """
    pair, single = 1 / np.sqrt(2) - 0.02, 1 - 0.02
    wanted = (4 * pair * (1 - np.log(2) / np.log(3)) + single) / (4 * pair + single)
    found = scores("dci", "eastwood2018", *rotated)
    assert found["disentanglement"] == pytest.approx(wanted, abs=0.01)
    assert found["completeness"] == pytest.approx(wanted, abs=0.01)
    # What is not predicted of c is its share α; of a and b √2·α.
    root = (2 * 0.02 * np.sqrt(2) + 0.02) / 3
    assert found["informativeness"] == pytest.approx(1 - root, abs=1e-3)


def test_boosting_on_a_rotated_pair_prefers_neither(rotated: tuple[Codes, np.ndarray]) -> None:
    """Halves for a and b, pure for c, importances summing to 1 a factor: (2·(1 − ln2/ln3) + 1)/3.

    Less what little the trees give the third column.
    """
    found = scores("dci", "locatello2019", *rotated)
    wanted = (2 * (1 - np.log(2) / np.log(3)) + 1) / 3
    assert found["disentanglement"] == pytest.approx(wanted, abs=0.02)
    assert found["informativeness"] > 0.99


def test_irs_on_a_rotated_pair(rotated: tuple[Codes, np.ndarray]) -> None:
    """a held, a ± b moves by 2 of its greatest 4; c is not moved: weights 4/2, 4/2 and 1/√(2/3)."""
    weight = 1 / np.sqrt(2 / 3)
    wanted = (2 * 2 * 0.5 + weight) / (4 + weight)
    assert scores("irs", "suter2019", *rotated)["score"] == pytest.approx(wanted, abs=1e-9)


def test_irs_of_half_the_span() -> None:
    """Two factors of values 0, 1; z = f₀ + f₁/2: f₀ held, ¼ of a greatest ¾ is left: 1 − ⅓."""
    labels = np.array([[i, j] for i in (0, 1) for j in (0, 1)])
    z = labels @ np.array([[1.0], [0.5]])
    assert irs.robustness(z, labels, 1.0) == pytest.approx(2 / 3)
    # Linear quantiles of ¼, ¼ are ¼.
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
    """Rows (2, 1, 0) and (0, 0, 3): 1 − (1/4)/2 = 7/8 and 1; an idle row counts 0 or not at all."""
    table = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    assert modularity.modularity(table, idle=False) == pytest.approx((7 / 8 + 1) / 2)
    assert modularity.modularity(table, idle=True) == pytest.approx((7 / 8 + 1) / 3)


def test_concentration_of_a_table() -> None:
    """Rows (3, 1) and (0, 0): (¾ − ½)/½ = ½, and 0."""
    assert concentration(np.array([[3.0, 1.0], [0.0, 0.0]])) == pytest.approx(1 / 4)


def test_the_area_under_a_curve() -> None:
    """Positives 3, 1 and negatives 2, 1: pairs won 1 + 1, lost 1, tied ½: 2½ of 4."""
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


def test_the_information_of_every_pair(grid: np.ndarray) -> None:
    """A grid's dimensions are independent; its copy of one shares its entropy, ln 5."""
    table = unsupervised.matrix(codes_of(grid[:, [0, 1, 2, 2]], category=grid[:, 2], categories=5))
    assert np.diag(table) == pytest.approx(np.log([3, 4, 5, 5, 5]))
    assert table[2, 3] == table[2, 4] == pytest.approx(np.log(5))
    assert table[0, 1] == pytest.approx(0, abs=1e-12)


def test_mig_of_one_dimension_and_of_a_wide_posterior() -> None:
    """The second best of one dimension is 0. Means ±1 of std 1: I = ln 2 − E[H₂], by quadrature."""
    bit = np.arange(400)[:, None] % 2
    narrow = codes_of(2.0 * bit - 1)
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
    """The code says whether the value is 2: an area of 1 for it, of (½ + 1)/2 for either other."""
    labels = np.arange(900)[:, None] % 3
    codes = codes_of(labels == 2)
    areas = (1 + 3 / 4 + 3 / 4) / 3
    found = scores("modularity", "locatello2019", codes, labels)["explicitness"]
    assert found == pytest.approx(areas, abs=0.02)
    found = scores("modularity", "ridgeway2018", codes, labels)["explicitness"]
    assert found == pytest.approx(2 * areas - 1, abs=0.04)


def test_irs_of_a_lopsided_dimension() -> None:
    """f = 0 at 0, 0, 3, mean 1; f = 1 at 4: worst 2 and 0, the greatest |0 − 5/2|: 1 − 1/2½."""
    z = np.array([[0.0], [0.0], [3.0], [4.0], [4.0], [4.0]])
    labels = np.array([0, 0, 0, 1, 1, 1])[:, None]
    assert irs.robustness(z, labels, 1.0) == pytest.approx(1 - 1 / 2.5)
    # The median of 1, 1, 2 is 1.
    assert irs.robustness(z, labels, 0.5) == pytest.approx(1 - 0.5 / 2.5)


def test_infomec_of_a_category_that_knows_two_factors_in_full() -> None:
    """All of ln 2 and of ln 4 is known: shares of ½, no modularity; one dimension: compact."""
    f, g = (v.reshape(-1) for v in np.meshgrid(range(2), range(4), indexing="ij"))
    factors = np.tile(np.stack([f, g], axis=1), (50, 1))
    category = factors[:, 0] * 4 + factors[:, 1]
    codes = Codes(np.zeros((400, 1)), category=category, categories=8)
    found = scores("infomec", "hsu2023", codes, factors)
    assert found["modularity"] == pytest.approx(0, abs=1e-9)
    assert found["compactness"] == pytest.approx(1)
    assert found["dimensions"] == 1


def test_dimensions_below_an_eighth_of_the_widest_are_not_read() -> None:
    bit = np.arange(400)[:, None] % 2
    wide = np.random.default_rng(0).uniform(0, 9, size=(400, 1))
    for width, explicit in ((1.0, 0.0), (2.0, 1.0)):
        codes = codes_of(np.concatenate([wide, width * bit], axis=1))
        found = scores("infomec", "hsu2023", codes, bit)
        assert found["explicitness"] == pytest.approx(explicit, abs=0.1)
        assert found["dimensions"] == 1 + explicit
    one = Codes(wide, category=np.zeros(400, np.int64), categories=2)
    assert infomec._active(one, infomec.PROTOCOLS["hsu2023"]).tolist() == [True, False]


def test_a_discrete_code_matters_by_the_sum_of_its_columns() -> None:
    """One-hot columns of ⅓, each half correlated with the others: the lasso weighs two of them."""
    labels = np.arange(300) % 3
    x = np.concatenate([np.zeros((300, 1)), np.eye(3)[labels]], axis=1)
    protocol, owner = dci.PROTOCOLS["eastwood2018"], np.array([0, 1, 1, 1])
    y = labels[:, None].astype(float)
    found, _ = dci.importances(x, y, x, y, owner, protocol)
    w, _ = dci._lasso_importance(x, y[:, 0], x, y[:, 0], protocol.alpha)
    assert np.count_nonzero(w) >= 2
    assert found[:, 0].tolist() == pytest.approx([0, w.sum()])


def test_the_intercept_is_free() -> None:
    """Columns of 0 leave the shares of the classes, however heavy the penalty."""
    labels = np.arange(100) % 10 // 8
    weights = logistic.fit(np.zeros((100, 2)), labels, 2, C=1e-3)
    p = logistic.predict_proba(weights, np.zeros((1, 2)))
    assert p[0].tolist() == pytest.approx([0.8, 0.2], abs=1e-3)
    assert logistic.predict(weights, np.zeros((1, 2))).tolist() == [0]
    # x = ±1, W = (−w, w): n ln(1 + e^−2w) + w²/strength is least at w/strength = n/(1 + e^2w).
    x = np.repeat([[-1.0], [1.0]], 50, axis=0)
    w = logistic.fit(x, np.repeat([0, 1], 50), 2, C=0.1)[0, 1]
    assert w / 0.1 == pytest.approx(100 / (1 + np.exp(2 * w)), rel=1e-3)


def test_a_probes_chance_is_the_share_of_the_most_frequent_value() -> None:
    labels = (np.arange(1_500) % 5 == 0).astype(np.int64)[:, None]
    codes = codes_of(np.random.default_rng(0).normal(size=(1_500, 1)))
    found = scores("probes", "locatello2019-logistic", codes, labels)
    assert found["chance"] == pytest.approx(4 / 5, abs=0.08)
    assert found["score"] == pytest.approx(found["chance"], abs=0.02)


def test_a_category_tells_pairs_apart(grid: np.ndarray) -> None:
    """Fixed: the first factor, the category, or neither: three kinds of votes, all told apart."""
    codes = codes_of(grid[:, :1], category=grid[:, 1], categories=4)
    assert scores("beta-vae", "locatello2019", codes, grid)["score"] > 0.99


def test_a_category_is_in_the_information_of_pairs_and_in_no_gaussian(grid: np.ndarray) -> None:
    codes = codes_of(grid[:, :1], category=grid[:, 0], categories=3)
    found = scores("unsupervised", "locatello2019", codes, grid)
    assert found["mutual_information"] == pytest.approx(np.log(3))
    assert found["gaussian_tc"] == found["gaussian_wasserstein"] == 0.0
