"""JointVAE (Dupont 2018): a relaxed category beside the continuous code, each with a capacity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbraid import distributions
from unbraid.methods import schedules
from unbraid.methods.base import Losses, Method, Preset, hyperparameter
from unbraid.nets import ConvDecoder, ConvEncoder


@dataclass(frozen=True)
class JointVAE(Method):
    """Maximises E[ln p(x|z,d)] − γ |KL(q(z|x) ‖ p(z)) − C_z| − γ |KL(q(d|x) ‖ p(d)) − C_d|.

    Dupont 2018, Eq. 7. d is sampled as a relaxed one-hot vector; its KL is that of the category,
    from the uniform one. Both capacities rise in a straight line, C_d no further than ln K, the
    most that a category of K can hold. To encode an image, d is the category most likely under
    q(d|x). With both KLs at their capacities only the reconstruction is left.
    """

    name: ClassVar[str] = "joint-vae"
    title: ClassVar[str] = "JointVAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset("Dupont 2018, official code, dSprites; m = 6", 345_600, 64, {}),
        "quick": Preset(
            "a few minutes on a laptop",
            10_000,
            64,
            {"gamma": 30.0, "capacity": 25.0, "capacity_steps": 8_000},
        ),
    }

    latent_dim: int = hyperparameter(6, "number m of continuous dimensions", "dimensions", "6")
    learning_rate: float = hyperparameter(5e-4, "Adam's rate", "per step", "5e-4")
    categories: int = hyperparameter(  # pyright: ignore[reportIncompatibleVariableOverride]
        3, "number K of categories of the discrete code", "categories", "3"
    )
    gamma: float = hyperparameter(150.0, "γ, weight of each |KL − C|", "1", "150")
    capacity: float = hyperparameter(40.0, "C_z at the end of its rise", "nats", "40")
    capacity_discrete: float = hyperparameter(
        1.1, "C_d at the end of its rise, clipped at ln K", "nats", "1.1"
    )
    capacity_steps: int = hyperparameter(300_000, "steps of both rises from 0", "steps", "300000")
    temperature: float = hyperparameter(
        0.67, "of the relaxed category; towards 0 it becomes one-hot", "1", "0.67"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.categories >= 2, "categories", "K=1 leaves nothing to choose", "2 or more"
        )
        self.require(self.gamma >= 0, "gamma", "a weight is not negative", "0 or more")
        self.require(self.capacity >= 0, "capacity", "a KL is not negative", "0 or more")
        # The paper's 1.1 is ln 3 rounded up, so as much is let through and clipped.
        most = math.ceil(10 * math.log(self.categories)) / 10
        self.require(
            0 <= self.capacity_discrete <= most,
            "capacity_discrete",
            f"a category of K={self.categories} holds 0 to ln K={math.log(self.categories):.4f}",
            f"0 to {most}",
        )
        self.require(self.capacity_steps >= 1, "capacity_steps", "a rise takes steps", "1 or more")
        self.require(self.temperature > 0, "temperature", "it divides the logits", "above 0")

    def betas(self, step: int) -> tuple[float, ...]:
        """γ: what a KL above its capacity weighs."""
        return (self.gamma,) * self.latent_dim

    def capacities(self, step: int) -> tuple[float, float]:
        """C_z and C_d at a step, nats."""
        discrete = schedules.capacity(step, self.capacity_steps, self.capacity_discrete)
        return (
            schedules.capacity(step, self.capacity_steps, self.capacity),
            min(discrete, math.log(self.categories)),
        )

    def phase(self, step: int) -> tuple[float, float]:
        return self.capacities(step)

    def build(self, shape: tuple[int, int, int]) -> nn.ModuleDict:
        return nn.ModuleDict(
            {
                "encoder": ConvEncoder(shape, self.latent_dim, self.categories),
                "decoder": ConvDecoder(shape, self.latent_dim + self.categories),
            }
        )

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        return {"z": (batch, self.latent_dim), "d": (batch, self.categories)}

    def losses(
        self,
        parts: nn.ModuleDict,
        x: Float[Tensor, "b c h w"],
        noise: Mapping[str, Tensor],
        step: int,
    ) -> Losses:
        mean_bz, std_bz, logits_bk = parts["encoder"](x)
        z_bz = distributions.sample_normal(mean_bz, std_bz, noise["z"])
        d_bk = distributions.sample_relaxed_categorical(logits_bk, self.temperature, noise["d"])
        pixels = parts["decoder"](torch.cat([z_bz, d_bk], dim=1))
        reconstruction = distributions.bernoulli_nll(pixels, x).mean()
        kl_z = distributions.kl_from_standard_normal(mean_bz, std_bz).mean(dim=0)
        kl_d = distributions.kl_from_uniform(logits_bk).mean()
        capacity_z, capacity_d = self.capacities(step)
        off = (kl_z.sum() - capacity_z).abs() + (kl_d - capacity_d).abs()
        more = {
            "elbo": -(reconstruction + kl_z.sum() + kl_d),
            "kl_discrete": kl_d,
            "share": logits_bk.softmax(dim=1).mean(dim=0),
            "capacity": kl_z.new_tensor(capacity_z),
            "capacity_discrete": kl_z.new_tensor(capacity_d),
        }
        return self.total_loss(parts, reconstruction, kl_z, step, more, self.gamma * off)

    def predict_category(
        self, parts: nn.ModuleDict, x: Float[Tensor, "b c h w"], mean_bz: Float[Tensor, "b z"]
    ) -> Int[Tensor, " b"]:
        return parts["encoder"](x)[2].argmax(dim=1)
