"""Parts of metrics against independent implementations: scikit-learn, scipy, disent 0.8.0."""

import json

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score, roc_auc_score
from sklearn.svm import LinearSVC
from tests.oracles import agreement
from tests.oracles.disent_values import KINDS, TRAIN, VALUES, sample

from unbraid.codes import Codes
from unbraid.metrics import (
    classification,
    dci,
    logistic,
    modularity,
    mutual_information,
    sap,
    threshold,
    trees,
)

DISENT = json.loads(VALUES.read_text())
TREES = ("D", "C", "accuracy")
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_information_of_counts_equals_scikit_learn(kind: str) -> None:
    s = sample(kind)
    code = mutual_information.code_classes(Codes(s["z_train"]), 20)
    half = np.arange(TRAIN) % 2
    joints = mutual_information.contingency(code, s["y_train"], half)
    information, entropies = mutual_information.tables(joints)
    for f, labels in enumerate(s["y_train"].T):
        assert entropies[0, f] == pytest.approx(entropy(np.bincount(labels)))
        for d, column in enumerate(code.T):
            expected = mutual_info_score(column, labels)
            assert information[0, d, f] == pytest.approx(expected, abs=1e-9)
            # Without the first half.
            expected = mutual_info_score(column[half == 1], labels[half == 1])
            assert information[1, d, f] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kind", ["noisy", "noise", "mixed"])
def test_nearest_neighbour_information_equals_scikit_learn(kind: str) -> None:
    s = sample(kind)
    for f in range(s["y_train"].shape[1]):
        labels = s["y_train"][:1500, f]
        expected = mutual_info_classif(s["z_train"][:1500], labels, random_state=0)
        result = [mutual_information.knn_mi(x, labels) for x in s["z_train"][:1500].T]
        # Neighbours within rounding of the radius may or may not be counted.
        np.testing.assert_allclose(result, expected, atol=2e-4)


def test_nearest_neighbour_information_of_few_values_equals_that_of_counts() -> None:
    """With ties the two estimators differ by terms of 1/n."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 4_000)
    column = np.where(rng.random(4_000) < 0.8, labels, rng.integers(0, 3, 4_000))
    expected = mutual_info_score(column, labels)
    result = mutual_information.knn_mi(column.astype(float), labels)
    assert result == pytest.approx(expected, abs=0.002)


def test_a_posterior_code_has_the_information_of_its_mixture() -> None:
    """Two means ±1 of std 1: I = ln 2 − E[H_b(p)], by quadrature; bins lose some."""
    labels = np.repeat([0, 1], 50)
    mean, std = np.where(labels == 1, 1.0, -1.0), np.ones(100)
    z = np.linspace(-9, 9, 20_001)
    p = np.exp(-0.5 * (z[:, None] - np.array([-1.0, 1.0])) ** 2) / np.sqrt(2 * np.pi)
    total = p.mean(axis=1)
    integrand = 0.5 * np.sum(p * np.log(p / total[:, None]), axis=1)
    expected = np.sum(integrand) * (z[1] - z[0])
    for width in (0.5, 0.1):
        edges = np.arange(-6, 6 + width, width)
        group = np.zeros(100, np.int64)
        joint = mutual_information.posterior_joint(mean, std, edges, labels[:, None], group)[0]
        result = mutual_information.information(joint[0])
        assert result == pytest.approx(expected, abs=0.02 * width)
        assert result < expected


def test_normalised_information_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    category = rng.integers(0, 4, 500)
    labels = np.where(rng.random(500) < 0.5, category % 3, rng.integers(0, 3, 500))
    codes = Codes(np.zeros((500, 1)), category=category, categories=4)
    expected = normalized_mutual_info_score(labels, category)
    assert classification.score(codes, labels)["nmi"] == pytest.approx(expected)


def test_logistic_regression_equals_scikit_learn() -> None:
    s = sample("noisy")
    for f in (0, 2):
        x, y = s["z_train"][:2000], s["y_train"][:2000, f]
        other = LogisticRegression(C=0.5, tol=1e-8, max_iter=2000).fit(x, y)
        weights = logistic.fit(x, y, int(y.max()) + 1, C=0.5)
        p = logistic.predict_proba(weights, s["z_test"])
        np.testing.assert_allclose(p, other.predict_proba(s["z_test"]), atol=3e-3)


def test_roc_auc_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    positive, scored = rng.random(300) < 0.3, rng.integers(0, 20, 300).astype(float)
    expected = roc_auc_score(positive, scored)
    assert modularity.roc_auc(scored, positive) == pytest.approx(expected)


@pytest.mark.parametrize("factor", [0, 1, 4])
def test_support_vector_machines_equal_liblinear(factor: int) -> None:
    s = sample("noisy")
    x, y = s["z_train"][:, factor], s["y_train"][:, factor]
    for labels in (y, (y > y.mean()).astype(np.int64)):
        other = LinearSVC(C=0.01, class_weight="balanced", tol=1e-9, max_iter=100_000)
        other.fit(x[:, None], labels)
        # The second factor must not change the machines of the first.
        ((classes, weights), _) = threshold.fit(x, np.stack([labels, 5 - y % 5], axis=1), 0.01)
        if len(classes) == 2:
            # scikit-learn keeps the second class's machine only.
            weights = weights[1:]
        np.testing.assert_allclose(weights[:, 0], other.coef_[:, 0], atol=1e-5)
        np.testing.assert_allclose(weights[:, 1], other.intercept_, atol=1e-5)


def test_the_lasso_equals_scikit_learn() -> None:
    s = sample("mixed")
    x = (s["z_train"] - s["z_train"].mean(axis=0)) / s["z_train"].std(axis=0)
    y = s["y_train"][:, 3]
    y = (y - y.mean()) / y.std()
    for alpha in (0.02, 0.3):
        other = Lasso(alpha=alpha, tol=1e-10, max_iter=100_000).fit(x, y).coef_
        result = dci.lasso(x.T @ x / len(x), x.T @ y / len(x), alpha)
        np.testing.assert_allclose(result, other, atol=1e-6)


@pytest.mark.parametrize("kind", ["noisy", "mixed"])
def test_boosted_trees_equal_scikit_learn_on_the_same_bins(kind: str) -> None:
    s = sample(kind)
    y = s["y_train"][:1500, 2]
    x = s["z_train"][:1500]
    # Whole numbers below 64: both see the same cuts.
    edges = np.quantile(x, np.linspace(0, 1, 42)[1:-1], axis=0)
    x = np.stack([np.searchsorted(e, c) for e, c in zip(edges.T, x.T, strict=True)], axis=1)
    test = [np.searchsorted(e, c) for e, c in zip(edges.T, s["z_test"].T, strict=True)]
    x, test = x.astype(float), np.stack(test, axis=1).astype(float)
    # Both choose at random between splits of equal gain.
    for rounds, tolerance in ((3, 2e-3), (20, 0.01)):
        other = GradientBoostingClassifier(n_estimators=rounds, random_state=0).fit(x, y)
        ours = trees.fit(x, y, 8, rounds=rounds)
        np.testing.assert_allclose(ours.importance, other.feature_importances_, atol=tolerance)
        assert np.mean(ours.predict(test) == other.predict(test)) > 0.97


@kinds
def test_mig_and_sap_equal_disent(kind: str) -> None:
    result, other = agreement.ours(kind), agreement.theirs(kind)
    # Values of the rotated code on the edge of two bins fall into either by rounding.
    assert result["MIG"] == pytest.approx(other["MIG"], abs=3e-4)
    assert result["SAP"] == pytest.approx(other["SAP"], abs=5e-4)
    s = sample(kind)
    codes, items = Codes(s["z_train"]), np.arange(TRAIN)
    table = sap.table(codes, s["y_train"], items, items[:0], sap.PROTOCOLS["kumar2018"])
    gaps = np.sort(table, axis=0)
    expected = DISENT[kind]["sap_continuous"]["sap.score"]
    assert np.mean(gaps[-1] - gaps[-2]) == pytest.approx(expected, abs=1e-9)


@kinds
def test_dci_equals_disent_up_to_binning(kind: str) -> None:
    # 2,500 test items, five factors each: the std of an accuracy is at most 0.01.
    for column in TREES:
        expected = agreement.theirs(kind)[column]
        assert agreement.ours(kind)[column] == pytest.approx(expected, abs=0.015), column


@kinds
def test_the_factor_vae_score_equals_disent(kind: str) -> None:
    # Both are sampled: four standard errors of a difference.
    tolerance = 4 * np.sqrt(2) * max(agreement.ours(kind)["FactorVAE error"], 0.002)
    expected = agreement.theirs(kind)["FactorVAE"]
    assert agreement.ours(kind)["FactorVAE"] == pytest.approx(expected, abs=tolerance)


@kinds
def test_the_documented_agreement_is_the_measured_one(kind: str) -> None:
    for column, pair in agreement.documented()[kind].items():
        measured = agreement.ours(kind)[column], agreement.theirs(kind)[column]
        # Half of the last digit; DCI changes by more if rounding selects another split.
        assert pair == pytest.approx(measured, abs=0.002 if column in TREES else 0.0006)
