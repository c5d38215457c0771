"""Downstream probes: how well a standard classifier reads each factor from the code.

The mean over factors of the accuracy on other items (Locatello et al. 2019, §5.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.metrics import arrays, logistic, trees
from unbraid.metrics.protocols import by_name, find

TITLE = "probes"


@dataclass(frozen=True)
class Protocol:
    """A named probe: `logistic` regression, or boosted `trees` of depth 3 in 100 rounds."""

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
    """Mean accuracy, 0 to 1, its standard error over the test items, chance, and the items.

    Chance is the mean share of each factor's most frequent value. UserError for bad arrays.
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    train, test = arrays.split(len(factors), protocol.train, protocol.test, rng)
    both, cut = np.concatenate([train, test]), len(train)
    x, _ = arrays.features(codes.subset(both))
    labels = arrays.classes(factors[both])
    hits = np.stack([_hits(x, y, cut, protocol.probe) for y in labels.T], axis=1)
    # The factors of one item are hit or missed together: the mean over them is what varies.
    per_item = hits.mean(axis=1)
    chance = np.mean([np.bincount(y[cut:]).max() / len(test) for y in labels.T])
    return {
        "score": float(per_item.mean()),
        "standard_error": float(per_item.std() / np.sqrt(len(per_item))),
        "chance": float(chance),
        "items": cut,
    }


def _hits(
    x: Float[np.ndarray, "n c"], y: Int[np.ndarray, " n"], cut: int, probe: str
) -> Bool[np.ndarray, " m"]:
    classes = int(y.max()) + 1
    if probe == "trees":
        found = trees.fit(x[:cut], y[:cut], classes).predicted(x[cut:])
    else:
        found = logistic.predicted(logistic.fit(x[:cut], y[:cut], classes), x[cut:])
    return found == y[cut:]
