"""QLAE (Hsu et al. 2023): every dimension of the code is quantised to its own codebook."""

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
    """QLAE: minimises −ln p(x|z) + λ_q mean_z (sg c − z)² + λ_c mean_z (c − sg z)².

    c is the output of the encoder, z the nearest value in the codebook of each dimension, and sg
    the stop-gradient; the gradient of the decoder is passed unchanged from z to c. Encoder and
    decoder use strong weight decay (AdamW), the codebook none. The code is deterministic. With a
    uniform prior over its V values, the KL of each dimension is ln V for every image: `kl` in the
    log is this constant, `elbo` is a bound, and the KL is not part of the loss, so `betas` returns
    0. A traversal covers the range of the codebook.

    References
    ----------
    Hsu et al., "Disentanglement via Latent Quantization", 2023, §3.

    Examples
    --------
    >>> QLAE().groups()["codebook"].parts
    ('codebook',)
    """

    name: ClassVar[str] = "qlae"
    title: ClassVar[str] = "QLAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset(
            "official code of Hsu et al. 2023 with its weights for dSprites",
            200_000,
            128,
            {},
        ),
        "quick": Preset("a few minutes on a laptop", 10_000, 64, {}),
    }

    latent_dim: int = hyperparameter(
        10, "number m of continuous dimensions", "dimensions", "10, twice the number of factors"
    )
    learning_rate: float = hyperparameter(1e-3, "learning rate of Adam", "per step", "1e-3")
    codebook_size: int = hyperparameter(
        10, "number V of values in the codebook of each dimension", "values", "10"
    )
    quantization_weight: float = hyperparameter(
        4.096,
        "weight λ_q of the quantization loss, which moves values to codes",
        "nats",
        "0.001 per pixel of 4096; 0.01 on other datasets than dSprites",
    )
    commitment_weight: float = hyperparameter(
        4.096,
        "weight λ_c of the commitment loss, which moves codes to values",
        "nats",
        "0.001 per pixel of 4096; 0.01 on other datasets than dSprites",
    )
    weight_decay: float = hyperparameter(
        0.1,
        "decoupled weight decay of encoder and decoder, multiplied by the learning rate",
        "per step",
        "0.1",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            2 <= self.codebook_size <= 1000,
            "codebook_size",
            "must be between 2 and 1000",
            "a value from 2 to 1000",
        )
        self.require_at_least(0, "quantization_weight", "commitment_weight", "weight_decay")

    def betas(self, step: int) -> tuple[float, ...]:
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

    def noise_shapes(self, num_images: int) -> dict[str, tuple[int, ...]]:
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
        quantization = self.quantization_weight * (c_bz.detach() - z_bz).square().mean()
        commitment = self.commitment_weight * (c_bz - z_bz.detach()).square().mean()
        kl_z = c_bz.new_full((self.latent_dim,), math.log(self.codebook_size))
        extra = {"quantization": quantization, "commitment": commitment}
        penalty = quantization + commitment
        losses = self.total_loss(parts, reconstruction, kl_z, step, extra, penalty)
        return Losses({**losses.minimise, "codebook": quantization}, losses.report)

    def posterior(
        self, parts: nn.ModuleDict, x: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b z"], None]:
        return parts["codebook"](parts["encoder"](x)[0]), None

    def traversal_range(self, parts: nn.ModuleDict, extent: float) -> tuple[float, float]:
        (values_zv,) = parts["codebook"].parameters()
        return values_zv.min().item(), values_zv.max().item()

    def pixels(
        self, parts: nn.ModuleDict, z_bz: Float[Tensor, "b z"], d_bk: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b c h w"]:
        return super().pixels(parts, parts["codebook"](z_bz), d_bk)
