"""Label-free criteria to select a member of a population.

Higher is better for each: the ELBO (nats per image), UDR and agreement (both between 0 and 1).
Agreement compares the categories of two members by their normalised mutual information. The
fraction of images in the same category, up to renaming, would rank a member first that assigns all
images to one category.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unbraid.codes import Codes
from unbraid.metrics import classification, udr

CRITERIA = {
    "elbo": "ELBO, nats per image, mean over the last interval of the log",
    "udr": "UDR under `duan2020`, of the continuous code",
    "agreement": "normalised mutual information of the categories of two members, 0 if either has"
    " all images in one category; median over the other members",
}


def compare_members(members: Mapping[str, Codes]) -> dict[str, dict[str, float]]:
    """Compute the criteria that compare the members of a population.

    Parameters
    ----------
    members : mapping of str to Codes
        Codes of the same images by each member.

    Returns
    -------
    dict of str to dict of str to float
        For each member its UDR and, if all members have a discrete code, its agreement; empty
        for fewer than two members.
    """
    if len(members) < 2:
        return {name: {} for name in members}
    scores = udr.score(list(members.values()), np.random.default_rng(0), "duan2020")
    criteria = {name: {"udr": scores[f"member_{i}"]} for i, name in enumerate(members)}
    if all(codes.category is not None for codes in members.values()):
        for name, codes in members.items():
            others = [other for n, other in members.items() if n != name]
            agreements = [_agreement(codes, other) for other in others]
            criteria[name]["agreement"] = float(np.median(agreements))
    return criteria


def _agreement(codes: Codes, other: Codes) -> float:
    assert other.category is not None
    return classification.score(codes, other.category, protocol="nmi")["score"]
