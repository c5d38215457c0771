"""Transposed convolutions of the decoder, faster than PyTorch's on a CPU.

On other devices, under the transforms of torch.func and in exports, PyTorch's own are used.

PyTorch's backward pass spends most of the time of such a layer on the gradient of the bias, which
is a sum. Its convolutions fill vector registers with output channels: in the last layer, with one
channel, most of a register is unused, while a matrix product fills it.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class Upsampling(nn.ConvTranspose2d):
    """Transposed convolution that doubles height and width of an image, and ReLU.

    Same function as `torch.nn.ConvTranspose2d(i, o, 4, stride=2, padding=1)` followed by
    `torch.nn.ReLU()`.

    Parameters
    ----------
    in_channels, out_channels : int
        Numbers of channels.

    Examples
    --------
    >>> Upsampling(8, 4)(torch.zeros(1, 8, 5, 5)).shape
    torch.Size([1, 4, 10, 10])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 4, 2, 1)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, x: Float[Tensor, "b i h w"], known: tuple[Tensor, Tensor] | None = None
    ) -> Float[Tensor, "b o h2 w2"]:
        """Return the image of twice the height and width.

        Parameters
        ----------
        x : tensor, shape (b, i, h, w)
            Images.
        known : (tensor, tensor) or None, default None
            Outputs of the layer, shape (n, o, 2h, 2w), and the rows of them that are its outputs
            for `x`, shape (b,); only the gradient is then computed.

        Returns
        -------
        tensor, shape (b, o, 2h, 2w)
            Images of twice the height and width.
        """
        assert self.bias is not None
        if not self.takes_outputs(x):
            return self._activate(super().forward(x))
        return self.on_cpu(x, self.weight.to(x.dtype), self.bias, known)

    @staticmethod
    def takes_outputs(x: Tensor) -> bool:
        """Return whether `forward` uses known outputs, as it does on a CPU.

        Parameters
        ----------
        x : tensor
            Input of the layer.

        Returns
        -------
        bool
            False on other devices, under the transforms of torch.func and in exports.
        """
        transformed = torch._C._are_functorch_transforms_active()
        return x.device.type == "cpu" and not transformed and not torch.compiler.is_exporting()

    def _activate(self, x: Float[Tensor, "b o h2 w2"]) -> Float[Tensor, "b o h2 w2"]:
        """Return ReLU of each value."""
        return functional.relu(x)

    def on_cpu(
        self, x: Tensor, weight: Tensor, bias: Tensor, known: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """Compute the layer on a CPU, in the precision of `x`.

        Parameters
        ----------
        x : tensor, shape (b, i, h, w)
            Images.
        weight : tensor, shape (i, o, 4, 4)
            Weights, in the dtype of `x`.
        bias : tensor, shape (o,)
            Biases.
        known : (tensor, tensor) or None
            Outputs, and the rows of them that are known to be those for `x`.

        Returns
        -------
        tensor, shape (b, o, 2h, 2w)
            Images of twice the height and width.
        """
        return _TransposedConvolution.apply(x, weight, bias, *known or (None, None))


class ThinUpsampling(Upsampling):
    """Transposed convolution as in `Upsampling`, without ReLU, fast for one to three channels.

    Each input pixel contributes a 4×4 patch per channel. One matrix product computes all patches as
    16 planes per channel; four shifted additions of planes overlay them.

    Parameters
    ----------
    in_channels, out_channels : int
        Numbers of channels.
    """

    def _activate(self, x: Float[Tensor, "b o h2 w2"]) -> Float[Tensor, "b o h2 w2"]:
        """Return `x`."""
        return x

    def on_cpu(
        self, x: Tensor, weight: Tensor, bias: Tensor, known: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        return _ThinTransposedConvolution.apply(x, weight, bias, *known or (None, None))


def _rows_of(x: Tensor, row: Tensor) -> Tensor:
    """Return rows of a tensor in its memory format."""
    if x.is_contiguous():
        return x.index_select(0, row)
    return x.permute(0, 2, 3, 1).index_select(0, row).permute(0, 3, 1, 2)


def _bias_gradient(gradient: Tensor, dtype: torch.dtype) -> Tensor:
    """Sum over images and pixels.

    In bfloat16 the sum over the pixels of each image is rounded, then the images are added in
    `dtype`: PyTorch would convert all pixels to `dtype` first, which takes longer than the sum.
    """
    b, c, *_ = gradient.shape
    pixels = gradient.permute(0, 2, 3, 1).reshape(b, -1, c)
    if gradient.dtype == dtype:
        return pixels.flatten(0, 1).sum(0)
    return pixels.sum(1).sum(0, dtype=dtype)


class _TransposedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        outputs: Tensor | None,
        row: Tensor | None,
    ) -> Tensor:
        if outputs is None or row is None:
            output = functional.conv_transpose2d(x, weight, bias.to(x.dtype), 2, 1).relu_()
        else:
            output = _rows_of(outputs, row)
        ctx.save_for_backward(x, weight, output)
        ctx.dtype = bias.dtype
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, output = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradients[0], output, 0)
        x_gradient, weight_gradient, _ = torch.ops.aten.convolution_backward(
            gradient, x, weight, None, [2, 2], [1, 1], [1, 1], True, [0, 0], 1,
            [True, True, False],
        )  # fmt: skip
        return x_gradient, weight_gradient, _bias_gradient(gradient, ctx.dtype), None, None


class _ThinTransposedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        outputs: Tensor | None,
        row: Tensor | None,
    ) -> Tensor:
        b, i, h, w = x.shape
        o = weight.shape[1]
        rows = x.permute(0, 2, 3, 1).reshape(-1, i)
        flat = weight.reshape(i, -1)
        ctx.save_for_backward(rows, flat)
        ctx.shape, ctx.dtype = (b, i, h, w, o), bias.dtype
        if outputs is not None and row is not None:
            return _rows_of(outputs, row)
        planes = (flat.T @ rows.T).view(o, 4, 4, b, h, w)
        # Output row 2y is tap 1 of input row y and tap 3 of row y − 1; row 2y + 1 is tap 2 of
        # row y and tap 0 of row y + 1; likewise for columns.
        tall = planes[:, 1:3].to(torch.promote_types(x.dtype, torch.float32))
        tall[:, 0, ..., 1:, :] += planes[:, 3, ..., :-1, :]
        tall[:, 1, ..., :-1, :] += planes[:, 0, ..., 1:, :]
        whole = tall[:, :, 1:3].clone()
        whole[:, :, 0, ..., 1:] += tall[:, :, 3, ..., :-1]
        whole[:, :, 1, ..., :-1] += tall[:, :, 0, ..., 1:]
        logits = whole.permute(3, 0, 4, 1, 5, 2).reshape(b, o, 2 * h, 2 * w)
        return logits.to(bias.dtype).add_(bias[:, None, None])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        rows, flat = ctx.saved_tensors
        b, i, h, w, o = ctx.shape
        whole = gradients[0].to(rows.dtype).reshape(b, o, h, 2, w, 2).permute(1, 3, 5, 0, 2, 4)
        planes = rows.new_zeros(o, 4, 4, b, h, w)
        planes[:, 1:3, 1:3] = whole
        planes[:, 1:3, 3, ..., :-1] = planes[:, 1:3, 1, ..., 1:]
        planes[:, 1:3, 0, ..., 1:] = planes[:, 1:3, 2, ..., :-1]
        planes[:, 3, ..., :-1, :] = planes[:, 1, ..., 1:, :]
        planes[:, 0, ..., 1:, :] = planes[:, 2, ..., :-1, :]
        patches = planes.view(o * 16, -1)
        x_gradient = (patches.T @ flat.T).view(b, h, w, i).permute(0, 3, 1, 2)
        weight_gradient = (patches @ rows).T.reshape(i, o, 4, 4)
        bias_gradient = gradients[0].sum((0, 2, 3), dtype=ctx.dtype)
        return x_gradient, weight_gradient, bias_gradient, None, None
