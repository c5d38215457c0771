"""Convolutional encoder and decoder (Higgins et al. 2017; Kim & Mnih 2018)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unbraid.errors import ArgumentError
from unbraid.nets.transposed import ThinUpsampling, Upsampling

CHANNELS = (32, 32, 64, 64)
HIDDEN_DIM = 256
MIN_STD = 1e-6
DOWNSAMPLING = 2 ** len(CHANNELS)
MIN_SIDE, MAX_SIDE = 16, 256


class ConvEncoder(nn.Module):
    """Encoder from images to the mean and std of a Gaussian posterior.

    Four 4×4 convolutions of stride 2 (32-32-64-64), FC 256, FC 2z, with ReLU between layers;
    std = softplus + 1e-6. The last layer is always computed in float32. Images are padded with the
    fewest zeros such that 16 divides height and width.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, height and width of the images; height and width are 16 to 256 pixels.
    latent_dim : int
        Number of continuous dimensions.
    categories : int, default 0
        Number K of categories; the last layer then has K more outputs, the logits of a categorical
        posterior.

    Raises
    ------
    ArgumentError
        If height or width is out of range.

    References
    ----------
    Higgins et al., "β-VAE: Learning Basic Visual Concepts with a Constrained Variational
    Framework", 2017; Kim and Mnih, "Disentangling by Factorising", 2018.

    Examples
    --------
    >>> mean, std = ConvEncoder((1, 64, 64), latent_dim=10)(torch.zeros(2, 1, 64, 64))
    >>> mean.shape
    torch.Size([2, 10])
    """

    def __init__(self, shape: tuple[int, int, int], latent_dim: int, categories: int = 0) -> None:
        super().__init__()
        grid = _grid(shape)
        self.padding = _padding(shape)
        channels = (shape[0], *CHANNELS)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, 4, 2, 1) for i, o in itertools.pairwise(channels)
        )
        self.hidden = nn.Linear(CHANNELS[-1] * grid[0] * grid[1], HIDDEN_DIM)
        self.output_dims = [latent_dim, latent_dim] + [categories] * bool(categories)
        self.head = nn.Linear(HIDDEN_DIM, sum(self.output_dims))
        initialise(self)

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b _"], ...]:
        """Return means and standard deviations, and with `categories` the logits."""
        features = self.features(x)
        with torch.autocast(x.device.type, enabled=False):
            head = self.head(features)
        mean, raw_std, *logits = head.split(self.output_dims, dim=1)
        return mean, functional.softplus(raw_std) + MIN_STD, *logits

    def features(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 256"]:
        """Compute the inputs of the last layer.

        Parameters
        ----------
        x : tensor, shape (b, c, h, w)
            Images with values between 0 and 1.

        Returns
        -------
        tensor, shape (b, 256)
            Features in the precision of the last layer.
        """
        if any(self.padding):
            x = functional.pad(x, self.padding)
        features = x if torch.compiler.is_exporting() else _channels_last(x)
        for convolution in self.convolutions:
            features = functional.relu_(convolution(features))
        features = functional.relu(self.hidden(features.flatten(1)))
        return features.to(self.head.weight.dtype)


class ConvDecoder(nn.Module):
    """Decoder from codes to the logits of independent Bernoulli pixels; mirrors the encoder.

    FC 256, FC to the last feature map of the encoder (4×4 for 64×64 pixels), four 4×4 transposed
    convolutions of stride 2 (64-32-32-c). The first layer is always computed in float32, because
    rounding z to bfloat16 is coarser than a narrow posterior. The encoder's padding is cropped.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, height and width of the images; height and width are 16 to 256 pixels.
    code_dim : int
        Number of entries of a code, continuous and one-hot.

    Raises
    ------
    ArgumentError
        If height or width is out of range.

    References
    ----------
    Higgins et al., "β-VAE: Learning Basic Visual Concepts with a Constrained Variational
    Framework", 2017; Kim and Mnih, "Disentangling by Factorising", 2018.

    Examples
    --------
    >>> ConvDecoder((1, 64, 64), code_dim=10)(torch.zeros(2, 10)).shape
    torch.Size([2, 1, 64, 64])
    """

    def __init__(self, shape: tuple[int, int, int], code_dim: int) -> None:
        super().__init__()
        self.grid = _grid(shape)
        left, _, top, _ = self.padding = _padding(shape)
        self.crop = (slice(top, top + shape[1]), slice(left, left + shape[2]))
        channels = (*reversed(CHANNELS), shape[0])
        self.entry = nn.Linear(code_dim, HIDDEN_DIM)
        self.hidden = nn.Linear(HIDDEN_DIM, CHANNELS[-1] * self.grid[0] * self.grid[1])
        self.convolutions = nn.ModuleList(
            Upsampling(i, o) for i, o in itertools.pairwise(channels[:-1])
        )
        self.convolutions.append(ThinUpsampling(channels[-2], channels[-1]))
        initialise(self)

    def forward(
        self,
        code: Float[Tensor, "b code_dim"],
        known: tuple[Sequence[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Return the logit of each pixel.

        Parameters
        ----------
        code : tensor, shape (b, code_dim)
            Codes.
        known : (sequence of tensor, tensor) or None, default None
            `layer_outputs` of n codes, and the rows of those that are the codes here, shape (b,);
            then the logits are not computed again, and have the same gradient.

        Returns
        -------
        tensor, shape (b, c, h, w)
            Logits.
        """
        return self.cropped(self.layer_outputs(code, known)[-1])

    def layer_outputs(
        self,
        code: Float[Tensor, "b code_dim"],
        known: tuple[Sequence[Tensor], Tensor] | None = None,
    ) -> list[Tensor]:
        """Compute the output of each transposed convolution.

        Parameters
        ----------
        code : tensor, shape (b, code_dim)
            Codes.
        known : (sequence of tensor, tensor) or None, default None
            As in `forward`.

        Returns
        -------
        list of tensor
            Feature maps after ReLU; the last one is the logits.
        """
        with torch.autocast(code.device.type, enabled=False):
            features = functional.relu(self.entry(code))
        features = functional.relu(self.hidden(features))
        features = features.unflatten(1, (CHANNELS[-1], *self.grid))
        features = features.contiguous(memory_format=torch.channels_last)
        outputs: list[Tensor] = []
        for number, layer in enumerate(self.convolutions):
            features = layer(features, None if known is None else (known[0][number], known[1]))
            outputs.append(features)
        return outputs

    def cropped(self, logits: Float[Tensor, "b c h2 w2"]) -> Float[Tensor, "b c h w"]:
        """Remove the padding from the output of the last layer.

        Parameters
        ----------
        logits : tensor, shape (b, c, h2, w2)
            Output of the last layer.

        Returns
        -------
        tensor, shape (b, c, h, w)
            Logits of the image's pixels.
        """
        return logits[:, :, *self.crop] if any(self.padding) else logits


def initialise(network: nn.Module) -> None:
    """Initialise convolutions with He's normal, dense layers with Glorot's uniform, biases with 0.

    Parameters
    ----------
    network : nn.Module
        Network, modified in place.

    References
    ----------
    He et al., "Delving Deep into Rectifiers", 2015; Glorot and Bengio, "Understanding the
    difficulty of training deep feedforward neural networks", 2010.
    """
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


def initialise_like_slim(network: nn.Module) -> None:
    """Initialise convolutions with a truncated normal of std √(2/fan_in), as TF-Slim does.

    The fan-in is kernel height × kernel width × the last but one axis of TensorFlow's weights. For
    a transposed convolution this axis is the output channels, so the std is √(2/(16 · outputs)).
    Dense layers and biases are not changed.

    Parameters
    ----------
    network : nn.Module
        Network, modified in place.

    References
    ----------
    `variance_scaling_initializer` of TF-Slim 1.1.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            # PyTorch stores (out, in, h, w), and (in, out, h, w) if transposed.
            fan_in = layer.weight[0].numel()
            # Truncation to ±2 std multiplies the std by 0.88; TF-Slim's 1.3 corrects it to 0.3 %.
            std = (1.3 * 2 / fan_in) ** 0.5
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)


def _channels_last(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return `x` in the channels-last layout, with its strides even if there is one channel.

    With one channel, both layouts have the same bytes, and torch recognises channels-last by these
    strides only: without them every convolution of the encoder would use the slower layout.
    """
    pixels = x.permute(0, 2, 3, 1)
    return pixels.flatten(1).unflatten(1, pixels.shape[1:]).permute(0, 3, 1, 2)


def _grid(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return height and width of the last feature map."""
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in shape[1:]):
        raise ArgumentError(
            "shape",
            shape,
            f"height and width must be between {MIN_SIDE} and {MAX_SIDE} pixels",
            "resize the images",
        )
    return -(-shape[1] // DOWNSAMPLING), -(-shape[2] // DOWNSAMPLING)


def _padding(shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return the padding left, right, top and bottom such that 16 divides both sides."""
    x, y = -shape[2] % DOWNSAMPLING, -shape[1] % DOWNSAMPLING
    return x // 2, x - x // 2, y // 2, y - y // 2
