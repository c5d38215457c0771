"""Unsupervised classification accuracy of a discrete code (Jeong & Song 2019, Table 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped
from scipy.optimize import linear_sum_assignment

from unbraid.codes import Codes
from unbraid.entropy import entropy
from unbraid.errors import UserError
from unbraid.metrics.mutual_information import information
from unbraid.metrics.protocols import by_name, find

TITLE = "unsupervised classification accuracy"


@dataclass(frozen=True)
class Protocol:
    """A way to match categories to classes: `one_to_one`, `majority`, or none for `nmi`."""

    name: str


PROTOCOLS = by_name(Protocol("one_to_one"), Protocol("majority"), Protocol("nmi"))


def score(
    codes: Codes,
    labels: Shaped[np.ndarray, "..."],
    rng: np.random.Generator | None = None,
    protocol: Protocol | str | None = None,
) -> dict[str, float]:
    """How well the category tells the label, under two matchings, with chance beside each.

    With a protocol its `score` and `chance` alone; `rng` is not used: nothing is sampled.

    `one_to_one`: the best matching of categories to classes, at most one each. `majority`: each
    category predicts its most frequent class. Chance is the expected accuracy of a category drawn
    independently of the image: for one-to-one min(K, classes)/(K·classes) if both are uniform;
    for majority the largest class's share. `nmi`: 2 I(category; class)/(H(category) + H(class)),
    whose chance is 0 on many items. UserError without a discrete code, or for other lengths.
    """
    table = confusion(codes, labels)
    rows, columns = linear_sum_assignment(table, maximize=True)
    k, classes = table.shape
    found = {
        "one_to_one": float(table[rows, columns].sum() / table.sum()),
        "majority": float(table.max(axis=1).sum() / table.sum()),
        "chance_one_to_one": min(k, classes) / (k * classes),
        "chance_majority": float(table.sum(axis=0).max() / table.sum()),
        "nmi": normalised(table),
        "chance_nmi": 0.0,
    }
    if protocol is None:
        return found
    name = find(protocol, PROTOCOLS, TITLE).name
    return {"score": found[name], "chance": found[f"chance_{name}"]}


def normalised(table: Int[np.ndarray, "k classes"]) -> float:
    """2 I/(H + H) of a table of counts, 0 to 1; 0 where either does not vary."""
    own, other = entropy(table.sum(axis=1)), entropy(table.sum(axis=0))
    # I is at most either entropy, but for rounding, which would tell collapsed codes apart.
    shared = min(information(table), own, other)
    return 2 * shared / (own + other) if shared > 0 else 0.0


def confusion(codes: Codes, labels: Shaped[np.ndarray, "..."]) -> Int[np.ndarray, "k classes"]:
    """How many images of each class every category holds; UserError as for `score`."""
    if codes.category is None:
        raise UserError(
            "codes: they have no discrete part to classify with; give a method that has one,"
            " such as cascade-vae"
        )
    if labels.ndim != 1:
        raise UserError(
            f"labels of shape {labels.shape}: each item has one class; give one column of factors"
        )
    if len(labels) != len(codes.category):
        raise UserError(
            f"{len(codes.category)} codes for {len(labels)} labels: each image has one of both;"
            " give arrays of one length"
        )
    _, class_of_image = np.unique(labels, return_inverse=True)
    classes = int(class_of_image.max()) + 1
    flat = codes.category * classes + class_of_image
    counts = np.bincount(flat, minlength=codes.categories * classes)
    return counts.reshape(codes.categories, classes).astype(np.int64)
