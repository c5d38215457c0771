"""Modularity and explicitness.

Modularity: a dimension is modular if it informs about one factor only. With f* the factor that
dimension d is most informative of, and F factors:

    modularity = mean over d of 1 − Σ_{f ≠ f*} I_df² / (I_df*² (F − 1))

Explicitness: the area under the ROC curve of a linear classifier that predicts a value of a factor
from the code, averaged over values and then over factors.

References
----------
Ridgeway and Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", 2018,
section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.metrics import arrays, logistic, mutual_information, uncertainty
from unbraid.metrics._scipy import ranks
from unbraid.metrics.protocols import by_name, find

TITLE = "modularity and explicitness"
SCORE_NAMES = ("modularity", "explicitness")
MIN_FACTORS = 2


@dataclass(frozen=True)
class Protocol:
    """Parameters of modularity and explicitness.

    Parameters
    ----------
    name : str
        Name of the protocol.
    train : int
        Items that modularity is computed on and the classifiers are fitted to.
    test : int
        Further items that explicitness is computed on.
    bins : int
        Bins of equal width of a continuous dimension.
    idle : bool
        Whether a dimension without information on any factor counts as 0; otherwise it is ignored.
    normalised : bool
        Whether explicitness is 2·AUC − 1, so that chance is 0; otherwise the AUC, where chance is
        ½.
    C : float, default 1.0
        Inverse penalty of the logistic regression.
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
    """Compute modularity and explicitness.

    Parameters
    ----------
    codes : Codes
        Codes of n items; the discrete code is one dimension.
    factors : array of shape (n, f)
        Factor values, whole numbers; constant factors are ignored.
    rng : numpy.random.Generator
        Random generator; draws the items.
    protocol : Protocol or str, default "ridgeway2018"
        Protocol, or its name in `PROTOCOLS`.

    Returns
    -------
    dict of str to float
        `modularity`, 0 to 1 (1 for a single factor), with `modularity_standard_error` by the
        jackknife over items; `explicitness`, at most 1, with `explicitness_standard_error` by batch
        means; `items`, the number of training items.

    Raises
    ------
    ArgumentError
        If the arrays are invalid, there are fewer than 10 items, or the protocol is unknown.

    References
    ----------
    Ridgeway and Mozer, 2018, section 3; "locatello2019": Locatello et al., "Challenging Common
    Assumptions in the Unsupervised Learning of Disentangled Representations", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> factors = np.array([[a, b] for a in range(2) for b in range(2)] * 300)
    >>> result = score(Codes(factors.astype(float)), factors, rng)
    >>> round(result["modularity"], 2), result["explicitness"]
    (1.0, 1.0)
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    train, test = arrays.split(len(factors), protocol.train, protocol.test, rng)
    both, cut = np.concatenate([train, test]), len(train)
    codes, labels = codes.subset(both), arrays.classes(factors[both])
    code = mutual_information.code_classes(codes.subset(np.arange(cut)), protocol.bins)
    group = uncertainty.groups(cut, min(uncertainty.NUM_GROUPS, cut), rng)
    joints = mutual_information.contingency(code, labels[:cut], group)
    information, _ = mutual_information.tables(joints)
    modularities = np.array([modularity(table, idle=protocol.idle) for table in information])
    x, _ = arrays.features(codes)

    def explicit(
        train_part: Int[np.ndarray, " items"], test_part: Int[np.ndarray, " held"]
    ) -> list[float]:
        test_part = test_part + cut
        value = _explicitness(
            x[train_part], labels[train_part], x[test_part], labels[test_part], protocol
        )
        return [value]

    explicitness = explicit(np.arange(cut), np.arange(len(test)))[0]
    error = uncertainty.batch_means_se(explicit, cut, len(test), uncertainty.NUM_GROUPS, rng)
    return {
        "modularity": float(modularities[0]),
        "modularity_standard_error": float(uncertainty.jackknife(modularities[1:])),
        "explicitness": explicitness,
        "explicitness_standard_error": float(error[0]),
        "items": cut,
    }


def modularity(information: Float[np.ndarray, "d f"], *, idle: bool) -> float:
    """Compute modularity from mutual information.

    Parameters
    ----------
    information : array of shape (d, f)
        I(d; f) in nats.
    idle : bool
        Whether a dimension without information counts as 0; otherwise it is ignored.

    Returns
    -------
    float
        0 to 1; 0 if no dimension has information.

    Examples
    --------
    >>> import numpy as np
    >>> modularity(np.array([[2.0, 1.0], [0.0, 0.0]]), idle=False)
    0.75
    """
    squares = information**2
    most = squares.max(axis=1)
    informative = most > 0
    others = squares.sum(axis=1) - most
    rest = np.where(informative, others / np.where(informative, most, 1), 0)
    values = np.where(informative, 1 - rest / max(1, squares.shape[1] - 1), 0)
    counted = values if idle else values[informative]
    return float(counted.mean()) if len(counted) else 0.0


def roc_auc(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """Compute the area under the ROC curve: P(positive scores higher than negative), ties ½.

    Parameters
    ----------
    scores : array of shape (n,)
        Scores of a classifier.
    positive : boolean array of shape (n,)
        Whether an item is positive; both kinds must occur.

    Returns
    -------
    float
        Area, 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> roc_auc(np.array([3.0, 1.0, 2.0, 1.0]), np.array([True, True, False, False]))
    0.625
    """
    p, n = int(positive.sum()), int((~positive).sum())
    return float((ranks(scores)[positive].sum() - p * (p + 1) / 2) / (p * n))


def _explicitness(
    x: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, "n f"],
    x_test: Float[np.ndarray, "m c"],
    y_test: Int[np.ndarray, "m f"],
    protocol: Protocol,
) -> float:
    per_factor: list[float] = []
    for f in range(labels.shape[1]):
        classes = int(max(labels[:, f].max(), y_test[:, f].max())) + 1
        weights = logistic.fit(x, labels[:, f], classes, protocol.C)
        p = logistic.predict_proba(weights, x_test)
        # A value of all or of none of the test items has no ROC curve.
        with_curve = [k for k in range(classes) if 0 < (y_test[:, f] == k).sum() < len(y_test)]
        areas = [roc_auc(p[:, k], y_test[:, f] == k) for k in with_curve]
        per_factor.append(float(np.mean(areas)) if areas else 0.5)
    mean = float(np.mean(per_factor))
    return 2 * mean - 1 if protocol.normalised else mean
