"""Unsupervised classification accuracy of a discrete code (Jeong & Song 2019, Table 2)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment

from unbraid.codes import Codes
from unbraid.errors import UserError


def score(codes: Codes, labels: Int[np.ndarray, " n"]) -> dict[str, float]:
    """How well the category tells the label, under two matchings, with chance beside each.

    `one_to_one`: the best matching of categories to classes, at most one each. `majority`: each
    category predicts its most frequent class. Chance is the expected accuracy of a category drawn
    independently of the image: for one-to-one min(K, classes)/(K·classes) if both are uniform;
    for majority the largest class's share. UserError without a discrete code.
    """
    table = confusion(codes, labels)
    rows, columns = linear_sum_assignment(table, maximize=True)
    k, classes = table.shape
    return {
        "one_to_one": float(table[rows, columns].sum() / table.sum()),
        "majority": float(table.max(axis=1).sum() / table.sum()),
        "chance_one_to_one": min(k, classes) / (k * classes),
        "chance_majority": float(table.sum(axis=0).max() / table.sum()),
    }


def confusion(codes: Codes, labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, "k classes"]:
    """How many images of each class every category holds; UserError as for `score`."""
    if codes.category is None:
        raise UserError(
            "codes: they have no discrete part to classify with; give a method that has one,"
            " such as cascade-vae"
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
