"""The decoder's last layer, a transposed convolution to one or three channels, as a product.

General convolution code fills its vector registers with output channels; with one channel most of
them stay empty. Every input pixel's contribution is a 4×4 patch a channel: one matrix product gives
all patches, four shifted additions lay them over each other.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class ThinConvTranspose2d(nn.ConvTranspose2d):
    """`ConvTranspose2d(i, o, 4, stride=2, padding=1)`, the same weights and the same function."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 4, 2, 1)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, x: Float[Tensor, "b i h w"]
    ) -> Float[Tensor, "b o h2 w2"]:
        assert self.bias is not None
        overlaid = _Overlay.apply(x, self.weight.to(x.dtype))
        return overlaid.to(self.bias.dtype) + self.bias[:, None, None]


class _Overlay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        b, i, h, w = x.shape
        o = weight.shape[1]
        rows = x.permute(0, 2, 3, 1).reshape(-1, i)
        flat = weight.reshape(i, -1)
        ctx.save_for_backward(rows, flat)
        ctx.shape = (b, i, h, w, o)
        exact = torch.promote_types(x.dtype, torch.float32)
        patches = (rows @ flat).to(exact).view(b, h, w, o, 2, 2, 2, 2)
        patches = patches.permute(0, 3, 1, 5, 2, 7, 4, 6)
        # Output row 2y + 2u + r of the padded picture, from input row y's patch rows 2u + r.
        padded = x.new_zeros(b, o, h + 1, 2, w + 1, 2, dtype=exact)
        for u in (0, 1):
            for v in (0, 1):
                padded[:, :, u : u + h, :, v : v + w, :] += patches[..., u, v]
        return padded.view(b, o, 2 * h + 2, 2 * w + 2)[:, :, 1:-1, 1:-1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        rows, flat = ctx.saved_tensors
        b, i, h, w, o = ctx.shape
        padded = functional.pad(gradients[0].to(rows.dtype), (1, 1, 1, 1))
        patches = padded.unfold(2, 4, 2).unfold(3, 4, 2).permute(0, 2, 3, 1, 4, 5)
        patches = patches.reshape(-1, o * 16)
        x_gradient = (patches @ flat.T).view(b, h, w, i).permute(0, 3, 1, 2)
        return x_gradient, (rows.T @ patches).view(i, o, 4, 4)
