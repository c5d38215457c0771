"""Separated attribute predictability (SAP).

SAP measures how much better the best dimension predicts a factor than the second best does. Let
S_df be the quality of a predictor of factor f from dimension d alone, and S_(1)f and S_(2)f the two
largest of these for a factor:

    SAP = 1/F Σ_f (S_(1)f − S_(2)f)

References
----------
Kumar et al., "Variational Inference of Disentangled Latent Concepts from Unlabeled Observations",
2018, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

from unbraid.codes import Codes
from unbraid.metrics import arrays, uncertainty
from unbraid.metrics.protocols import by_name, find
from unbraid.metrics.threshold import accuracy

TITLE = "SAP"
MIN_FACTORS = 1


@dataclass(frozen=True)
class Protocol:
    """Parameters of SAP.

    Parameters
    ----------
    name : str
        Name of the protocol.
    train, test : int
        Number of items that the predictors are fitted to, and scored on.
    predictor : str
        "svm": the test accuracy of a linear support vector machine, classes balanced. "r2": the
        share of an ordered factor's variance that a linear regression explains on the training
        items.
    C : float, default 0.0
        Inverse penalty of the support vector machine.
    """

    name: str
    train: int
    test: int
    predictor: str
    C: float = 0.0


PROTOCOLS = by_name(
    Protocol("locatello2019", train=10_000, test=5_000, predictor="svm", C=0.01),
    Protocol("kumar2018", train=10_000, test=0, predictor="r2"),
)


def score(
    codes: Codes,
    factors: Shaped[np.ndarray, "..."],
    rng: np.random.Generator,
    protocol: Protocol | str = "locatello2019",
) -> dict[str, float]:
    """Compute the separated attribute predictability.

    Parameters
    ----------
    codes : Codes
        Codes of n items. A discrete code predicts the most frequent value of its category, or with
        "r2" the mean value.
    factors : array of shape (n, f)
        Factor values, whole numbers for the predictor "svm"; constant factors are ignored.
    rng : numpy.random.Generator
        Random generator; draws the items.
    protocol : Protocol or str, default "locatello2019"
        Protocol, or its name in `PROTOCOLS`.

    Returns
    -------
    dict of str to float
        `score`: 0 to 1; for a code of one dimension, the second best counts as 0.
        `standard_error`: estimated by batch means. `items`: number of training items.

    Raises
    ------
    ArgumentError
        If the arrays are invalid, "svm" gets fewer than 10 items, or the protocol is unknown.

    References
    ----------
    Kumar et al., 2018, section 3; "locatello2019": Locatello et al., "Challenging Common
    Assumptions in the Unsupervised Learning of Disentangled Representations", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> factors = np.array([[a, b] for a in range(4) for b in range(4)] * 50)
    >>> result = score(Codes(factors.astype(float)), factors, rng, "kumar2018")
    >>> round(result["score"], 6), result["items"]
    (1.0, 800)
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors, allow_continuous=protocol.predictor == "r2")
    if protocol.predictor == "r2":
        train = arrays.draw(len(factors), protocol.train, rng)
        test = train[:0]
    else:
        train, test = arrays.split(len(factors), protocol.train, protocol.test, rng)
    both = np.concatenate([train, test])
    sample, y = codes.subset(both), factors[both]
    if protocol.predictor == "svm":
        y = arrays.classes(y)
    num_train = len(train)

    def gap(
        train_part: Int[np.ndarray, " items"], test_part: Int[np.ndarray, " held"]
    ) -> list[float]:
        ordered = np.sort(table(sample, y, train_part, test_part + num_train, protocol), axis=0)
        second = ordered[-2] if len(ordered) > 1 else 0.0
        return [float((ordered[-1] - second).mean())]

    value = gap(np.arange(num_train), np.arange(len(test)))[0]
    error = uncertainty.batch_means_se(gap, num_train, len(test), uncertainty.NUM_GROUPS, rng)
    return {"score": value, "standard_error": float(error[0]), "items": num_train}


def table(
    codes: Codes,
    factors: Num[np.ndarray, "n f"],
    train: Int[np.ndarray, " items"],
    test: Int[np.ndarray, " held"],
    protocol: Protocol,
) -> Float[np.ndarray, "d f"]:
    """Compute how well every dimension alone predicts every factor.

    Parameters
    ----------
    codes : Codes
        Codes of n items.
    factors : array of shape (n, f)
        Factor values; classes from 0 for the predictor "svm".
    train, test : integer array
        Positions of the training and of the test items; "r2" needs no test items.
    protocol : Protocol
        Protocol.

    Returns
    -------
    array of shape (d, f)
        Accuracy or R², 0 to 1; the discrete code is the last dimension.
    """
    x, _ = arrays.features(codes)
    x = x[:, : codes.mean.shape[1]]
    if protocol.predictor == "r2":
        return _explained_variance(x[train], codes, factors, train)
    y_train, y_test = factors[train], factors[test]
    rows = [accuracy(c[train], y_train, c[test], y_test, protocol.C) for c in x.T]
    if codes.category is not None:
        rows.append(np.array([_majority(codes, y, train, test) for y in factors.T]))
    return np.array(rows)


def _explained_variance(
    x: Float[np.ndarray, "items z"],
    codes: Codes,
    factors: Num[np.ndarray, "n f"],
    train: Int[np.ndarray, " items"],
) -> Float[np.ndarray, "d f"]:
    """Return R² = Cov²/(Var·Var); for a discrete code, the share of variance between categories."""
    y = factors[train] - factors[train].mean(axis=0)
    y_variance = np.mean(y**2, axis=0)
    x = x - x.mean(axis=0)
    x_variance = np.mean(x**2, axis=0)
    safe_y = np.where(y_variance > 0, y_variance, 1)
    product = np.where(x_variance > 0, x_variance, 1)[:, None] * safe_y
    rows = (x.T @ y / len(y)) ** 2 / product
    if codes.category is None:
        return rows
    one_hot = np.eye(codes.categories)[codes.category[train]]
    count = np.maximum(one_hot.sum(axis=0), 1)[:, None]
    between = np.sum((one_hot.T @ y) ** 2 / count, axis=0) / len(y)
    return np.vstack([rows, between / safe_y])


def _majority(
    codes: Codes,
    labels: Int[np.ndarray, " n"],
    train: Int[np.ndarray, " items"],
    test: Int[np.ndarray, " held"],
) -> float:
    """Return the test accuracy of the most frequent value of every category."""
    category = codes.category
    assert category is not None
    counts = np.zeros((codes.categories, int(labels.max()) + 1))
    np.add.at(counts, (category[train], labels[train]), 1)
    return float((counts.argmax(axis=1)[category[test]] == labels[test]).mean())
