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
from unbraid.nets import decode_selected


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
            d_bk, logits = choose_categories(parts, x, z_bz, self.categories, self.pair_penalty)
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


def choose_categories(
    parts: nn.ModuleDict,
    x: Float[Tensor, "b c h w"],
    z_bz: Float[Tensor, "b z"],
    k: int,
    pair_penalty: float,
    pseudo_label_g: Int[Tensor, " g"] | None = None,
) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b c h w"]]:
    """Compute the discrete codes of a batch that minimise the objective exactly, and decode them.

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
    d : tensor, shape (b, k)
        One-hot codes.
    logits : tensor, shape (b, c, h, w)
        Decodings of z and these codes, with gradients of the decoder and of z.

    References
    ----------
    Jeong and Song, "Learning Discrete and Continuous Factors of Data via Alternating
    Disentanglement", 2019, Algorithm 2.
    """
    if pseudo_label_g is None:
        pseudo_label_g = torch.zeros(0, dtype=torch.long, device=x.device)
    g = len(pseudo_label_g)
    code_gc = torch.cat([z_bz[:g], functional.one_hot(pseudo_label_g, k).to(z_bz)], dim=1)
    code_rc = _with_each_category(z_bz[g:], k)
    first_r = torch.arange(0, len(code_rc), k, device=x.device)

    def select(logits: Tensor) -> Tensor:
        category_r = assign(_nll_of_each_category(logits[g:], x[g:], k), pair_penalty)
        return torch.cat([torch.arange(g, device=x.device), g + first_r + category_r])

    code = torch.cat([code_gc, code_rc])
    logits, row_b = decode_selected(parts["decoder"], code, select)
    d_bk = code[:, z_bz.shape[1] :].detach().take_along_dim(row_b[:, None], dim=0)
    return d_bk, logits


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
    return _nll_of_each_category(parts["decoder"](_with_each_category(z_bz, k)), x, k)


def _with_each_category(z_bz: Float[Tensor, "b z"], k: int) -> Float[Tensor, "r c"]:
    """Return the codes of each image with every category, one image after another."""
    # Not len(z_bz), which would fix the batch size of an exported encoder.
    d_rk = torch.eye(k, device=z_bz.device, dtype=z_bz.dtype).repeat(z_bz.shape[0], 1)
    return torch.cat([z_bz.repeat_interleave(k, dim=0), d_rk], dim=1)


def _nll_of_each_category(
    logits: Float[Tensor, "r c h w"], x: Float[Tensor, "b c h w"], k: int
) -> Float[Tensor, "b k"]:
    return distributions.bernoulli_nll(logits, x.repeat_interleave(k, dim=0)).view(-1, k)
