"""Networks against the PyTorch layers that they replace."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from unbraid.methods import find
from unbraid.nets import ConvDecoder, ConvEncoder, decode_selected
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
    plain = plain if kind is ThinUpsampling else plain.relu()
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


# Std of the first weights of the official CascadeVAE: √(2/(16 · inputs)) for convolutions,
# √(2/(16 · outputs)) for transposed ones.
SLIM_STD = {
    "encoder.convolutions.0": 0.3536,
    "encoder.convolutions.1": 0.0625,
    "encoder.convolutions.2": 0.0625,
    "encoder.convolutions.3": 0.0442,
    "decoder.convolutions.0": 0.0442,
    "decoder.convolutions.1": 0.0625,
    "decoder.convolutions.2": 0.0625,
    "decoder.convolutions.3": 0.3536,
}
VERSION_0_1_WEIGHTS = {
    "encoder.convolutions.0": [-0.1730243, -0.1596906, 0.4612563],
    "encoder.convolutions.3": [-0.006185363, 0.039636, -0.03718911],
    "encoder.hidden": [0.02044065, 0.008071613, 0.0005148728],
    "encoder.head": [-0.09309123, -0.01907586, -0.1078975],
    "decoder.entry": [0.09625213, -0.05458961, -0.1243886],
    "decoder.hidden": [-0.02685261, 0.03159162, -0.02537013],
    "decoder.convolutions.0": [-0.001786988, 0.1294331, 0.04131184],
    "decoder.convolutions.3": [0.1130767, 0.2770638, -0.1500133],
}
SEEDS = range(5)


def built(method: str, preset: str, seed: int) -> nn.ModuleDict:
    torch.manual_seed(seed)
    values = find(method).PRESETS[preset].hyperparameters
    return find(method)(**values).build((1, 64, 64))


@pytest.mark.parametrize("method", ["cascade-vae", "cascade-vae-c"])
def test_paper_presets_of_the_cascade_start_with_the_weights_of_slim(method: str) -> None:
    """The std of each layer over seeds, and the whole distribution: cut off at 2 std."""
    seeds = [built(method, "paper", seed) for seed in SEEDS]
    for name, std in SLIM_STD.items():
        w = torch.stack([parts.get_parameter(f"{name}.weight") for parts in seeds]).flatten()
        # Of a sample std of n values with kurtosis 2.37, the std is √(1.37 / 4n); TF-Slim's
        # correction for truncation is 0.3 % too large.
        error = (1.37 / (4 * len(w))) ** 0.5
        assert w.std().item() == pytest.approx(1.0029 * std, rel=4 * error + 3e-4), name
        bound = 2 * (1.3**0.5 * std)
        assert 0.99 * bound < w.abs().max().item() < 1.001 * bound, name
        assert ks_p_value(w, stats.truncnorm(-2, 2, scale=bound / 2)) > 1e-3, name


def test_slim_changes_neither_dense_layers_nor_biases() -> None:
    ours, slim = built("cascade-vae", "paper-tokui2022", 0), built("cascade-vae", "paper", 0)
    for name, weight in slim.named_parameters():
        if name.endswith("bias"):
            assert not weight.any(), name
        else:
            assert torch.equal(weight, ours.get_parameter(name)) == (weight.ndim == 2), name
        if weight.ndim == 2:
            # Glorot: uniform up to √(6/(inputs + outputs)).
            bound = (6 / sum(weight.shape)) ** 0.5
            assert ks_p_value(weight, stats.uniform(-bound, 2 * bound)) > 1e-3, name


def ks_p_value(weight: torch.Tensor, distribution: Any) -> float:
    """Return the p-value of the Kolmogorov–Smirnov test."""
    return np.asarray(stats.ks_1samp(weight.detach().flatten(), distribution.cdf))[1]


def test_default_first_weights_are_those_of_version_0_1() -> None:
    """The first weights of layers from seed 0, as version 0.1 sampled them."""
    parts = built("cascade-vae", "quick", 0)
    for name, expected in VERSION_0_1_WEIGHTS.items():
        result = parts.get_parameter(f"{name}.weight").flatten()[:3].tolist()
        assert result == pytest.approx(expected, rel=1e-5), name


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 28, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_selected_codes_are_decoded_as_if_alone(
    shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    """Logits and all gradients; the last rows first, one row twice, so that no order is assumed."""
    torch.manual_seed(0)
    decoder = ConvDecoder(shape, 3)
    code = torch.randn(6, 3, requires_grad=True)
    chosen = torch.tensor([5, 0, 3, 3])
    seen: list[torch.Tensor] = []

    def select(logits: torch.Tensor) -> torch.Tensor:
        seen.append(logits)
        return chosen

    weights = [code, *decoder.parameters()]
    upstream = torch.randn(4, *shape)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        ours, row = decode_selected(decoder, code, select)
        alone = decoder(code[chosen])
        everything = decoder(code)
    assert torch.equal(row, chosen)
    assert not seen[0].requires_grad
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    compared = [(seen[0], everything), (ours, alone)]
    compared += zip(
        torch.autograd.grad(ours, weights, upstream),
        torch.autograd.grad(alone, weights, upstream),
        strict=True,
    )
    for result, expected in compared:
        torch.testing.assert_close(result, expected, rtol=tolerance, atol=tolerance)


def test_any_decoder_decodes_selected_codes() -> None:
    decoder = nn.Sequential(nn.Linear(3, 16), nn.Unflatten(1, (1, 4, 4)))
    code = torch.randn(6, 3, requires_grad=True)
    logits, row = decode_selected(decoder, code, lambda _: torch.tensor([4, 1]))
    assert row.tolist() == [4, 1]
    torch.testing.assert_close(logits, decoder(code[[4, 1]]))
    (gradient,) = torch.autograd.grad(logits.sum(), code)
    assert gradient.any(dim=1).tolist() == [False, True, False, False, True, False]
