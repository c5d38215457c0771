"""Mutual information gap (MIG), and its robust form (RMIG).

For every factor, the information of the most informative dimension less that of the second most
informative one, divided by the entropy of the factor:

    MIG = 1/F Σ_f (I(z_(1); f) − I(z_(2); f)) / H(f)

References
----------
Chen et al., "Isolating Sources of Disentanglement in Variational Autoencoders", 2018, section 4;
RMIG: Do and Tran, "Theory and Evaluation Metrics for Learning Disentangled Representations", 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.errors import ArgumentError
from unbraid.metrics import arrays, mutual_information, uncertainty
from unbraid.metrics.protocols import by_name, find

TITLE = "MIG"
MIN_FACTORS = 1
# Limits of the number of bins that are chosen by the posterior stds.
MIN_BINS, MAX_BINS = 20, 1_000


@dataclass(frozen=True)
class Protocol:
    """Parameters of the mutual information gap.

    Parameters
    ----------
    name : str
        Name of the protocol.
    items : int
        Items drawn; 0 for all.
    code : str
        "mean": the posterior mean in `bins` of equal width between its minimum and maximum.
        "posterior": the mass of q(z|x) in every bin.
    bins : int
        Number of bins; 0 for bins of half the 10 % quantile of the posterior stds.
    extent : float, default 0.0
        With "posterior" and `bins`, the bins range from −`extent` to `extent`.
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
    """Compute the mutual information gap.

    Parameters
    ----------
    codes : Codes
        Codes of n items; the discrete code is one dimension.
    factors : array of shape (n, f)
        Factor values, whole numbers; constant factors are ignored.
    rng : numpy.random.Generator
        Random generator; draws the items.
    protocol : Protocol or str, default "chen2018"
        Protocol, or its name in `PROTOCOLS`.

    Returns
    -------
    dict of str to float
        `score`, 0 to 1: 1 if for every factor one dimension has all information and the others
        none (a code of one dimension has no second: 0 is subtracted); `standard_error`, by the
        jackknife over items; `items`, the number of items used.

    Raises
    ------
    ArgumentError
        If the arrays are invalid, a posterior protocol gets codes without positive stds, or the
        protocol is unknown.

    References
    ----------
    Chen et al., 2018, section 4; "do2020": Do and Tran, 2020 (RMIG); "locatello2019": Locatello et
    al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled
    Representations", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> factors = np.array([[a, b] for a in range(4) for b in range(4)] * 50)
    >>> result = score(Codes(factors.astype(float)), factors, rng, "locatello2019")
    >>> round(result["score"], 6), result["items"]
    (1.0, 800)
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    index = arrays.draw(len(factors), protocol.items, rng)
    codes, labels = codes.subset(index), arrays.classes(factors[index])
    group = uncertainty.groups(len(index), min(uncertainty.NUM_GROUPS, len(index)), rng)
    if protocol.code == "mean":
        code = mutual_information.code_classes(codes, protocol.bins)
        joints = mutual_information.contingency(code, labels, group)
    else:
        joints = _posterior_joints(codes, labels, group, protocol)
    values = gap(*mutual_information.tables(joints))
    error = float(uncertainty.jackknife(values[1:]))
    return {"score": float(values[0]), "standard_error": error, "items": len(index)}


def gap(
    information: Float[np.ndarray, "g d f"], entropies: Float[np.ndarray, "g f"]
) -> Float[np.ndarray, " g"]:
    """Compute 1/F Σ_f (I_(1)f − I_(2)f) / H(f) of g tables.

    Parameters
    ----------
    information : array of shape (g, d, f)
        I(d; f) in nats.
    entropies : array of shape (g, f)
        H(f) in nats; a factor without entropy counts as 0.

    Returns
    -------
    array of shape (g,)
        The gap of every table.

    Examples
    --------
    >>> import numpy as np
    >>> gap(np.array([[[0.5], [0.25]]]), np.array([[0.5]])).tolist()
    [0.5]
    """
    ordered = np.sort(information, axis=1)
    second = ordered[:, -2] if information.shape[1] > 1 else 0.0
    return np.mean((ordered[:, -1] - second) / np.where(entropies > 0, entropies, 1), axis=1)


def _posterior_joints(
    codes: Codes,
    labels: Int[np.ndarray, "n f"],
    group: Int[np.ndarray, " n"],
    protocol: Protocol,
) -> list[list[mutual_information.Joint]]:
    remedy = "give positive stds, or use the protocol locatello2019"
    rule = f"the protocol {protocol.name} needs the posterior q(z|x)"
    if codes.std is None:
        raise ArgumentError("codes", "no std", rule, remedy)
    if (codes.std <= 0).any():
        value = f"{int((codes.std <= 0).sum())} stds of 0 or less"
        raise ArgumentError("codes", value, rule, remedy)
    joints: list[list[mutual_information.Joint]] = []
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
    # Bins of σ/2 lose at most 0.01 nat; the limit bounds the memory of a code of narrow posteriors.
    width = float(np.quantile(std, 0.1)) / 2
    bins = int(np.clip((high - low) / width, MIN_BINS, MAX_BINS))
    return np.linspace(low, high, bins + 1)
