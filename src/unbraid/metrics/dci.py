"""Disentanglement, completeness, informativeness, DCI (Eastwood & Williams 2018, §2).

A predictor of each factor from the code gives R_df, how much dimension d matters for factor f. With
shares over factors P_df and over dimensions Q_df, and entropies to the base of their number:
D = Σ_d ρ_d (1 − H(P_d·)), ρ_d dimension d's share of all R; C likewise over factors.
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
GROUPS = 5


@dataclass(frozen=True)
class Protocol:
    """A named way to compute DCI.

    `predictor`: boosted `trees` of depth 3 on classes, importance by gain, informativeness the
    accuracy; or `lasso` with penalty `alpha` on standardised columns, importance |weight|,
    informativeness 1 − root of the mean squared error over the factor's std, 0 at the least.
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
NAMES = ("disentanglement", "completeness", "informativeness")


def score(
    codes: Codes,
    factors: Shaped[np.ndarray, "..."],
    rng: np.random.Generator,
    protocol: Protocol | str = "locatello2019",
) -> dict[str, float]:
    """D, C and I, 0 to 1, each with its standard error (batch means), and the items fitted on.

    The informativeness of `lasso` is turned round: the paper's error is 1 − ours. UserError for bad
    arrays; `lasso` takes continuous factors.
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(
        codes, factors, allow_continuous=protocol.predictor == "lasso"
    )
    train, test = arrays.split(len(factors), protocol.train, protocol.test, rng)
    both = np.concatenate([train, test])
    x, owner = arrays.features(codes.subset(both))
    y = factors[both] if protocol.predictor == "lasso" else arrays.classes(factors[both])
    cut = len(train)

    def values(
        part: Int[np.ndarray, " items"], held: Int[np.ndarray, " held"]
    ) -> tuple[float, float, float]:
        held = held + cut
        importance, right = importances(x[part], y[part], x[held], y[held], owner, protocol)
        return disentanglement(importance), disentanglement(importance.T), right

    found = values(np.arange(cut), np.arange(len(test)))
    error = uncertainty.batch_means_se(values, cut, len(test), GROUPS, rng)
    outcome: dict[str, float] = {}
    for name, value, e in zip(NAMES, found, error, strict=True):
        outcome |= {name: value, f"{name}_standard_error": float(e)}
    return outcome | {"items": cut}


def importances(
    x: Float[np.ndarray, "n c"],
    y: Num[np.ndarray, "n f"],
    x_test: Float[np.ndarray, "m c"],
    y_test: Num[np.ndarray, "m f"],
    owner: Int[np.ndarray, " c"],
    protocol: Protocol,
) -> tuple[Float[np.ndarray, "d f"], float]:
    """R_df, and the mean informativeness on the test items."""
    importance = np.zeros((int(owner.max()) + 1, y.shape[1]))
    right = []
    for f in range(y.shape[1]):
        if protocol.predictor == "lasso":
            weight, informative = _lasso(x, y[:, f], x_test, y_test[:, f], protocol.alpha)
        else:
            classes = int(max(y[:, f].max(), y_test[:, f].max())) + 1
            forest = trees.fit(x, y[:, f], classes, protocol.rounds)
            weight = forest.importance
            informative = float(np.mean(forest.predicted(x_test) == y_test[:, f]))
        np.add.at(importance[:, f], owner, weight)
        right.append(informative)
    return importance, float(np.mean(right))


def disentanglement(importance: Float[np.ndarray, "d f"]) -> float:
    """Σ_d ρ_d (1 − H(P_d·)), 0 to 1; of the transpose it is completeness.

    0 if no dimension matters; 1 if there is one factor only.
    """
    weight = importance.sum(axis=1)
    if weight.sum() <= 0:
        return 0.0
    share = importance / np.where(weight > 0, weight, 1)[:, None]
    entropies = np.array([entropy(row) for row in share])
    if importance.shape[1] > 1:
        entropies /= np.log(importance.shape[1])
    return float(np.sum(weight / weight.sum() * (1 - entropies)))


def _lasso(
    x: Float[np.ndarray, "n c"],
    y: Num[np.ndarray, " n"],
    x_test: Float[np.ndarray, "m c"],
    y_test: Num[np.ndarray, " m"],
    alpha: float,
) -> tuple[Float[np.ndarray, " c"], float]:
    """|w| of the minimiser of ‖y − xw‖²/(2n) + α‖w‖₁ on standardised columns, and 1 − NRMSE."""
    centre, spread = x.mean(axis=0), x.std(axis=0)
    scale = np.where(spread > 1e-12, spread, 1)
    level, size = float(y.mean()), float(y.std()) or 1.0
    standard = (x - centre) / scale
    gram, towards = standard.T @ standard / len(x), standard.T @ ((y - level) / size) / len(x)
    w = lasso(gram, towards, alpha)
    error = (y_test - level) / size - (x_test - centre) / scale @ w
    return np.abs(w), max(0.0, 1 - float(np.sqrt(np.mean(error**2))))


def lasso(
    gram: Float[np.ndarray, "c c"], towards: Float[np.ndarray, " c"], alpha: float
) -> Float[np.ndarray, " c"]:
    """The minimiser of ½wᵀGw − wᵀt + α‖w‖₁ by coordinate descent; a column of variance 0 gets 0."""
    w = np.zeros(len(towards))
    for _ in range(1_000):
        before = w.copy()
        for j in range(len(w)):
            if gram[j, j] > 1e-12:
                pull = towards[j] - gram[j] @ w + gram[j, j] * w[j]
                w[j] = np.sign(pull) * max(abs(pull) - alpha, 0) / gram[j, j]
        if np.abs(w - before).max(initial=0) < 1e-8:
            break
    return w
