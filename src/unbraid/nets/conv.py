"""The field's convolutional encoder and decoder (Higgins et al. 2017; Kim & Mnih 2018)."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unbraid.errors import UserError
from unbraid.nets.transposed import Doubling, ThinDoubling

WIDTHS = (32, 32, 64, 64)
HIDDEN = 256
SMALLEST_STD = 1e-6
HALVED = 2 ** len(WIDTHS)
SIDES = (16, 256)


class ConvEncoder(nn.Module):
    """Image to the parameters of a Gaussian posterior: mean and std per dimension.

    Four 4×4 convolutions of stride 2 (32-32-64-64), FC 256, FC 2z; ReLU between;
    std = softplus + 1e-6. With `categories` K the last layer has K outputs more, the logits of a
    categorical posterior. The last layer is always computed in float32. Sides are 16 to 256: what
    16 does not divide is first framed with zeros, as narrowly as can be. UserError for others.
    """

    def __init__(self, shape: tuple[int, int, int], latent_dim: int, categories: int = 0) -> None:
        super().__init__()
        grid = _grid(shape)
        self.frame = _frame(shape)
        channels = (shape[0], *WIDTHS)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, 4, 2, 1) for i, o in itertools.pairwise(channels)
        )
        self.hidden = nn.Linear(WIDTHS[-1] * grid[0] * grid[1], HIDDEN)
        self.outputs = [latent_dim, latent_dim] + [categories] * bool(categories)
        self.head = nn.Linear(HIDDEN, sum(self.outputs))
        initialise(self)

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b _"], ...]:
        if any(self.frame):
            x = functional.pad(x, self.frame)
        features = x if torch.compiler.is_exporting() else _channels_last(x)
        for convolution in self.convolutions:
            features = functional.relu_(convolution(features))
        features = functional.relu(self.hidden(features.flatten(1)))
        with torch.autocast(x.device.type, enabled=False):
            head = self.head(features.to(self.head.weight.dtype))
        mean, raw_std, *logits = head.split(self.outputs, dim=1)
        return mean, functional.softplus(raw_std) + SMALLEST_STD, *logits


class ConvDecoder(nn.Module):
    """Code to the logits of independent Bernoulli pixels, the encoder's mirror image.

    FC 256, FC to the grid (4×4 of 64×64 pixels), four 4×4 transposed convolutions of stride 2
    (64-32-32-c). The first layer is always computed in float32: rounding z to bfloat16 is coarser
    than a narrow posterior. Where the encoder adds a frame, it is cut off again.
    """

    def __init__(self, shape: tuple[int, int, int], inputs: int) -> None:
        super().__init__()
        self.grid = _grid(shape)
        left, _, top, _ = self.frame = _frame(shape)
        self.inside = (slice(top, top + shape[1]), slice(left, left + shape[2]))
        channels = (*reversed(WIDTHS), shape[0])
        self.entry = nn.Linear(inputs, HIDDEN)
        self.hidden = nn.Linear(HIDDEN, WIDTHS[-1] * self.grid[0] * self.grid[1])
        self.convolutions = nn.ModuleList(
            Doubling(i, o) for i, o in itertools.pairwise(channels[:-1])
        )
        self.convolutions.append(ThinDoubling(channels[-2], channels[-1]))
        initialise(self)

    def forward(self, code: Float[Tensor, "b inputs"]) -> Float[Tensor, "b c h w"]:
        with torch.autocast(code.device.type, enabled=False):
            features = functional.relu(self.entry(code))
        features = functional.relu(self.hidden(features))
        features = features.unflatten(1, (WIDTHS[-1], *self.grid))
        features = features.contiguous(memory_format=torch.channels_last)
        for convolution in self.convolutions[:-1]:
            features = functional.relu_(convolution(features))
        logits = self.convolutions[-1](features)
        return logits[:, :, *self.inside] if any(self.frame) else logits


def initialise(network: nn.Module) -> None:
    """He's normal on convolutions, Glorot's uniform on dense layers, zero biases."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, nn.ConvTranspose2d):
            # Each output pixel of a stride-2 4×4 transposed convolution sums 2×2 taps.
            nn.init.normal_(layer.weight, std=(2 / (layer.in_channels * 4)) ** 0.5)
        elif isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _channels_last(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """`x` with its channels innermost in memory, and seen to be so even if there is only one.

    With one channel, both layouts are the same bytes, and torch takes any strides but these for
    the other: every convolution of the encoder would then follow in the slower layout.
    """
    sides = x.permute(0, 2, 3, 1)
    return sides.flatten(1).unflatten(1, sides.shape[1:]).permute(0, 3, 1, 2)


def _grid(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Rows and columns of the last feature map; UserError if a side is out of range."""
    if not all(SIDES[0] <= side <= SIDES[1] for side in shape[1:]):
        raise UserError(
            f"images of {shape[1]}×{shape[2]}: the networks take sides of {SIDES[0]} to {SIDES[1]}"
            " pixels; resize the images"
        )
    return -(-shape[1] // HALVED), -(-shape[2] // HALVED)


def _frame(shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """How many zeros go to the left, right, top and bottom, so that 16 divides both sides."""
    x, y = -shape[2] % HALVED, -shape[1] % HALVED
    return x // 2, x - x // 2, y // 2, y - y // 2
