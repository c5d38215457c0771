"""FactorVAE's discriminator (Kim & Mnih 2018, App. A)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unbraid.nets.conv import initialise

LAYERS = 6
SLOPE = 0.2


class Discriminator(nn.Module):
    """Code to the two logits of "from q(z)" and "from Π_j q(z_j)".

    Six dense layers with leaky ReLU (slope 0.2), then two logits. The first and the last layer are
    always computed in float32: z is finer than bfloat16, and so is the difference of the logits.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        widths = [inputs] + [width] * LAYERS
        self.layers = nn.ModuleList(nn.Linear(widths[i], widths[i + 1]) for i in range(LAYERS))
        self.head = nn.Linear(width, 2)
        initialise(self)

    def forward(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b 2"]:
        with torch.autocast(z.device.type, enabled=False):
            features = functional.leaky_relu(self.layers[0](z), SLOPE)
        for layer in self.layers[1:]:
            features = functional.leaky_relu(layer(features), SLOPE)
        with torch.autocast(z.device.type, enabled=False):
            return self.head(features.to(self.head.weight.dtype))
