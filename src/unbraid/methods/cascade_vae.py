"""CascadeVAE (Jeong & Song 2019, §4): CascadeVAE-C with a discrete code."""

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
    """CascadeVAE: alternates exact minimisation over the discrete code d with a gradient step.

    Over a batch, d minimises Σ_b −ln p(x_b | z_b, d_b) + λ′ Σ_{a<b} 1[d_a = d_b]. Encoder and
    decoder then minimise the objective of CascadeVAE-C with this d and the same sampled z. Before
    the discrete code opens, d is the zero vector. The category of an image is the one with the best
    reconstruction from the posterior mean.

    References
    ----------
    Jeong and Song, "Learning Discrete and Continuous Factors of Data via Alternating
    Disentanglement", 2019, Eq. 8, Algorithm 2.

    Examples
    --------
    >>> method = CascadeVAE(latent_dim=4, stage_steps=100, warmup_stages=2)
    >>> method.discrete_is_open(step=199), method.discrete_is_open(step=200)
    (False, True)
    """

    name: ClassVar[str] = "cascade-vae"
    title: ClassVar[str] = "CascadeVAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset(
            "official code and Table 1, m = 6 (for m = 4, β_l = 2.0)",
            300_000,
            64,
            {"beta_low": 1.0, "restart_adam": True, "slim_init": True, "l2": 4e-5},
        ),
        "paper-tokui2022": Preset(
            "Tokui & Sato 2022: Adam at 3e-4 without resets, no L2, d opens after 100,000 steps",
            300_000,
            64,
            {"beta_low": 2.0, "learning_rate": 3e-4, "warmup_stages": 5},
        ),
        "quick": Preset(
            "about 10 minutes on two cores: m = 4, learning rate 7e-4, stages of 1,500 steps",
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
        4, "number of stages before the discrete code opens", "stages", "4 (5 in Tokui & Sato 2022)"
    )
    pair_penalty: float = hyperparameter(
        1e-3, "cost λ′ of each pair of images of a batch in the same category", "nats", "0.001"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(2, "categories")
        self.require_at_least(0, "warmup_stages", "pair_penalty")

    def num_active_dims(self, step: int) -> int:
        return schedules.num_active_dims_joint(step, self.stage_steps, self.warmup_stages)

    def discrete_is_open(self, step: int) -> bool:
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
        extra: dict[str, Tensor] = {}
        if self.discrete_is_open(step):
            d_bk = choose_categories(parts, x, z_bz, self.categories, self.pair_penalty)
            share_k = d_bk.mean(dim=0)
            # λ′ Σ_k n_k(n_k − 1)/2 over the batch, divided by the number of images.
            pairs = (share_k * (share_k * len(x) - 1)).sum() / 2
            extra = {"share": share_k, "pair_penalty": self.pair_penalty * pairs}
        else:
            d_bk = z_bz.new_zeros(len(x), self.categories)
        logits = parts["decoder"](torch.cat([z_bz, d_bk], dim=1))
        reconstruction = distributions.bernoulli_nll(logits, x).mean()
        kl_z = distributions.kl_from_standard_normal(mean_bz, std_bz).mean(dim=0)
        return self.total_loss(parts, reconstruction, kl_z, step, extra)

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
    pseudo_label_g: Int[Tensor, " g"] | None = None,
) -> Float[Tensor, "b k"]:
    """Compute the discrete codes of a batch that minimise the objective, exactly.

    The objective is Σ_b −ln p(x_b | z_b, d_b) + λ′ Σ_{a<b} 1[d_a = d_b].

    Parameters
    ----------
    parts : nn.ModuleDict
        The method's modules.
    x : tensor, shape (b, c, h, w)
        Images with values between 0 and 1.
    z_bz : tensor, shape (b, z)
        Sampled continuous codes.
    k : int
        Number of categories.
    pair_penalty : float
        λ′, nats per pair.
    pseudo_label_g : tensor of int, shape (g,), or None, default None
        Categories of the first g images; only the others are then assigned.

    Returns
    -------
    tensor, shape (b, k)
        One-hot codes.

    References
    ----------
    Jeong and Song, "Learning Discrete and Continuous Factors of Data via Alternating
    Disentanglement", 2019, Algorithm 2.
    """
    rest = slice(0 if pseudo_label_g is None else len(pseudo_label_g), None)
    category_b = assign(category_costs(parts, x[rest], z_bz[rest], k), pair_penalty)
    if pseudo_label_g is not None:
        category_b = torch.cat([pseudo_label_g, category_b])
    return functional.one_hot(category_b, k).to(z_bz.dtype)


def category_costs(
    parts: nn.ModuleDict, x: Float[Tensor, "b c h w"], z_bz: Float[Tensor, "b z"], k: int
) -> Float[Tensor, "b k"]:
    """Compute −ln p(x | z, d) of every image for each category d.

    Parameters
    ----------
    parts : nn.ModuleDict
        The method's modules.
    x : tensor, shape (b, c, h, w)
        Images with values between 0 and 1.
    z_bz : tensor, shape (b, z)
        Continuous codes.
    k : int
        Number of categories.

    Returns
    -------
    tensor, shape (b, k)
        Negative log-likelihoods, nats.
    """
    b = x.shape[0]
    d_kk = torch.eye(k, device=z_bz.device, dtype=z_bz.dtype)
    code = torch.cat([z_bz.repeat_interleave(k, dim=0), d_kk.repeat(b, 1)], dim=1)
    nll: Tensor = distributions.bernoulli_nll(parts["decoder"](code), x.repeat_interleave(k, dim=0))
    return nll.view(b, k)
