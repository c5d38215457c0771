"""The FactorVAE score in its published forms.

For each vote, fix one factor at one value, draw L images, and choose the dimension with the
smallest normalised variance, argmin_d Var(z_d over the images) / Var(z_d over the dataset). A
majority-vote classifier predicts the factor from the dimension:

    score = Σ_d V_d,f(d) / Σ_df V_df,  f(d) = argmax_f V_df

where V_df is the number of votes of dimension d for factor f. A discrete code counts as one more
dimension (Jeong and Song 2019), with Gini's variance 1 − Σ_k p_k².

References
----------
Kim and Mnih, "Disentangling by Factorising", 2018, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from unbraid.codes import Codes
from unbraid.entropy import entropy
from unbraid.errors import ArgumentError
from unbraid.metrics import arrays
from unbraid.metrics.protocols import by_name, find

TITLE = "the FactorVAE score"
MIN_FACTORS = 2


@dataclass(frozen=True)
class Protocol:
    """Parameters of the FactorVAE score.

    A dimension is active, and can be chosen by a vote, if it varies and passes every threshold.

    Parameters
    ----------
    name : str
        Name of the protocol.
    images : int
        Number L of images per vote.
    votes : int
        Number of votes that the classifier is fitted to.
    held_out : int
        Number of further votes that it is scored on; 0 to score it on the votes it was fitted to.
    stratified : bool
        Whether every factor gets the same number of votes; otherwise factors are drawn.
    min_kl : float, default 0.0
        Mean KL that a continuous dimension must exceed, nats; 0 for no threshold.
    min_std : float, default 0.0
        Smallest standard deviation of the posterior mean of a continuous dimension over the
        dataset.
    min_entropy : float, default 0.1
        Entropy that the categories of the discrete code must exceed, nats.
    """

    name: str
    images: int
    votes: int
    held_out: int
    stratified: bool
    min_kl: float = 0.0
    min_std: float = 0.0
    min_entropy: float = 0.1


PROTOCOLS = by_name(
    Protocol("jeong2019", images=100, votes=800, held_out=0, stratified=True, min_kl=0.1),
    Protocol("kim2018", images=100, votes=800, held_out=800, stratified=False, min_kl=0.1),
    Protocol(
        "locatello2019", images=64, votes=10_000, held_out=5_000, stratified=False, min_std=0.05
    ),
    Protocol("lecture", images=1_000, votes=800, held_out=0, stratified=True),
)


def score(
    codes: Codes,
    factors: Shaped[np.ndarray, "..."],
    rng: np.random.Generator,
    protocol: Protocol | str = "jeong2019",
) -> dict[str, float]:
    """Compute the FactorVAE score.

    Parameters
    ----------
    codes : Codes
        Codes of n items.
    factors : array of shape (n, f)
        Factor values, whole numbers; constant factors are ignored.
    rng : numpy.random.Generator
        Random generator; draws the votes.
    protocol : Protocol or str, default "jeong2019"
        Protocol, or its name in `PROTOCOLS`.

    Returns
    -------
    dict of str to float
        `score`: accuracy of the vote classifier, 0 to 1; 0 if no dimension is active.
        `standard_error`: binomial standard error of the accuracy. `dimensions`: number of active
        dimensions.

    Raises
    ------
    ArgumentError
        If the arrays are invalid or the protocol is unknown.

    References
    ----------
    Kim and Mnih, 2018, section 5; "jeong2019": Jeong and Song, "Learning Discrete and Continuous
    Factors of Data via Alternating Disentanglement", 2019; "locatello2019": Locatello et al.,
    "Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations",
    2019.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> factors = rng.integers(0, 4, size=(1000, 2))
    >>> score(Codes(factors.astype(float)), factors, rng, "kim2018")
    {'score': 1.0, 'standard_error': 0.0, 'dimensions': 2}
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    factors = arrays.validate_factors(codes, factors)
    variance, active = _variance_and_activity(codes, protocol)
    if not active.any():
        return {"score": 0.0, "standard_error": 0.0, "dimensions": 0}
    train = votes(codes, factors, rng, protocol, protocol.votes)
    test = votes(codes, factors, rng, protocol, protocol.held_out) if protocol.held_out else train
    factor_of_dimension = train.argmax(axis=1)
    correct = test[np.arange(len(variance)), factor_of_dimension].sum()
    accuracy = float(correct / test.sum())
    error = float(np.sqrt(accuracy * (1 - accuracy) / test.sum()))
    return {"score": accuracy, "standard_error": error, "dimensions": int(active.sum())}


def votes(
    codes: Codes,
    factors: Int[np.ndarray, "n f"],
    rng: np.random.Generator,
    protocol: Protocol | str,
    number: int,
) -> Int[np.ndarray, "d f"]:
    """Draw votes and count them by dimension and factor.

    Parameters
    ----------
    codes : Codes
        Codes of n items.
    factors : integer array of shape (n, f)
        Factor values; constant factors get no votes.
    rng : numpy.random.Generator
        Random generator.
    protocol : Protocol or str
        Protocol, or its name in `PROTOCOLS`.
    number : int
        Number of votes.

    Returns
    -------
    integer array of shape (d, f)
        Number of votes; the discrete code is the last dimension.

    Raises
    ------
    ArgumentError
        If every factor is constant or the protocol is unknown.
    """
    protocol = find(protocol, PROTOCOLS, TITLE)
    variance, active = _variance_and_activity(codes, protocol)
    varying = [f for f in range(factors.shape[1]) if factors[:, f].min() != factors[:, f].max()]
    if not varying:
        raise ArgumentError(
            "factors",
            f"array of shape {factors.shape}",
            "every factor is constant",
            "give items that differ in at least one factor",
        )
    if protocol.stratified:
        factor_of_vote = np.resize(varying, number)
    else:
        factor_of_vote = rng.choice(varying, size=number)
    matrix = np.zeros((len(variance), factors.shape[1]), np.int64)
    for factor in varying:
        index = arrays.draw_with_one_value(
            factors[:, factor], int((factor_of_vote == factor).sum()), protocol.images, rng
        )
        normalised = _variances(codes, index)
        normalised[:, active] /= variance[active]
        normalised[:, ~active] = np.inf
        matrix[:, factor] = np.bincount(normalised.argmin(axis=1), minlength=len(variance))
    return matrix


def _variance_and_activity(
    codes: Codes, protocol: Protocol
) -> tuple[Float[np.ndarray, " d"], Bool[np.ndarray, " d"]]:
    """Return the variance of every dimension over the dataset, and whether it is active."""
    variance = codes.mean.var(axis=0, dtype=np.float64)
    # The variance of equal numbers is not exactly 0 if their mean is rounded.
    std, largest = np.sqrt(variance), np.abs(codes.mean).max(axis=0)
    active = (std > arrays.CONSTANT_TOLERANCE * largest) & (std >= protocol.min_std)
    kl = codes.kl()
    if protocol.min_kl and kl is not None:
        active &= kl > protocol.min_kl
    if codes.category is not None:
        share = np.bincount(codes.category, minlength=codes.categories) / len(codes.category)
        variance = np.append(variance, 1 - np.sum(share**2))
        active = np.append(active, entropy(share) > protocol.min_entropy)
    return variance, active


def _variances(
    codes: Codes, index: Int[np.ndarray, "votes images"]
) -> Float[np.ndarray, "votes d"]:
    """Return the variance of every dimension over the images of every vote."""
    variance = codes.mean[index].var(axis=1, dtype=np.float64)
    if codes.category is None:
        return variance
    drawn = codes.category[index]
    shares = np.stack([(drawn == k).mean(axis=1) for k in range(codes.categories)], axis=1)
    return np.concatenate([variance, 1 - np.sum(shares**2, axis=1, keepdims=True)], axis=1)
