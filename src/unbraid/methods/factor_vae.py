"""FactorVAE (Kim & Mnih 2018): a discriminator estimates the total correlation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unbraid import distributions
from unbraid.errors import ArgumentError
from unbraid.information import permute_dims
from unbraid.methods.base import Losses, Method, ParamGroup, Preset, hyperparameter
from unbraid.nets import Discriminator


@dataclass(frozen=True)
class FactorVAE(Method):
    """FactorVAE: maximises ELBO − γ TC(z), with TC(z) ≈ E[ln D(z) − ln(1 − D(z))].

    Each step uses two batches of b images. Encoder and decoder minimise −ELBO + γ TC(z) on the
    first. The discriminator minimises −(1/2b) Σ_i [ln D(z_i) + ln(1 − D(z′_i))], where z are the
    codes of the first batch, and z′ those of the second with every dimension permuted across the
    batch. With γ = 0 the method is the VAE on the first batch.

    References
    ----------
    Kim and Mnih, "Disentangling by Factorising", 2018, Eq. 2 and 3, Algorithm 2.

    Examples
    --------
    >>> FactorVAE(latent_dim=3).noise_shapes(8)
    {'z': (4, 3), 'z_second': (4, 3), 'order': (4, 3)}
    """

    name: ClassVar[str] = "factor-vae"
    title: ClassVar[str] = "FactorVAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset("Kim & Mnih 2018 for dSprites", 300_000, 64, {}),
        "quick": Preset(
            "about ten minutes on a laptop",
            10_000,
            64,
            {"learning_rate": 5e-4, "discriminator_learning_rate": 5e-4},
        ),
    }
    batches_per_step: ClassVar[int] = 2
    min_batch: ClassVar[int] = 2
    training_only: ClassVar[tuple[str, ...]] = ("discriminator",)

    gamma: float = hyperparameter(35.0, "weight γ of TC(z)", "1", "35 (10 to 40 are similar)")
    discriminator_learning_rate: float = hyperparameter(
        1e-4, "learning rate of the discriminator's Adam (betas 0.5, 0.9)", "per step", "1e-4"
    )
    discriminator_hidden_dim: int = hyperparameter(
        1_000, "number of units per layer of the discriminator (six layers)", "units", "1000"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "gamma")
        self.require_positive("discriminator_learning_rate")
        self.require_at_least(1, "discriminator_hidden_dim")

    def betas(self, step: int) -> tuple[float, ...]:
        return (1.0,) * self.latent_dim

    def build(self, shape: tuple[int, int, int]) -> nn.ModuleDict:
        parts = super().build(shape)
        parts["discriminator"] = Discriminator(self.latent_dim, self.discriminator_hidden_dim)
        return parts

    def groups(self) -> dict[str, ParamGroup]:
        group = ParamGroup(("discriminator",), self.discriminator_learning_rate, (0.5, 0.9))
        return {**super().groups(), "discriminator": group}

    def noise_shapes(self, num_images: int) -> dict[str, tuple[int, ...]]:
        shape = (num_images // 2, self.latent_dim)
        return {"z": shape, "z_second": shape, "order": shape}

    def losses(
        self,
        parts: nn.ModuleDict,
        x: Float[Tensor, "b c h w"],
        noise: Mapping[str, Tensor],
        step: int,
    ) -> Losses:
        if len(x) % 2 or len(x) < 4:
            raise ArgumentError(
                "len(x)",
                len(x),
                "must be even and at least 4, for two batches of at least 2 images",
                "pass an even number of images, 4 or more",
            )
        first, second = x.chunk(2)
        output = self.forward(parts, first, noise["z"])
        with torch.no_grad():
            mean_bz, std_bz = parts["encoder"](second)
            z_bz = distributions.sample_normal(mean_bz, std_bz, noise["z_second"])
            shuffled_bz = permute_dims(z_bz, noise["order"])
        # Both losses use these logits: the gradient of each group stops at the group's own modules.
        logits_bc = parts["discriminator"](output.z_bz)
        tc = (logits_bc[:, 0] - logits_bc[:, 1]).mean()
        code_loss = -functional.log_softmax(logits_bc, dim=1)[:, 0].mean()
        shuffled_logits_bc = parts["discriminator"](shuffled_bz)
        shuffled_loss = -functional.log_softmax(shuffled_logits_bc, dim=1)[:, 1].mean()
        discriminator = (code_loss + shuffled_loss) / 2
        extra = {"tc": tc, "discriminator": discriminator}
        penalty = output.kl_z.sum() + self.gamma * tc
        losses = self.total_loss(parts, output.reconstruction, output.kl_z, step, extra, penalty)
        return Losses({**losses.minimise, "discriminator": discriminator}, losses.report)
