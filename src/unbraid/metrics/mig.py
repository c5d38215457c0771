"""Mutual information gap, MIG (Chen et al. 2018, §4) and its robust form RMIG (Do & Tran 2020).

For each factor, how much more the best dimension knows of it than the second best, over what there
is to know: MIG = 1/F Σ_f (I(z_(1); f) − I(z_(2); f)) / H(f).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.errors import UserError
from unbraid.metrics import arrays, mutual_information, uncertainty
from unbraid.metrics.protocols import by_name, find

TITLE = "MIG"
GROUPS = 10


@dataclass(frozen=True)
class Protocol:
    """A named way to compute MIG.

    `items` are drawn, 0 for all. `code` is `mean` in `bins` of equal width over its range, or
    `posterior`: q(z|x) spread over `bins` of equal width from −`extent` to `extent`; with `bins` 0
    the width is half the narrowest decile of posterior stds and the range is the code's.
    """

    name: str
    items: int
    code: str
    bins: int
    extent: float = 0.0


PROTOCOLS = by_name(
    Protocol("chen2018", items=10_000, code="posterior", bins=0),
    Protocol("locatello2019", items=10_000, code="mean", bins=20),
    Protocol("do2020", items=100_000, code="posterior", bins=100, extent=4.0),
)


def score(
    codes: Codes,
    factors: Shaped[np.ndarray, "..."],
    rng: np.random.Generator,
    protocol: Protocol | str = "chen2018",
) -> dict[str, float]:
    """The gap, 0 to 1, its standard error (jackknife over items), and the number of items.

    1 if each factor is known to one dimension in full and to no other. The second best of a code of
    one dimension is 0. UserError for bad arrays, or if a posterior protocol meets no std.
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    index = arrays.draw(len(factors), protocol.items, rng)
    codes, labels = codes.subset(index), arrays.classes(factors[index])
    group = uncertainty.groups(len(index), min(GROUPS, len(index)), rng)
    if protocol.code == "mean":
        code = mutual_information.code_classes(codes, protocol.bins)
        joints = mutual_information.contingency(code, labels, group)
    else:
        joints = _posterior_joints(codes, labels, group, protocol)
    values = gap(*mutual_information.tables(joints))
    error = float(uncertainty.jackknife(values[1:]))
    return {"score": float(values[0]), "standard_error": error, "items": len(index)}


def gap(
    information: Float[np.ndarray, "g d f"], entropy: Float[np.ndarray, "g f"]
) -> Float[np.ndarray, " g"]:
    """1/F Σ_f (I_(1)f − I_(2)f) / H(f) from tables in nats; a factor of no entropy counts 0."""
    ordered = np.sort(information, axis=1)
    second = ordered[:, -2] if information.shape[1] > 1 else 0.0
    return np.mean((ordered[:, -1] - second) / np.where(entropy > 0, entropy, 1), axis=1)


def _posterior_joints(
    codes: Codes,
    labels: Int[np.ndarray, "n f"],
    group: Int[np.ndarray, " n"],
    protocol: Protocol,
) -> list[list[mutual_information.Joint]]:
    if codes.std is None:
        raise UserError(
            f"protocol {protocol.name}: it takes q(z|x), and these codes have no std; give std, or"
            " the protocol locatello2019"
        )
    if (codes.std <= 0).any():
        raise UserError(
            f"std: {int((codes.std <= 0).sum())} values are 0 or less, and q(z|x) has a width; give"
            " positive stds, or the protocol locatello2019"
        )
    joints = []
    for mean, std in zip(codes.mean.T, codes.std.T, strict=True):
        edges = _edges(mean, std, protocol)
        joints.append(mutual_information.posterior_joint(mean, std, edges, labels, group))
    if codes.category is not None:
        joints += mutual_information.contingency(codes.category[:, None], labels, group)
    return joints


def _edges(
    mean: Float[np.ndarray, " n"], std: Float[np.ndarray, " n"], protocol: Protocol
) -> Float[np.ndarray, " e"]:
    if protocol.bins:
        return np.linspace(-protocol.extent, protocol.extent, protocol.bins + 1)
    low, high = float((mean - 4 * std).min()), float((mean + 4 * std).max())
    # Bins of σ/2 lose 1 % of a nat at most; 1,000 of them bound the memory of a code without noise.
    width = float(np.quantile(std, 0.1)) / 2
    bins = int(np.clip((high - low) / width, 20, 1_000))
    return np.linspace(low, high, bins + 1)
