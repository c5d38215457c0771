"""Posteriors: sampling from given noise, divergences in nats, and the pixels' likelihood."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def sample_normal(
    mean: Float[Tensor, "b z"], std: Float[Tensor, "b z"], noise: Float[Tensor, "b z"]
) -> Float[Tensor, "b z"]:
    """Z = mean + std · noise, the reparameterised sample (Kingma & Welling 2014, Eq. 4)."""
    return mean + std * noise


def kl_from_standard_normal(
    mean: Float[Tensor, "b z"], std: Float[Tensor, "b z"]
) -> Float[Tensor, "b z"]:
    """KL(N(mean, std²) ‖ N(0, 1)) per dimension, nats.

    ½(mean² + std² − 1) − ln std (Kingma & Welling 2014, App. B). Needs std > 0.
    """
    return 0.5 * (mean.square() + std.square() - 1) - std.log()


def log_normal(
    z: Float[Tensor, "*shape"],
    mean: Float[Tensor, "*#shape"] | float,
    std: Float[Tensor, "*#shape"] | float,
) -> Float[Tensor, "*shape"]:
    """Ln N(z; mean, std²), nats. Needs std > 0."""
    log_std = std.log() if isinstance(std, Tensor) else math.log(std)
    return -0.5 * (((z - mean) / std).square() + math.log(2 * math.pi)) - log_std


def gumbel(noise: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Standard Gumbel noise from standard normal noise: −ln(−ln Φ(noise)).

    Φ(noise) is uniform; its logarithm is taken directly, so neither tail becomes infinite.
    """
    return -(-torch.special.log_ndtr(noise)).log()


def sample_relaxed_categorical(
    logits: Float[Tensor, "b k"], temperature: float, noise: Float[Tensor, "b k"]
) -> Float[Tensor, "b k"]:
    """softmax((logits + Gumbel) / temperature), the Gumbel from standard normal `noise`.

    The relaxed one-hot sample of Jang et al. 2017 and Maddison et al. 2017; towards temperature 0
    it becomes a one-hot sample of softmax(logits). Needs temperature > 0.
    """
    return ((logits + gumbel(noise)) / temperature).softmax(dim=1)


def kl_from_uniform(logits: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """KL(q(d|x) ‖ uniform over K), nats per image, 0 to ln K: ln K + Σ_k q_k ln q_k."""
    log_q_bk = logits.log_softmax(dim=1)
    return math.log(logits.shape[1]) + (log_q_bk.exp() * log_q_bk).sum(dim=1)


def bernoulli_nll(
    logits: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]
) -> Float[Tensor, " b"]:
    """−ln p(x|z) of independent Bernoulli pixels, nats per image, summed over pixels."""
    if torch.compiler.is_exporting():
        # As ONNX operators the other would take ln σ(logit): −∞ from a logit of −104 on.
        nats = functional.softplus(logits) - x * logits
    else:
        nats = functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return nats.flatten(1).sum(dim=1)
