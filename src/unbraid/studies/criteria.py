"""Label-free criteria: what tells a good member of a population from a bad one without a factor.

The higher, the better, for each: the ELBO (nats per image), UDR and agreement (both 0 to 1). For
agreement the categories of two members are compared by their normalised mutual information: a
share of images in the same category, up to names, would put first whoever has all in one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unbraid.codes import Codes
from unbraid.metrics import classification, udr

CRITERIA = {
    "elbo": "ELBO, nats per image, mean since the log's last record but one",
    "udr": "UDR under `duan2020`, of the continuous code",
    "agreement": "normalised mutual information of a member's categories and another's, 0 where"
    " either has all images in one; median over the others",
}


def compared(members: Mapping[str, Codes]) -> dict[str, dict[str, float]]:
    """Each member's UDR and, with a discrete code, its agreement; nothing below two members."""
    if len(members) < 2:
        return {name: {} for name in members}
    ranked = udr.score(list(members.values()), np.random.default_rng(0), "duan2020")
    found = {name: {"udr": ranked[f"member_{i}"]} for i, name in enumerate(members)}
    if all(codes.category is not None for codes in members.values()):
        for name, codes in members.items():
            others = [other for n, other in members.items() if n != name]
            found[name]["agreement"] = float(np.median([_same(codes, o) for o in others]))
    return found


def _same(codes: Codes, other: Codes) -> float:
    assert other.category is not None
    return classification.score(codes, other.category, protocol="nmi")["score"]
