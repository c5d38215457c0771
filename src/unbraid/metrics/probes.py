"""Downstream probes: how well a standard classifier predicts the factors from the code.

    score = mean over factors of the accuracy on test items

References
----------
Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled
Representations", 2019, section 5.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.metrics import arrays, logistic, trees
from unbraid.metrics.protocols import by_name, find

TITLE = "probes"
MIN_FACTORS = 1


@dataclass(frozen=True)
class Protocol:
    """Parameters of a probe.

    Parameters
    ----------
    name : str
        Name of the protocol.
    train, test : int
        Items that the classifier is fitted to, and scored on.
    probe : str
        "logistic": logistic regression; "trees": boosted trees of depth 3, 100 rounds.
    """

    name: str
    train: int
    test: int
    probe: str


PROTOCOLS = by_name(
    Protocol("locatello2019-logistic", train=10_000, test=5_000, probe="logistic"),
    Protocol("locatello2019-trees", train=10_000, test=5_000, probe="trees"),
)


def score(
    codes: Codes,
    factors: Shaped[np.ndarray, "..."],
    rng: np.random.Generator,
    protocol: Protocol | str = "locatello2019-logistic",
) -> dict[str, float]:
    """Compute the mean accuracy of a classifier of every factor.

    Parameters
    ----------
    codes : Codes
        Codes of n items.
    factors : array of shape (n, f)
        Factor values, whole numbers; constant factors are ignored.
    rng : numpy.random.Generator
        Random generator; draws the items.
    protocol : Protocol or str, default "locatello2019-logistic"
        Protocol, or its name in `PROTOCOLS`.

    Returns
    -------
    dict of str to float
        `score`, 0 to 1; `standard_error`, over the test items; `chance`, the mean share of the most
        frequent value of a factor; `items`, the number of training items.

    Raises
    ------
    ArgumentError
        If the arrays are invalid, there are fewer than 10 items, or the protocol is unknown.

    References
    ----------
    Locatello et al., 2019, section 5.4.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> factors = rng.integers(0, 2, size=(300, 2))
    >>> result = score(Codes(factors.astype(float)), factors, rng)
    >>> result["score"], result["items"]
    (1.0, 200)
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    train, test = arrays.split(len(factors), protocol.train, protocol.test, rng)
    both, cut = np.concatenate([train, test]), len(train)
    x, _ = arrays.features(codes.subset(both))
    labels = arrays.classes(factors[both])
    correct = np.stack([_correct(x, y, cut, protocol.probe) for y in labels.T], axis=1)
    # Whether the factors of one item are predicted is correlated: items are the sampling unit.
    per_item = correct.mean(axis=1)
    chance = np.mean([np.bincount(y[cut:]).max() / len(test) for y in labels.T])
    return {
        "score": float(per_item.mean()),
        "standard_error": float(per_item.std() / np.sqrt(len(per_item))),
        "chance": float(chance),
        "items": cut,
    }


def _correct(
    x: Float[np.ndarray, "n c"], y: Int[np.ndarray, " n"], cut: int, probe: str
) -> Bool[np.ndarray, " m"]:
    classes = int(y.max()) + 1
    if probe == "trees":
        predicted = trees.fit(x[:cut], y[:cut], classes).predict(x[cut:])
    else:
        predicted = logistic.predict(logistic.fit(x[:cut], y[:cut], classes), x[cut:])
    return predicted == y[cut:]
