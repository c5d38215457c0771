"""Distributions of a VAE: reparameterised samples, divergences and likelihoods, in nats."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def sample_normal(
    mean: Float[Tensor, "b z"], std: Float[Tensor, "b z"], noise: Float[Tensor, "b z"]
) -> Float[Tensor, "b z"]:
    """Compute the reparameterised sample z = mean + std · noise.

    Parameters
    ----------
    mean, std : tensor, shape (b, z)
        Means and standard deviations.
    noise : tensor, shape (b, z)
        Standard normal noise.

    Returns
    -------
    tensor, shape (b, z)
        Samples.

    References
    ----------
    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, Eq. 4.

    Examples
    --------
    >>> sample_normal(torch.tensor([[1.0]]), torch.tensor([[2.0]]), torch.tensor([[0.5]]))
    tensor([[2.]])
    """
    return mean + std * noise


def kl_from_standard_normal(
    mean: Float[Tensor, "b z"], std: Float[Tensor, "b z"]
) -> Float[Tensor, "b z"]:
    """Compute KL(N(mean, std²) ‖ N(0, 1)) = ½(mean² + std² − 1) − ln std of each dimension.

    Parameters
    ----------
    mean : tensor, shape (b, z)
        Means.
    std : tensor, shape (b, z)
        Standard deviations, greater than 0.

    Returns
    -------
    tensor, shape (b, z)
        Divergences, nats.

    References
    ----------
    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, App. B.

    Examples
    --------
    >>> kl_from_standard_normal(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 1.0]])).tolist()
    [[0.0, 2.0]]
    """
    return 0.5 * (mean.square() + std.square() - 1) - std.log()


def log_normal(
    z: Float[Tensor, "*shape"],
    mean: Float[Tensor, "*#shape"] | float,
    std: Float[Tensor, "*#shape"] | float,
) -> Float[Tensor, "*shape"]:
    """Compute the log-density ln N(z; mean, std²).

    Parameters
    ----------
    z : tensor of any shape
        Points.
    mean : tensor that broadcasts to the shape of `z`, or float
        Means.
    std : tensor that broadcasts to the shape of `z`, or float
        Standard deviations, greater than 0.

    Returns
    -------
    tensor of the shape of `z`
        Log-densities, nats.

    Examples
    --------
    >>> log_normal(torch.tensor([0.0]), 0.0, 1.0)  # −½ ln 2π
    tensor([-0.9189])
    """
    log_std = std.log() if isinstance(std, Tensor) else math.log(std)
    return -0.5 * (((z - mean) / std).square() + math.log(2 * math.pi)) - log_std


def gumbel(noise: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Convert standard normal noise to standard Gumbel noise −ln(−ln Φ(noise)).

    Φ(noise) is uniform. Its logarithm is computed directly, so both tails stay finite.

    Parameters
    ----------
    noise : tensor of any shape
        Standard normal noise.

    Returns
    -------
    tensor of the same shape
        Standard Gumbel noise.

    Examples
    --------
    >>> gumbel(torch.zeros(1))  # the median, −ln ln 2
    tensor([0.3665])
    """
    return -(-torch.special.log_ndtr(noise)).log()


def sample_relaxed_categorical(
    logits: Float[Tensor, "b k"], temperature: float, noise: Float[Tensor, "b k"]
) -> Float[Tensor, "b k"]:
    """Sample relaxed one-hot vectors, softmax((logits + Gumbel noise) / temperature).

    In the limit of temperature 0 they are one-hot samples of softmax(logits).

    Parameters
    ----------
    logits : tensor, shape (b, k)
        Unnormalised log-probabilities of the categories.
    temperature : float
        Temperature, greater than 0.
    noise : tensor, shape (b, k)
        Standard normal noise, which `gumbel` converts.

    Returns
    -------
    tensor, shape (b, k)
        Vectors of positive entries that sum to 1.

    References
    ----------
    Jang et al., "Categorical Reparameterization with Gumbel-Softmax", 2017; Maddison et al., "The
    Concrete Distribution", 2017.

    Examples
    --------
    >>> logits, noise = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    >>> sample_relaxed_categorical(logits, 0.01, noise)
    tensor([[1., 0.]])
    """
    return ((logits + gumbel(noise)) / temperature).softmax(dim=1)


def kl_from_uniform(logits: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """Compute KL(q(d|x) ‖ uniform) = ln K + Σ_k q_k ln q_k of each image.

    Parameters
    ----------
    logits : tensor, shape (b, k)
        Unnormalised log-probabilities of the K categories.

    Returns
    -------
    tensor, shape (b,)
        Divergences, 0 to ln K nats per image.

    Examples
    --------
    >>> kl_from_uniform(torch.tensor([[100.0, 0.0]]))  # ln 2
    tensor([0.6931])
    """
    log_q_bk = logits.log_softmax(dim=1)
    return math.log(logits.shape[1]) + (log_q_bk.exp() * log_q_bk).sum(dim=1)


def bernoulli_nll(
    logits: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]
) -> Float[Tensor, " b"]:
    """Compute −ln p(x|z) of independent Bernoulli pixels, summed over pixels.

    Parameters
    ----------
    logits : tensor, shape (b, c, h, w)
        Logit of each pixel.
    x : tensor, shape (b, c, h, w)
        Images with values between 0 and 1.

    Returns
    -------
    tensor, shape (b,)
        Negative log-likelihoods, nats per image.

    Examples
    --------
    >>> bernoulli_nll(torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2))  # 2 ln 2
    tensor([1.3863])
    """
    if torch.compiler.is_exporting():
        # ONNX would decompose the other function with ln σ(logit), −∞ for logits below −104.
        nll_bchw = functional.softplus(logits) - x * logits
    else:
        nll_bchw = functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return nll_bchw.flatten(1).sum(dim=1)
