"""Networks against the PyTorch layers that they replace."""

import pytest
import torch
from torch.nn import functional

from unbraid.nets import ConvDecoder, ConvEncoder
from unbraid.nets.transposed import ThinUpsampling, Upsampling


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [Upsampling, ThinUpsampling])
def test_upsampling_agrees_with_the_transposed_convolution(
    kind: type[Upsampling], channels: int
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
    for gradient, expected in zip(
        torch.autograd.grad(ours, weights, upstream),
        torch.autograd.grad(plain, weights, upstream),
        strict=True,
    ):
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("kind", [Upsampling, ThinUpsampling])
def test_upsampling_works_under_vmap(kind: type[Upsampling]) -> None:
    torch.manual_seed(0)
    layer = kind(5, 1)
    x = torch.randn(2, 3, 5, 4, 4)
    stacked = torch.func.vmap(layer)(x)
    torch.testing.assert_close(stacked, torch.stack([layer(member) for member in x]))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_encoder_agrees_with_its_layers_in_sequence(channels: int) -> None:
    """For either memory layout; images are wider than high, so that no side is confused."""
    torch.manual_seed(0)
    encoder = ConvEncoder((channels, 32, 48), 2).double()
    x = torch.randn(3, channels, 32, 48, dtype=torch.float64)
    features = x
    for layer in encoder.convolutions:
        assert isinstance(layer, torch.nn.Conv2d)
        features = functional.conv2d(features, layer.weight, layer.bias, 2, 1).relu()
    mean, raw = encoder.head(encoder.hidden(features.flatten(1)).relu()).chunk(2, dim=1)
    torch.testing.assert_close(encoder(x), (mean, functional.softplus(raw) + 1e-6))


@pytest.mark.parametrize(
    ("channels", "height", "width"), [(1, 28, 28), (3, 45, 28), (1, 96, 100), (3, 256, 40)]
)
def test_networks_of_any_image_size_agree_with_their_layers(
    channels: int, height: int, width: int
) -> None:
    """Forward and backward; images whose sides 16 does not divide are padded, then cropped."""
    torch.manual_seed(0)
    shape = (channels, height, width)
    encoder, decoder = ConvEncoder(shape, 2).double(), ConvDecoder(shape, 3).double()
    x = torch.rand(2, *shape, dtype=torch.float64)
    code = torch.randn(2, 3, dtype=torch.float64)
    ours = (*encoder(x), decoder(code))
    plain = (*plain_encoder(encoder, x), plain_decoder(decoder, code, height, width))
    torch.testing.assert_close(ours, plain)
    assert ours[-1].shape == x.shape
    weights = [*encoder.parameters(), *decoder.parameters()]
    upstream = [torch.randn_like(tensor) for tensor in plain]
    torch.testing.assert_close(
        torch.autograd.grad(ours, weights, upstream), torch.autograd.grad(plain, weights, upstream)
    )


def plain_encoder(encoder: ConvEncoder, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    features = padded(x)
    for layer in encoder.convolutions:
        assert isinstance(layer, torch.nn.Conv2d)
        features = functional.conv2d(features, layer.weight, layer.bias, 2, 1).relu()
    mean, raw = encoder.head(encoder.hidden(features.flatten(1)).relu()).chunk(2, dim=1)
    return mean, functional.softplus(raw) + 1e-6


def plain_decoder(
    decoder: ConvDecoder, code: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    features = decoder.hidden(decoder.entry(code).relu()).relu()
    features = features.reshape(len(code), 64, -(-height // 16), -(-width // 16))
    for number, layer in enumerate(decoder.convolutions):
        assert isinstance(layer, torch.nn.ConvTranspose2d)
        features = functional.conv_transpose2d(features, layer.weight, layer.bias, 2, 1)
        features = features.relu() if number < 3 else features
    top, left = (features.shape[2] - height) // 2, (features.shape[3] - width) // 2
    return features[:, :, top : top + height, left : left + width]


def padded(x: torch.Tensor) -> torch.Tensor:
    """Pad with zeros around the image; an odd one goes to the right and below."""
    height, width = (-(-side // 16) * 16 for side in x.shape[2:])
    whole = x.new_zeros(*x.shape[:2], height, width)
    top, left = (height - x.shape[2]) // 2, (width - x.shape[3]) // 2
    whole[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    return whole
