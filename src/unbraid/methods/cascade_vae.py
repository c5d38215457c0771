"""CascadeVAE (Jeong & Song 2019, §4): the cascade, with a discrete code beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from unbraid import distributions
from unbraid.methods import schedules
from unbraid.methods.assignment import assign
from unbraid.methods.base import Losses, Preset, hyperparameter
from unbraid.methods.cascade_vae_c import CascadeVAEC


@dataclass(frozen=True)
class CascadeVAE(CascadeVAEC):
    """Alternates an exact choice of the discrete code with a step on the networks.

    Jeong & Song 2019, Algorithm 2. Over a batch, d minimises Σ_b −ln p(x_b | z_b, d_b)
    + λ′ Σ_{a<b} 1[d_a = d_b]; then encoder and decoder descend on the cascade's objective with
    that d and the same sampled z. Until d opens it is the zero vector. To encode an image, d is
    the category that reconstructs it best from the posterior mean.
    """

    name: ClassVar[str] = "cascade-vae"
    title: ClassVar[str] = "CascadeVAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset(
            "official code and Table 1, m = 6 (with m = 4, β_l = 2.0)",
            300_000,
            64,
            {"beta_low": 1.0, "restart_adam": True, "l2": 4e-5},
        ),
        "paper-tokui2022": Preset(
            "Tokui & Sato 2022: one Adam at 3e-4, no L2, d after 100,000 steps",
            300_000,
            64,
            {"beta_low": 2.0, "learning_rate": 3e-4, "warmup_stages": 5},
        ),
        "quick": Preset(
            "minutes on two cores: m = 4 at seven times the rate, stages of 1,500",
            8_500,
            64,
            {"latent_dim": 4, "beta_low": 2.0, "learning_rate": 7e-4, "stage_steps": 1_500},
        ),
    }

    latent_dim: int = hyperparameter(6, "number m of continuous dimensions", "dimensions", "6")
    categories: int = hyperparameter(  # pyright: ignore[reportIncompatibleVariableOverride]
        3, "number K of categories of the discrete code", "categories", "3"
    )
    warmup_stages: int = hyperparameter(
        4, "stages before the discrete code opens", "stages", "4 (5 in Tokui & Sato 2022)"
    )
    pair_penalty: float = hyperparameter(
        1e-3, "λ′, cost of each pair of a batch that shares a category", "nats", "0.001"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.categories >= 2, "categories", "K=1 leaves nothing to choose", "2 or more"
        )
        self.require(self.warmup_stages >= 0, "warmup_stages", "a count", "0 or more")
        self.require(
            self.pair_penalty >= 0, "pair_penalty", "the cost must stay convex", "0 or more"
        )

    def num_active_dims(self, step: int) -> int:
        return schedules.num_active_dims_joint(step, self.stage_steps, self.warmup_stages)

    def discrete_is_open(self, step: int) -> bool:
        """Whether the discrete code takes part at a step."""
        return step >= self.warmup_stages * self.stage_steps

    def phase(self, step: int) -> tuple[tuple[float, ...], bool]:
        return self.betas(step), self.discrete_is_open(step)

    def losses(
        self,
        parts: nn.ModuleDict,
        x: Float[Tensor, "b c h w"],
        noise: Mapping[str, Tensor],
        step: int,
    ) -> Losses:
        mean_bz, std_bz = parts["encoder"](x)
        z_bz = distributions.sample_normal(mean_bz, std_bz, noise["z"])
        more: dict[str, Tensor] = {}
        if self.discrete_is_open(step):
            d_bk = choose_categories(parts, x, z_bz, self.categories, self.pair_penalty)
            share_k = d_bk.mean(dim=0)
            # λ′ Σ_k n_k(n_k − 1)/2 over the batch, an image's part of it.
            pairs = (share_k * (share_k * len(x) - 1)).sum() / 2
            more = {"share": share_k, "pair_penalty": self.pair_penalty * pairs}
        else:
            d_bk = z_bz.new_zeros(len(x), self.categories)
        logits = parts["decoder"](torch.cat([z_bz, d_bk], dim=1))
        reconstruction = distributions.bernoulli_nll(logits, x).mean()
        kl_z = distributions.kl_from_standard_normal(mean_bz, std_bz).mean(dim=0)
        return self.total_loss(parts, reconstruction, kl_z, step, more)

    def predict_category(
        self, parts: nn.ModuleDict, x: Float[Tensor, "b c h w"], mean_bz: Float[Tensor, "b z"]
    ) -> Int[Tensor, " b"]:
        return category_costs(parts, x, mean_bz, self.categories).argmin(dim=1)


@torch.no_grad()
def choose_categories(
    parts: nn.ModuleDict,
    x: Float[Tensor, "b c h w"],
    z_bz: Float[Tensor, "b z"],
    k: int,
    pair_penalty: float,
    given: Int[Tensor, " g"] | None = None,
) -> Float[Tensor, "b k"]:
    """The batch's d, one-hot: `given` for the first g images, over the rest the least cost of all.

    The cost is that of Algorithm 2, Σ_b −ln p(x_b | z_b, d_b) + λ′ Σ_{a<b} 1[d_a = d_b].
    """
    rest = slice(0 if given is None else len(given), None)
    category_b = assign(category_costs(parts, x[rest], z_bz[rest], k), pair_penalty)
    if given is not None:
        category_b = torch.cat([given, category_b])
    return functional.one_hot(category_b, k).to(z_bz.dtype)


def category_costs(
    parts: nn.ModuleDict, x: Float[Tensor, "b c h w"], z_bz: Float[Tensor, "b z"], k: int
) -> Float[Tensor, "b k"]:
    """−ln p(x | z, d) of every image under each of K categories, nats."""
    b = x.shape[0]
    d_kk = torch.eye(k, device=z_bz.device, dtype=z_bz.dtype)
    code = torch.cat([z_bz.repeat_interleave(k, dim=0), d_kk.repeat(b, 1)], dim=1)
    nats = distributions.bernoulli_nll(parts["decoder"](code), x.repeat_interleave(k, dim=0))
    return nats.unflatten(0, (b, k))
