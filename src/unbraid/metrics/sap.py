"""Separated attribute predictability, SAP (Kumar et al. 2018, §3).

For each factor, how much better the best single dimension predicts it than the second best does,
averaged over factors.
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
GROUPS = 10


@dataclass(frozen=True)
class Protocol:
    """A named way to compute SAP.

    `predictor`: `svm`, the accuracy on test items of a linear support vector machine on one
    dimension, classes balanced; or `r2`, the share of an ordered factor's variance that a line in
    one dimension explains, on the items that it was fitted to.
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
    """The gap, 0 to 1, its standard error (batch means), and the items fitted on.

    A discrete code predicts each category's most frequent value, or its mean. The second best of a
    code of one dimension is 0. UserError for bad arrays; `r2` takes continuous factors.
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors, allow_continuous=protocol.predictor == "r2")
    if protocol.predictor == "r2":
        train = arrays.draw(len(factors), protocol.train, rng)
        test = train[:0]
    else:
        train, test = arrays.split(len(factors), protocol.train, protocol.test, rng)
    both = np.concatenate([train, test])
    x, y = codes.subset(both), factors[both]
    if protocol.predictor == "svm":
        y = arrays.classes(y)
    cut = len(train)

    def gap(part: Int[np.ndarray, " items"], held: Int[np.ndarray, " held"]) -> list[float]:
        ordered = np.sort(table(x, y, part, held + cut, protocol), axis=0)
        second = ordered[-2] if len(ordered) > 1 else 0.0
        return [float(np.mean(ordered[-1] - second))]

    found = gap(np.arange(cut), np.arange(len(test)))[0]
    error = uncertainty.batch_means_se(gap, cut, len(test), GROUPS, rng)
    return {"score": found, "standard_error": float(error[0]), "items": cut}


def table(
    codes: Codes,
    factors: Num[np.ndarray, "n f"],
    train: Int[np.ndarray, " items"],
    test: Int[np.ndarray, " held"],
    protocol: Protocol,
) -> Float[np.ndarray, "d f"]:
    """How well each dimension, then the discrete code, predicts each factor; 0 to 1."""
    x, _ = arrays.features(codes)
    x = x[:, : codes.mean.shape[1]]
    if protocol.predictor == "r2":
        return _explained(x[train], codes, factors, train)
    fitted, held = factors[train], factors[test]
    rows = [accuracy(c[train], fitted, c[test], held, protocol.C) for c in x.T]
    if codes.category is not None:
        rows.append(np.array([_majority(codes, y, train, test) for y in factors.T]))
    return np.array(rows)


def _explained(
    x: Float[np.ndarray, "items z"],
    codes: Codes,
    factors: Num[np.ndarray, "n f"],
    train: Int[np.ndarray, " items"],
) -> Float[np.ndarray, "d f"]:
    """R² = Cov²/(Var·Var); of a discrete code, the variance between categories over all of it."""
    y = factors[train] - factors[train].mean(axis=0)
    variance = np.mean(y**2, axis=0)
    x = x - x.mean(axis=0)
    spread = np.mean(x**2, axis=0)
    product = np.where(spread > 0, spread, 1)[:, None] * np.where(variance > 0, variance, 1)
    rows = (x.T @ y / len(y)) ** 2 / product
    if codes.category is None:
        return rows
    one_hot = np.eye(codes.categories)[codes.category[train]]
    count = np.maximum(one_hot.sum(axis=0), 1)[:, None]
    between = np.sum((one_hot.T @ y) ** 2 / count, axis=0) / len(y)
    return np.vstack([rows, between / np.where(variance > 0, variance, 1)])


def _majority(
    codes: Codes,
    labels: Int[np.ndarray, " n"],
    train: Int[np.ndarray, " items"],
    test: Int[np.ndarray, " held"],
) -> float:
    category = codes.category
    assert category is not None
    counts = np.zeros((codes.categories, int(labels.max()) + 1))
    np.add.at(counts, (category[train], labels[train]), 1)
    return float(np.mean(counts.argmax(axis=1)[category[test]] == labels[test]))
