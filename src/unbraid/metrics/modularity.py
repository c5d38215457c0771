"""Modularity and explicitness (Ridgeway & Mozer 2018, §3).

Modularity: does a dimension know of one factor only? 1 − Σ_{f ≠ f*} I_df²/(I_df*² (F − 1)), a mean
over dimensions, f* the factor it knows most of. Explicitness: can a linear classifier read each
value of each factor from the code? The area under its ROC curve, a mean over values, then factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.stats import rankdata

from unbraid.codes import Codes
from unbraid.metrics import arrays, logistic, mutual_information, uncertainty
from unbraid.metrics.protocols import by_name, find

TITLE = "modularity and explicitness"
NAMES = ("modularity", "explicitness")
GROUPS = 10


@dataclass(frozen=True)
class Protocol:
    """A named way to compute both.

    Modularity on `train` items in `bins` of equal width; a dimension that knows nothing of any
    factor counts 0 if `idle` counts, and is left out otherwise. Explicitness on `test` others;
    `normalised` sends the area of a guess, ½, to 0.
    """

    name: str
    train: int
    test: int
    bins: int
    idle: bool
    normalised: bool
    C: float = 1.0


PROTOCOLS = by_name(
    Protocol("ridgeway2018", train=10_000, test=5_000, bins=20, idle=False, normalised=True),
    Protocol("locatello2019", train=10_000, test=5_000, bins=20, idle=True, normalised=False),
)


def score(
    codes: Codes,
    factors: Shaped[np.ndarray, "..."],
    rng: np.random.Generator,
    protocol: Protocol | str = "ridgeway2018",
) -> dict[str, float]:
    """Modularity (jackknife over items) and explicitness (batch means), with standard errors.

    Both 0 to 1, but that a guess is explicit to ½ if not normalised. A single factor is modular.
    UserError for bad arrays.
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    train, test = arrays.split(len(factors), protocol.train, protocol.test, rng)
    both, cut = np.concatenate([train, test]), len(train)
    codes, labels = codes.subset(both), arrays.classes(factors[both])
    code = mutual_information.code_classes(codes.subset(np.arange(cut)), protocol.bins)
    group = uncertainty.groups(cut, min(GROUPS, cut), rng)
    information, _ = mutual_information.tables(
        mutual_information.contingency(code, labels[:cut], group)
    )
    modular = np.array([modularity(table, idle=protocol.idle) for table in information])
    x, _ = arrays.features(codes)

    def explicit(part: Int[np.ndarray, " items"], held: Int[np.ndarray, " held"]) -> list[float]:
        held = held + cut
        return [_explicitness(x[part], labels[part], x[held], labels[held], protocol)]

    explicitness = explicit(np.arange(cut), np.arange(len(test)))[0]
    error = uncertainty.batch_means_se(explicit, cut, len(test), GROUPS, rng)
    return {
        "modularity": float(modular[0]),
        "modularity_standard_error": float(uncertainty.jackknife(modular[1:])),
        "explicitness": explicitness,
        "explicitness_standard_error": float(error[0]),
        "items": cut,
    }


def modularity(information: Float[np.ndarray, "d f"], *, idle: bool) -> float:
    """From I(d; f) in nats; 0 if no dimension knows anything."""
    squares = information**2
    most = squares.max(axis=1)
    knows = most > 0
    others = squares.sum(axis=1) - most
    rest = np.where(knows, others / np.where(knows, most, 1), 0) / max(1, squares.shape[1] - 1)
    values = np.where(knows, 1 - rest, 0)
    kept = values if idle else values[knows]
    return float(kept.mean()) if len(kept) else 0.0


def roc_auc(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """Area under the ROC curve: P(score of a positive > of a negative), ties one half."""
    p, n = int(positive.sum()), int((~positive).sum())
    return float((rankdata(scores)[positive].sum() - p * (p + 1) / 2) / (p * n))


def _explicitness(
    x: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, "n f"],
    x_test: Float[np.ndarray, "m c"],
    y_test: Int[np.ndarray, "m f"],
    protocol: Protocol,
) -> float:
    per_factor = []
    for f in range(labels.shape[1]):
        classes = int(max(labels[:, f].max(), y_test[:, f].max())) + 1
        weights = logistic.fit(x, labels[:, f], classes, protocol.C)
        p = logistic.probabilities(weights, x_test)
        # A value that all or none of the test items have draws no curve.
        seen = [k for k in range(classes) if 0 < (y_test[:, f] == k).sum() < len(y_test)]
        areas = [roc_auc(p[:, k], y_test[:, f] == k) for k in seen]
        per_factor.append(np.mean(areas) if areas else 0.5)
    mean = float(np.mean(per_factor))
    return 2 * mean - 1 if protocol.normalised else mean
