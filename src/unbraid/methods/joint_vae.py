"""JointVAE (Dupont 2018): continuous and relaxed discrete codes, each with a capacity."""

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
    """JointVAE: maximises E[ln p(x|z,d)] − γ |KL(z) − C_z| − γ |KL(d) − C_d|.

    KL(z) = KL(q(z|x) ‖ p(z)) and KL(d) = KL(q(d|x) ‖ p(d)). d is sampled as a relaxed one-hot
    vector; its KL is that of the category from the uniform distribution. Both capacities increase
    linearly from 0, C_d at most to ln K, the largest KL of K categories. The category of an image
    is the most probable one under q(d|x). If both KLs equal their capacities, only the
    reconstruction remains. `betas` returns γ, the weight of a KL above its capacity.

    References
    ----------
    Dupont, "Learning Disentangled Joint Continuous and Discrete Representations", 2018, Eq. 7.

    Examples
    --------
    >>> method = JointVAE(capacity=40.0, capacity_discrete=1.0, capacity_steps=100)
    >>> method.capacities(step=50)
    (20.0, 0.5)
    """

    name: ClassVar[str] = "joint-vae"
    title: ClassVar[str] = "JointVAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset("official code of Dupont 2018 for dSprites, m = 6", 345_600, 64, {}),
        "quick": Preset(
            "a few minutes on a laptop",
            10_000,
            64,
            {"gamma": 30.0, "capacity": 25.0, "capacity_steps": 8_000},
        ),
    }

    latent_dim: int = hyperparameter(6, "number m of continuous dimensions", "dimensions", "6")
    learning_rate: float = hyperparameter(5e-4, "learning rate of Adam", "per step", "5e-4")
    categories: int = hyperparameter(  # pyright: ignore[reportIncompatibleVariableOverride]
        3, "number K of categories of the discrete code", "categories", "3"
    )
    gamma: float = hyperparameter(150.0, "weight γ of each |KL − C|", "1", "150")
    capacity: float = hyperparameter(40.0, "capacity C_z at the end of the increase", "nats", "40")
    capacity_discrete: float = hyperparameter(
        1.1, "capacity C_d at the end of the increase, clipped to ln K", "nats", "1.1"
    )
    capacity_steps: int = hyperparameter(
        300_000, "number of steps over which C_z and C_d increase from 0", "steps", "300000"
    )
    temperature: float = hyperparameter(
        0.67, "temperature of the relaxed category, one-hot in the limit 0", "1", "0.67"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(2, "categories")
        self.require_at_least(0, "gamma", "capacity")
        # The paper's 1.1 is ln 3 rounded up; such values are accepted and clipped.
        largest = math.ceil(10 * math.log(self.categories)) / 10
        self.require(
            0 <= self.capacity_discrete <= largest,
            "capacity_discrete",
            f"must be between 0 and ln K={math.log(self.categories):.4f} for K={self.categories}",
            f"0 to {largest}",
        )
        self.require_at_least(1, "capacity_steps")
        self.require_positive("temperature")

    def betas(self, step: int) -> tuple[float, ...]:
        return (self.gamma,) * self.latent_dim

    def capacities(self, step: int) -> tuple[float, float]:
        """Return the capacities at a step.

        Parameters
        ----------
        step : int
            Number of steps already done.

        Returns
        -------
        (float, float)
            C_z and C_d, nats.
        """
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

    def noise_shapes(self, num_images: int) -> dict[str, tuple[int, ...]]:
        return {"z": (num_images, self.latent_dim), "d": (num_images, self.categories)}

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
        pixel_logits = parts["decoder"](torch.cat([z_bz, d_bk], dim=1))
        reconstruction = distributions.bernoulli_nll(pixel_logits, x).mean()
        kl_z = distributions.kl_from_standard_normal(mean_bz, std_bz).mean(dim=0)
        kl_d = distributions.kl_from_uniform(logits_bk).mean()
        capacity_z, capacity_d = self.capacities(step)
        distance = (kl_z.sum() - capacity_z).abs() + (kl_d - capacity_d).abs()
        extra = {
            "elbo": -(reconstruction + kl_z.sum() + kl_d),
            "kl_discrete": kl_d,
            "share": logits_bk.softmax(dim=1).mean(dim=0),
            "capacity": kl_z.new_tensor(capacity_z),
            "capacity_discrete": kl_z.new_tensor(capacity_d),
        }
        return self.total_loss(parts, reconstruction, kl_z, step, extra, self.gamma * distance)

    def predict_category(
        self, parts: nn.ModuleDict, x: Float[Tensor, "b c h w"], mean_bz: Float[Tensor, "b z"]
    ) -> Int[Tensor, " b"]:
        return parts["encoder"](x)[2].argmax(dim=1)
