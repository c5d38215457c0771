"""FactorVAE's discriminator (Kim & Mnih 2018)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unbraid.nets.conv import initialise

NUM_LAYERS = 6
NEGATIVE_SLOPE = 0.2


class Discriminator(nn.Module):
    """Classifier of codes: the logits of "from q(z)" and "from Π_j q(z_j)".

    Six dense layers with leaky ReLU (slope 0.2), then two logits. The first and the last layer are
    always computed in float32, because bfloat16 is too coarse for z and for the difference of the
    logits.

    Parameters
    ----------
    latent_dim : int
        Number of dimensions of the code.
    hidden_dim : int
        Number of units per layer.

    References
    ----------
    Kim and Mnih, "Disentangling by Factorising", 2018, App. A.

    Examples
    --------
    >>> Discriminator(latent_dim=3, hidden_dim=8)(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(self, latent_dim: int, hidden_dim: int) -> None:
        super().__init__()
        widths = [latent_dim] + [hidden_dim] * NUM_LAYERS
        self.layers = nn.ModuleList(nn.Linear(widths[i], widths[i + 1]) for i in range(NUM_LAYERS))
        self.head = nn.Linear(hidden_dim, 2)
        initialise(self)

    def forward(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b 2"]:
        """Return the two logits of each code."""
        with torch.autocast(z.device.type, enabled=False):
            features = functional.leaky_relu(self.layers[0](z), NEGATIVE_SLOPE)
        for layer in self.layers[1:]:
            features = functional.leaky_relu(layer(features), NEGATIVE_SLOPE)
        with torch.autocast(z.device.type, enabled=False):
            return self.head(features.to(self.head.weight.dtype))
