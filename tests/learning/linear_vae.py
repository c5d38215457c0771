"""Methods with linear networks and a Gaussian likelihood, whose optima are known in closed form.

Objective, noise, optimiser and training step are those of the package. Only the networks and
−ln p(x|z) are replaced.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unbraid.engine.state import State
from unbraid.methods import Method
from unbraid.methods.base import VAEOutput
from unbraid.runs import Budget, Config


def gaussian_images(variances: Tensor, num_images: int) -> Tensor:
    """Return images (n, 1, 1, pixels) with mean 0 and exactly these variances, uncorrelated.

    These are statistics of the sample, with weight 1/n per image.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num_images, len(variances), generator=generator).double()
    x -= x.mean(dim=0)
    whitened = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T, correction=0))).T
    return (whitened * variances.sqrt()).float()[:, None, None, :]


class LinearEncoder(nn.Module):
    """q(z|x) = N(V x + a, diag s²), with the same s for every image."""

    def __init__(self, pixels: int, latent_dim: int) -> None:
        super().__init__()
        self.mean = nn.Linear(pixels, latent_dim)
        self.log_std = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean_bz = self.mean(x.flatten(1))
        return mean_bz, self.log_std.exp().expand_as(mean_bz)


class LinearDecoder(nn.Module):
    """p(x|z) = N(W z + c, σ² I)."""

    log_variance: Tensor

    def __init__(
        self, shape: tuple[int, int, int], latent_dim: int, variance: float, *, learned: bool
    ) -> None:
        super().__init__()
        self.shape = shape
        self.mean = nn.Linear(latent_dim, math.prod(shape))
        log_variance = torch.tensor(math.log(variance))
        if learned:
            self.log_variance = nn.Parameter(log_variance)
        else:
            self.register_buffer("log_variance", log_variance)

    def forward(self, z_bz: Tensor) -> Tensor:
        return self.mean(z_bz).unflatten(1, self.shape)


@dataclass(frozen=True)
class LinearGaussian(Method):
    """Mixin for a method: linear networks, and σ² learned or fixed.

    The learning rate falls linearly to 0, so that training ends at an optimum of the expected loss.
    """

    steps: int = 1
    variance: float = 1.0
    learns_variance: bool = False

    def build(self, shape: tuple[int, int, int]) -> nn.ModuleDict:
        parts = super().build((1, 16, 16))
        parts["encoder"] = LinearEncoder(math.prod(shape), self.latent_dim)
        parts["decoder"] = LinearDecoder(
            shape, self.latent_dim, self.variance, learned=self.learns_variance
        )
        return parts

    def lr_factor(self, step: int) -> float:
        return 1 - step / self.steps

    def forward(self, parts: nn.ModuleDict, x: Tensor, noise_bz: Tensor) -> VAEOutput:
        output = super().forward(parts, x, noise_bz)
        variance = networks(parts)[1].log_variance.exp()
        error_b = (x - parts["decoder"](output.z_bz)).square().flatten(1).sum(dim=1)
        log_det = x[0].numel() * (2 * math.pi * variance).log()
        return output._replace(reconstruction=(error_b / variance + log_det).mean() / 2)


def networks(parts: nn.ModuleDict) -> tuple[LinearEncoder, LinearDecoder]:
    """Return the linear networks with their types."""
    encoder, decoder = parts["encoder"], parts["decoder"]
    assert isinstance(encoder, LinearEncoder)
    assert isinstance(decoder, LinearDecoder)
    return encoder, decoder


def train(
    method: Method,
    batch: Callable[[int], Tensor],
    *,
    steps: int,
    logged_steps: int = 0,
) -> State:
    """Train with the engine's own step, without a run directory.

    `batch` returns the images of a step. Then `State.mean_losses` returns means over the last
    `logged_steps` steps.
    """
    num_images, *sides = batch(0).shape
    budget = Budget(steps, num_images // method.batches_per_step)
    channels, height, width = sides
    shape = (channels, height, width)
    state = State(Config(method, "synthetic", budget, 0, "fp32"), shape, torch.device("cpu"))
    while state.step < steps:
        if state.step == steps - logged_steps:
            state.mean_losses()
        state.advance(batch(state.step))
    return state
