"""Networks against the plain layers they stand for."""

import pytest
import torch
from torch.nn import functional

from unbraid.nets import ConvEncoder
from unbraid.nets.transposed import Doubling, ThinDoubling


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [Doubling, ThinDoubling])
def test_a_doubling_layer_is_the_transposed_convolution(
    kind: type[Doubling], channels: int
) -> None:
    torch.manual_seed(0)
    layer = kind(5, channels).double()
    assert layer.bias is not None
    torch.nn.init.normal_(layer.bias)
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


@pytest.mark.parametrize("kind", [Doubling, ThinDoubling])
def test_a_doubling_layer_works_under_vmap(kind: type[Doubling]) -> None:
    torch.manual_seed(0)
    layer = kind(5, 1)
    x = torch.randn(2, 3, 5, 4, 4)
    stacked = torch.func.vmap(layer)(x)
    torch.testing.assert_close(stacked, torch.stack([layer(member) for member in x]))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_encoder_is_its_layers_in_turn(channels: int) -> None:
    """In whichever layout: pictures wider than high, so that no side passes for the other."""
    torch.manual_seed(0)
    encoder = ConvEncoder((channels, 32, 48), 2).double()
    x = torch.randn(3, channels, 32, 48, dtype=torch.float64)
    features = x
    for layer in encoder.convolutions:
        assert isinstance(layer, torch.nn.Conv2d)
        features = functional.conv2d(features, layer.weight, layer.bias, 2, 1).relu()
    mean, raw = encoder.head(encoder.hidden(features.flatten(1)).relu()).chunk(2, dim=1)
    torch.testing.assert_close(encoder(x), (mean, functional.softplus(raw) + 1e-6))
