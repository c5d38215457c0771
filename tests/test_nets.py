"""Networks against the plain layers they stand for."""

import pytest
import torch
from torch.nn import functional

from unbraid.nets.thin import ThinConvTranspose2d


@pytest.mark.parametrize("channels", [1, 3])
def test_the_thin_layer_is_the_transposed_convolution(channels: int) -> None:
    torch.manual_seed(0)
    layer = ThinConvTranspose2d(5, channels).double()
    x = torch.randn(3, 5, 6, 7, dtype=torch.float64, requires_grad=True)
    weights = [x, *layer.parameters()]
    plain = functional.conv_transpose2d(x, layer.weight, layer.bias, 2, 1)
    ours = layer(x)
    torch.testing.assert_close(ours, plain)
    upstream = torch.randn_like(plain)
    for found, expected in zip(
        torch.autograd.grad(ours, weights, upstream),
        torch.autograd.grad(plain, weights, upstream),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)
