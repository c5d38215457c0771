"""Unsupervised classification accuracy of a discrete code.

With N_kc images of class c in category k and N images in all:

- `one_to_one`: max over matchings of Σ N_kc / N, every category matched to at most one class;
- `majority`: Σ_k max_c N_kc / N, every category predicts its most frequent class;
- `nmi`: normalised mutual information 2 I(category; class)/(H(category) + H(class)).

References
----------
Jeong and Song, "Learning Discrete and Continuous Factors of Data via Alternating Disentanglement",
2019, Table 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from unbraid.codes import Codes
from unbraid.entropy import entropy
from unbraid.errors import ArgumentError
from unbraid.metrics._scipy import best_assignment
from unbraid.metrics.mutual_information import information
from unbraid.metrics.protocols import by_name, find

TITLE = "unsupervised classification accuracy"
MIN_FACTORS = 1


@dataclass(frozen=True)
class Protocol:
    """A way to compare categories with classes.

    Parameters
    ----------
    name : str
        "one_to_one" or "majority", the matching; or "nmi", which needs none.
    """

    name: str


PROTOCOLS = by_name(Protocol("one_to_one"), Protocol("majority"), Protocol("nmi"))


def score(
    codes: Codes,
    labels: Shaped[np.ndarray, "..."],
    rng: np.random.Generator | None = None,
    protocol: Protocol | str | None = None,
) -> dict[str, float]:
    """Compute classification scores of the discrete code, and the scores of chance.

    Chance is the expected accuracy of a category independent of the image: of `one_to_one`
    min(K, classes)/(K·classes), for uniform categories and classes; of `majority` the share of the
    most frequent class; of `nmi` 0, its limit for many items.

    Parameters
    ----------
    codes : Codes
        Codes of n items with a discrete code of K categories.
    labels : array of shape (n,)
        Class of every item.
    rng : numpy.random.Generator, optional
        Ignored: nothing is sampled.
    protocol : Protocol or str, optional
        Protocol, or its name in `PROTOCOLS`; all protocols by default.

    Returns
    -------
    dict of str to float
        With a protocol `score` and `chance`, 0 to 1; otherwise every protocol's score under its
        name and its chance as `chance_…`.

    Raises
    ------
    ArgumentError
        If there is no discrete code, the lengths differ or the protocol is unknown.

    References
    ----------
    Jeong and Song, 2019, Table 2.

    Examples
    --------
    >>> import numpy as np
    >>> codes = Codes(np.zeros((4, 1)), category=np.array([1, 1, 0, 0]), categories=2)
    >>> score(codes, np.array([0, 0, 1, 1]), protocol="one_to_one")
    {'score': 1.0, 'chance': 0.5}
    """
    table = confusion(codes, labels)
    rows, columns = best_assignment(table)
    k, classes = table.shape
    values = {
        "one_to_one": float(table[rows, columns].sum() / table.sum()),
        "majority": float(table.max(axis=1).sum() / table.sum()),
        "chance_one_to_one": min(k, classes) / (k * classes),
        "chance_majority": float(table.sum(axis=0).max() / table.sum()),
        "nmi": normalised_information(table),
        "chance_nmi": 0.0,
    }
    if protocol is None:
        return values
    name = find(protocol, PROTOCOLS, TITLE).name
    return {"score": values[name], "chance": values[f"chance_{name}"]}


def normalised_information(table: Int[np.ndarray, "k classes"]) -> float:
    """Compute the normalised mutual information 2 I/(H + H) of a table of counts.

    Parameters
    ----------
    table : integer array of shape (k, classes)
        Number of items of every category and class.

    Returns
    -------
    float
        Normalised information, 0 to 1; 0 if either variable is constant.
    """
    row_entropy, column_entropy = entropy(table.sum(axis=1)), entropy(table.sum(axis=0))
    # I is at most either entropy. Rounding must not violate that: collapsed codes must score 0.
    shared = min(information(table), row_entropy, column_entropy)
    return 2 * shared / (row_entropy + column_entropy) if shared > 0 else 0.0


def confusion(codes: Codes, labels: Shaped[np.ndarray, "..."]) -> Int[np.ndarray, "k classes"]:
    """Count the items of every category and class.

    Parameters
    ----------
    codes : Codes
        Codes of n items with a discrete code.
    labels : array of shape (n,)
        Class of every item.

    Returns
    -------
    integer array of shape (k, classes)
        Number of items; classes in ascending order.

    Raises
    ------
    ArgumentError
        If there is no discrete code or the lengths differ.
    """
    if codes.category is None:
        raise ArgumentError(
            "codes",
            "no discrete code",
            "classification needs a category per item",
            "use a method with a discrete code, such as cascade-vae",
        )
    if labels.ndim != 1:
        raise ArgumentError(
            "labels",
            f"array of shape {labels.shape}",
            "must have one class per item",
            "give one column of the factors",
        )
    if len(labels) != len(codes.category):
        raise ArgumentError(
            "labels",
            f"{len(labels)} values",
            f"must have one class for each of the {len(codes.category)} items of `codes`",
            "give arrays of the same length",
        )
    _, class_of_item = np.unique(labels, return_inverse=True)
    classes = int(class_of_item.max()) + 1
    flat = codes.category * classes + class_of_item
    counts = np.bincount(flat, minlength=codes.categories * classes)
    return counts.reshape(codes.categories, classes).astype(np.int64)
