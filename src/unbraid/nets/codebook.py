"""QLAE's codebook: a few scalar values for every dimension (Hsu et al. 2023)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Codebook(nn.Module):
    """The nearest of a dimension's own values, for every dimension; at first −½ to ½ evenly."""

    def __init__(self, latent_dim: int, values: int) -> None:
        super().__init__()
        self.values_zv = nn.Parameter(torch.linspace(-0.5, 0.5, values).repeat(latent_dim, 1))

    def forward(self, c_bz: Float[Tensor, "b z"]) -> Float[Tensor, "b z"]:
        distance_bzv = (c_bz.detach()[:, :, None] - self.values_zv.detach()).abs()
        nearest_bz = distance_bzv.argmin(dim=2)
        return self.values_zv.expand(c_bz.shape[0], -1, -1).gather(2, nearest_bz[:, :, None])[
            :, :, 0
        ]
