"""FactorVAE (Kim & Mnih 2018): the total correlation is measured by a discriminator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unbraid import distributions
from unbraid.errors import UserError
from unbraid.information import permute_dims
from unbraid.methods.base import Losses, Method, ParamGroup, Preset, hyperparameter
from unbraid.nets import Discriminator


@dataclass(frozen=True)
class FactorVAE(Method):
    """Maximises the ELBO − γ TC(z), TC(z) ≈ E[ln D(z) − ln(1 − D(z))] (Kim & Mnih 2018, Eq. 2, 3).

    A step takes two batches (Algorithm 2). On the first, encoder and decoder descend on
    −ELBO + γ E[ln D/(1 − D)]. On the codes of both, those of the second with their dimensions
    permuted across the batch, the discriminator descends on
    −(1/2b) Σ_b [ln D(z_b) + ln(1 − D(z′_b))]. γ = 0 is the VAE on the first batch.
    """

    name: ClassVar[str] = "factor-vae"
    title: ClassVar[str] = "FactorVAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset("Kim & Mnih 2018, dSprites", 300_000, 64, {}),
        "quick": Preset(
            "ten minutes or so on a laptop",
            10_000,
            64,
            {"learning_rate": 5e-4, "discriminator_learning_rate": 5e-4},
        ),
    }
    batches_per_step: ClassVar[int] = 2
    min_batch: ClassVar[int] = 2
    training_only: ClassVar[tuple[str, ...]] = ("discriminator",)

    gamma: float = hyperparameter(35.0, "γ, weight of TC(z)", "1", "35 (10 to 40 alike)")
    discriminator_learning_rate: float = hyperparameter(
        1e-4, "Adam's rate for the discriminator, its betas 0.5 and 0.9", "per step", "1e-4"
    )
    discriminator_hidden_dim: int = hyperparameter(
        1_000, "units in each of the discriminator's six layers", "units", "1000"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.gamma >= 0, "gamma", "a weight is not negative", "0 or more; 0 is the VAE"
        )
        self.require(
            self.discriminator_learning_rate > 0,
            "discriminator_learning_rate",
            "a rate is positive",
            "about 1e-4",
        )
        self.require(
            self.discriminator_hidden_dim >= 1,
            "discriminator_hidden_dim",
            "a layer has units",
            "1 or more",
        )

    def betas(self, step: int) -> tuple[float, ...]:
        return (1.0,) * self.latent_dim

    def build(self, shape: tuple[int, int, int]) -> nn.ModuleDict:
        parts = super().build(shape)
        parts["discriminator"] = Discriminator(self.latent_dim, self.discriminator_hidden_dim)
        return parts

    def groups(self) -> dict[str, ParamGroup]:
        own = ParamGroup(("discriminator",), self.discriminator_learning_rate, (0.5, 0.9))
        return {**super().groups(), "discriminator": own}

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        half = batch // 2
        shape = (half, self.latent_dim)
        return {"z": shape, "z_second": shape, "order": shape}

    def losses(
        self,
        parts: nn.ModuleDict,
        x: Float[Tensor, "b c h w"],
        noise: Mapping[str, Tensor],
        step: int,
    ) -> Losses:
        if len(x) % 2 or len(x) < 4:
            raise UserError(
                f"{len(x)} images: a step takes two batches of one size, of 2 images at least;"
                " give an even number from 4"
            )
        first, second = x.chunk(2)
        code = self.forward(parts, first, noise["z"])
        with torch.no_grad():
            mean_bz, std_bz = parts["encoder"](second)
            z_bz = distributions.sample_normal(mean_bz, std_bz, noise["z_second"])
            shuffled_bz = permute_dims(z_bz, noise["order"])
        # One call on the first batch serves both: each group's gradient stops at its own parts.
        logits_bc = parts["discriminator"](code.z_bz)
        tc = (logits_bc[:, 0] - logits_bc[:, 1]).mean()
        of_code = -functional.log_softmax(logits_bc, dim=1)[:, 0].mean()
        shuffled_logits_bc = parts["discriminator"](shuffled_bz)
        of_shuffled = -functional.log_softmax(shuffled_logits_bc, dim=1)[:, 1].mean()
        discriminator = (of_code + of_shuffled) / 2
        more = {"tc": tc, "discriminator": discriminator}
        penalty = code.kl_z.sum() + self.gamma * tc
        loss = self.total_loss(parts, code.reconstruction, code.kl_z, step, more, penalty)
        return Losses({**loss.minimise, "discriminator": discriminator}, loss.report)
