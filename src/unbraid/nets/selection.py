"""Decoding many codes and training on some of them, without decoding these twice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbraid.nets.conv import ConvDecoder
from unbraid.nets.transposed import Upsampling


def decode_selected(
    decoder: nn.Module,
    code: Float[Tensor, "n code_dim"],
    select: Callable[[Float[Tensor, "n c h w"]], Int[Tensor, " b"]],
) -> tuple[Float[Tensor, "b c h w"], Int[Tensor, " b"]]:
    """Decode codes without gradients, select some by their logits, and decode these with gradients.

    On a CPU a `ConvDecoder` keeps the outputs of its transposed convolutions, so that the selected
    codes are not decoded a second time. Other decoders, and all on a GPU, decode them again.

    Parameters
    ----------
    decoder : nn.Module
        Decoder from codes to logits.
    code : tensor, shape (n, code_dim)
        All codes.
    select : callable
        Maps the logits of all codes, shape (n, c, h, w), to the selected rows.

    Returns
    -------
    logits : tensor, shape (b, c, h, w)
        Logits of the selected codes, with gradients.
    row : tensor of int, shape (b,)
        The selected rows.

    Examples
    --------
    >>> decoder, code = ConvDecoder((1, 16, 16), code_dim=3), torch.eye(3)
    >>> logits, row = decode_selected(decoder, code, lambda logits: torch.tensor([2, 0]))
    >>> torch.allclose(logits, decoder(code[[2, 0]]))
    True
    """
    if not isinstance(decoder, ConvDecoder) or not Upsampling.takes_outputs(code):
        with torch.no_grad():
            row = select(decoder(code))
        return decoder(code.take_along_dim(row[:, None], dim=0)), row
    with torch.no_grad():
        outputs = decoder.layer_outputs(code)
        row = select(decoder.cropped(outputs[-1]))
    return decoder(code[row], (outputs, row)), row
