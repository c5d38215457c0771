"""Disentanglement, completeness and informativeness (DCI).

A predictor of every factor from the code gives importances R_df of dimension d for factor f. With
P_df = R_df / Σ_f R_df and Q_df = R_df / Σ_d R_df, entropies normalised to [0, 1], and ρ_d (ρ_f) the
fraction of all importances that belong to dimension d (factor f):

    disentanglement = Σ_d ρ_d (1 − H(P_d·))
    completeness    = Σ_f ρ_f (1 − H(Q_·f))
    informativeness = mean over factors of the predictor's accuracy, or of 1 − NRMSE

References
----------
Eastwood and Williams, "A Framework for the Quantitative Evaluation of Disentangled
Representations", 2018, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

from unbraid.codes import Codes
from unbraid.entropy import entropy
from unbraid.metrics import arrays, trees, uncertainty
from unbraid.metrics.protocols import by_name, find

TITLE = "DCI"
SCORE_NAMES = ("disentanglement", "completeness", "informativeness")
MIN_FACTORS = 2
# Fewer than elsewhere: every group fits all predictors once more.
NUM_GROUPS = 5
# Variance or standard deviation below which a column counts as constant.
MIN_VARIANCE = 1e-12


@dataclass(frozen=True)
class Protocol:
    """Parameters of DCI.

    Parameters
    ----------
    name : str
        Name of the protocol.
    train, test : int
        Number of training items and of test items.
    predictor : str
        "trees": boosted trees of depth 3 that classify; importance is the gain of their splits and
        informativeness the accuracy. "lasso": linear regression with an L1 penalty on standardised
        columns; importance is |weight| and informativeness is 1 − root mean squared error / std of
        the factor, at least 0.
    rounds : int, default 0
        Rounds of boosting.
    alpha : float, default 0.0
        Penalty of the lasso.
    """

    name: str
    train: int
    test: int
    predictor: str
    rounds: int = 0
    alpha: float = 0.0


PROTOCOLS = by_name(
    Protocol("locatello2019", train=10_000, test=5_000, predictor="trees", rounds=100),
    Protocol("eastwood2018", train=10_000, test=5_000, predictor="lasso", alpha=0.02),
)


def score(
    codes: Codes,
    factors: Shaped[np.ndarray, "..."],
    rng: np.random.Generator,
    protocol: Protocol | str = "locatello2019",
) -> dict[str, float]:
    """Compute disentanglement, completeness and informativeness.

    Parameters
    ----------
    codes : Codes
        Codes of n items; the discrete code is one dimension.
    factors : array of shape (n, f)
        Factor values, whole numbers for the predictor "trees"; constant factors are ignored.
    rng : numpy.random.Generator
        Random generator; draws the items.
    protocol : Protocol or str, default "locatello2019"
        Protocol, or its name in `PROTOCOLS`.

    Returns
    -------
    dict of str to float
        `disentanglement`, `completeness`, `informativeness`, 0 to 1; a
        `…_standard_error` of each, by batch means; `items`, the number of training items. The paper
        reports the error of "lasso", which is 1 − our informativeness.

    Raises
    ------
    ArgumentError
        If the arrays are invalid, there are fewer than 10 items, or the protocol is unknown.

    References
    ----------
    Eastwood and Williams, 2018, section 2; boosted trees: Locatello et al., "Challenging Common
    Assumptions in the Unsupervised Learning of Disentangled Representations", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> factors = rng.integers(0, 4, size=(600, 2))
    >>> result = score(Codes(factors.astype(float)), factors, rng, "eastwood2018")
    >>> result["disentanglement"], result["completeness"], round(result["informativeness"], 2)
    (1.0, 1.0, 0.98)
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    regression = protocol.predictor == "lasso"
    factors = arrays.validate_factors(codes, factors, allow_continuous=regression)
    train, test = arrays.split(len(factors), protocol.train, protocol.test, rng)
    items = np.concatenate([train, test])
    x, dimension_c = arrays.features(codes.subset(items))
    y = factors[items] if regression else arrays.classes(factors[items])
    num_train = len(train)

    def values(
        train_part: Int[np.ndarray, " items"], test_part: Int[np.ndarray, " held"]
    ) -> tuple[float, float, float]:
        test_part = test_part + num_train
        importance, informativeness = importances(
            x[train_part], y[train_part], x[test_part], y[test_part], dimension_c, protocol
        )
        return disentanglement(importance), disentanglement(importance.T), informativeness

    scores = values(np.arange(num_train), np.arange(len(test)))
    errors = uncertainty.batch_means_se(values, num_train, len(test), NUM_GROUPS, rng)
    outcome: dict[str, float] = {}
    for name, value, error in zip(SCORE_NAMES, scores, errors, strict=True):
        outcome |= {name: value, f"{name}_standard_error": float(error)}
    return outcome | {"items": num_train}


def importances(
    x: Float[np.ndarray, "n c"],
    y: Num[np.ndarray, "n f"],
    x_test: Float[np.ndarray, "m c"],
    y_test: Num[np.ndarray, "m f"],
    dimension_c: Int[np.ndarray, " c"],
    protocol: Protocol,
) -> tuple[Float[np.ndarray, "d f"], float]:
    """Fit a predictor of every factor and return the importances and the informativeness.

    Parameters
    ----------
    x, x_test : array of shape (n, c), (m, c)
        Columns of the code, of training and of test items.
    y, y_test : array of shape (n, f), (m, f)
        Factor values.
    dimension_c : integer array of shape (c,)
        Dimension of every column; the importances of its columns are summed.
    protocol : Protocol
        Protocol.

    Returns
    -------
    importance : array of shape (d, f)
        R_df, 0 or more.
    informativeness : float
        Mean over factors, 0 to 1, of the test items.
    """
    importance = np.zeros((int(dimension_c.max()) + 1, y.shape[1]))
    informativeness: list[float] = []
    for f in range(y.shape[1]):
        if protocol.predictor == "lasso":
            weight, quality = _lasso_importance(x, y[:, f], x_test, y_test[:, f], protocol.alpha)
        else:
            classes = int(max(y[:, f].max(), y_test[:, f].max())) + 1
            ensemble = trees.fit(x, y[:, f], classes, protocol.rounds)
            weight = ensemble.importance
            quality = float((ensemble.predict(x_test) == y_test[:, f]).mean())
        np.add.at(importance[:, f], dimension_c, weight)
        informativeness.append(quality)
    return importance, float(np.mean(informativeness))


def disentanglement(importance: Float[np.ndarray, "d f"]) -> float:
    """Compute Σ_d ρ_d (1 − H(P_d·)) from importances; of the transpose it is completeness.

    Parameters
    ----------
    importance : array of shape (d, f)
        R_df, 0 or more.

    Returns
    -------
    float
        0 to 1; 0 if all importances are 0, 1 if there is only one factor.

    Examples
    --------
    >>> import numpy as np
    >>> disentanglement(np.eye(3))
    1.0
    """
    weight = importance.sum(axis=1)
    if weight.sum() <= 0:
        return 0.0
    entropies = np.array([entropy(row) for row in importance])
    if importance.shape[1] > 1:
        entropies /= np.log(importance.shape[1])
    return float(np.sum(weight / weight.sum() * (1 - entropies)))


def _lasso_importance(
    x: Float[np.ndarray, "n c"],
    y: Num[np.ndarray, " n"],
    x_test: Float[np.ndarray, "m c"],
    y_test: Num[np.ndarray, " m"],
    alpha: float,
) -> tuple[Float[np.ndarray, " c"], float]:
    """Return |w| minimising ‖y − xw‖²/(2n) + α‖w‖₁ on standardised columns, and 1 − NRMSE."""
    centre, std = x.mean(axis=0), x.std(axis=0)
    scale = np.where(std > MIN_VARIANCE, std, 1)
    y_mean, y_std = float(y.mean()), float(y.std()) or 1.0
    standard = (x - centre) / scale
    gram, target = standard.T @ standard / len(x), standard.T @ ((y - y_mean) / y_std) / len(x)
    w = lasso(gram, target, alpha)
    error = (y_test - y_mean) / y_std - (x_test - centre) / scale @ w
    return np.abs(w), max(0.0, 1 - float(np.sqrt((error**2).mean())))


def lasso(
    gram: Float[np.ndarray, "c c"], target: Float[np.ndarray, " c"], alpha: float
) -> Float[np.ndarray, " c"]:
    """Minimise ½wᵀGw − wᵀt + α‖w‖₁ by coordinate descent.

    Parameters
    ----------
    gram : array of shape (c, c)
        G, the covariance of the columns.
    target : array of shape (c,)
        t, the covariance of the columns with the target.
    alpha : float
        Penalty.

    Returns
    -------
    array of shape (c,)
        w; 0 for a column without variance.

    Examples
    --------
    >>> import numpy as np
    >>> lasso(np.eye(2), np.array([0.5, 0.1]), alpha=0.25).tolist()
    [0.25, 0.0]
    """
    w = np.zeros(len(target))
    for _ in range(1_000):
        before = w.copy()
        for j in range(len(w)):
            if gram[j, j] > MIN_VARIANCE:
                correlation = target[j] - gram[j] @ w + gram[j, j] * w[j]
                w[j] = np.sign(correlation) * max(abs(correlation) - alpha, 0) / gram[j, j]
        if np.abs(w - before).max(initial=0) < 1e-8:
            break
    return w
