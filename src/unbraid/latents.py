"""Posteriors: sampling from given noise, divergences in nats, and the pixels' likelihood."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def sample_normal(
    mean: Float[Tensor, "b z"], std: Float[Tensor, "b z"], noise: Float[Tensor, "b z"]
) -> Float[Tensor, "b z"]:
    """z = mean + std · noise, the reparameterised sample (Kingma & Welling 2014, Eq. 4)."""
    return mean + std * noise


def kl_from_standard_normal(
    mean: Float[Tensor, "b z"], std: Float[Tensor, "b z"]
) -> Float[Tensor, "b z"]:
    """KL(N(mean, std²) ‖ N(0, 1)) per dimension, nats.

    ½(mean² + std² − 1) − ln std (Kingma & Welling 2014, App. B). Needs std > 0.
    """
    return 0.5 * (mean.square() + std.square() - 1) - std.log()


def bernoulli_nats(
    logits: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]
) -> Float[Tensor, " b"]:
    """−ln p(x|z) of independent Bernoulli pixels, nats per image, summed over pixels."""
    nats = functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return nats.flatten(1).sum(dim=1)
