"""QLAE (Hsu et al. 2023): every dimension of the code takes one of a few values of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from unbraid import distributions
from unbraid.methods.base import Losses, Method, ParamGroup, Preset, hyperparameter
from unbraid.nets import Codebook


@dataclass(frozen=True)
class QLAE(Method):
    """Minimises −ln p(x|z) + λ_q mean_z (sg c − z)² + λ_c mean_z (c − sg z)², sg: no gradient.

    Hsu et al. 2023, §3. c is the encoder's word, z the nearest value of each dimension's
    codebook; the decoder's gradient passes z straight to c. The encoder's and the decoder's
    weights decay strongly (AdamW), the codebook's values do not. The code is not random: as a
    variable that is uniform over its V values a priori, each dimension's KL is ln V whatever the
    image, so `kl` reports that, `elbo` is a bound and the KL is no part of the loss.
    """

    name: ClassVar[str] = "qlae"
    title: ClassVar[str] = "QLAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset(
            "Hsu et al. 2023, official code, its dSprites weights; 200,000 steps of 128",
            200_000,
            128,
            {},
        ),
        "quick": Preset("a few minutes on a laptop", 10_000, 64, {}),
    }

    latent_dim: int = hyperparameter(
        10, "number m of continuous dimensions", "dimensions", "10, twice the factors"
    )
    learning_rate: float = hyperparameter(1e-3, "Adam's rate", "per step", "1e-3")
    codebook_size: int = hyperparameter(
        10, "V, values in each dimension's codebook", "values", "10"
    )
    quantization_weight: float = hyperparameter(
        4.096, "λ_q, pulls values to codes", "nats", "0.001 a pixel of 4096; 0.01 off dSprites"
    )
    commitment_weight: float = hyperparameter(
        4.096, "λ_c, pulls codes to values", "nats", "0.001 a pixel of 4096; 0.01 off dSprites"
    )
    weight_decay: float = hyperparameter(
        0.1, "decoupled decay of the networks' weights, times Adam's rate", "per step", "0.1"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            2 <= self.codebook_size <= 1000,
            "codebook_size",
            "a codebook of 2 to 1000 values fits: one tells nothing, more quantise nothing",
            "2 to 1000",
        )
        for field in ("quantization_weight", "commitment_weight", "weight_decay"):
            self.require(getattr(self, field) >= 0, field, "a weight is not negative", "0 or more")

    def betas(self, step: int) -> tuple[float, ...]:
        """0: the KL is a constant."""
        return (0.0,) * self.latent_dim

    def build(self, shape: tuple[int, int, int]) -> nn.ModuleDict:
        parts = super().build(shape)
        parts["codebook"] = Codebook(self.latent_dim, self.codebook_size)
        return parts

    def groups(self) -> dict[str, ParamGroup]:
        networks = ParamGroup(
            ("encoder", "decoder"), self.learning_rate, weight_decay=self.weight_decay
        )
        return {"vae": networks, "codebook": ParamGroup(("codebook",), self.learning_rate)}

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        return {}

    def losses(
        self,
        parts: nn.ModuleDict,
        x: Float[Tensor, "b c h w"],
        noise: Mapping[str, Tensor],
        step: int,
    ) -> Losses:
        c_bz = parts["encoder"](x)[0]
        z_bz = parts["codebook"](c_bz)
        straight_bz = c_bz + (z_bz - c_bz).detach()
        reconstruction = distributions.bernoulli_nll(parts["decoder"](straight_bz), x).mean()
        quantise = self.quantization_weight * (c_bz.detach() - z_bz).square().mean()
        commit = self.commitment_weight * (c_bz - z_bz.detach()).square().mean()
        kl_z = c_bz.new_full((self.latent_dim,), math.log(self.codebook_size))
        more = {"quantise": quantise, "commit": commit}
        found = self.total_loss(parts, reconstruction, kl_z, step, more, quantise + commit)
        return Losses({**found.minimise, "codebook": quantise}, found.report)

    def posterior(
        self, parts: nn.ModuleDict, x: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b z"], None]:
        return parts["codebook"](parts["encoder"](x)[0]), None

    def traversal_range(self, parts: nn.ModuleDict, extent: float) -> tuple[float, float]:
        """The codebook's range: there is no prior std to go by."""
        (values_zv,) = parts["codebook"].parameters()
        return values_zv.min().item(), values_zv.max().item()

    def pixels(
        self, parts: nn.ModuleDict, z_bz: Float[Tensor, "b z"], d_bk: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b c h w"]:
        """Pixel probabilities; every dimension first takes its codebook's nearest value."""
        return super().pixels(parts, parts["codebook"](z_bz), d_bk)
