"""QLAE's codebook: a few scalar values per dimension (Hsu et al. 2023)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Codebook(nn.Module):
    """Quantisation of each dimension to the nearest value of its codebook.

    Parameters
    ----------
    latent_dim : int
        Number of dimensions.
    num_values : int
        Number of values per dimension, initially equally spaced from −½ to ½.

    References
    ----------
    Hsu et al., "Disentanglement via Latent Quantization", 2023, §3.

    Examples
    --------
    >>> codebook = Codebook(latent_dim=2, num_values=3)
    >>> codebook(torch.tensor([[0.1, 0.4]])).tolist()
    [[0.0, 0.5]]
    """

    def __init__(self, latent_dim: int, num_values: int) -> None:
        super().__init__()
        self.values_zv = nn.Parameter(torch.linspace(-0.5, 0.5, num_values).repeat(latent_dim, 1))

    def forward(self, c_bz: Float[Tensor, "b z"]) -> Float[Tensor, "b z"]:
        """Return the nearest value of each dimension; its gradient flows to the codebook only."""
        distance_bzv = (c_bz.detach()[:, :, None] - self.values_zv.detach()).abs()
        nearest_bz = distance_bzv.argmin(dim=2)
        return self.values_zv.expand(c_bz.shape[0], -1, -1).gather(2, nearest_bz[:, :, None])[
            :, :, 0
        ]
