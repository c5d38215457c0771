"""QLAE's codebook and codes."""

from dataclasses import dataclass

import pytest
import torch
from tests.learning.images import shapes, train_on
from tests.learning.linear_vae import LinearDecoder, train
from torch import Tensor, nn

from unbraid.methods import ParamGroup
from unbraid.methods.qlae import QLAE

pytestmark = pytest.mark.slow


class FixedEncoder(nn.Module):
    """Encoder whose code is the image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        c_bz = x.flatten(1) * self.scale
        return c_bz, torch.ones_like(c_bz)


@dataclass(frozen=True)
class FixedQLAE(QLAE):
    """QLAE of which only the codebook is trained; the learning rate falls linearly to 0."""

    steps: int = 1

    def build(self, shape: tuple[int, int, int]) -> nn.ModuleDict:
        parts = super().build((1, 16, 16))
        parts["encoder"] = FixedEncoder()
        parts["decoder"] = LinearDecoder(shape, self.latent_dim, 1.0, learned=False)
        return parts

    def groups(self) -> dict[str, ParamGroup]:
        return {**super().groups(), "vae": ParamGroup(("encoder", "decoder"), 0.0)}

    def lr_factor(self, step: int) -> float:
        return 1 - step / self.steps


@pytest.mark.parametrize(
    ("levels", "distortion"),
    [((0.7979,), 0.3634), ((0.0, 1.2240), 0.1902), ((0.4528, 1.5104), 0.1175)],
)
def test_the_codebook_is_the_lloyd_max_quantiser(
    levels: tuple[float, ...], distortion: float
) -> None:
    """For normal codes, values and quantization loss are those of Max (1960, Table I).

    The quantization loss E (c − nearest value)² is least for the Lloyd–Max quantiser: each value is
    the mean of the codes nearest to it. For V = 2 values ±a, a = E|c| = √(2/π) = 0.7979 and the
    loss is 1 − a² = 0.3634. A log-concave density has one such quantiser (Fleischer 1964), so that
    gradient descent cannot end at another.
    """
    expected = sorted({-v for v in levels} | set(levels))
    steps, generator = 600, torch.Generator().manual_seed(0)

    def images(_: int) -> Tensor:
        return torch.randn(1024, 1, 1, 2, generator=generator)

    method = FixedQLAE(
        latent_dim=2,
        codebook_size=len(expected),
        quantization_weight=3.0,
        learning_rate=0.02,
        steps=steps,
    )
    state = train(method, images, steps=steps, logged_steps=100)
    reported = state.mean_losses()
    (values_zv,) = state.parts["codebook"].parameters()
    for values in values_zv.sort(dim=1).values.tolist():
        assert values == pytest.approx(expected, abs=0.02)
    assert reported["quantization"] / 3.0 == pytest.approx(distortion, abs=0.005)


def test_codes_lie_at_the_values_of_the_codebook() -> None:
    """After training, codes are 0.05 or less from a value, and four images have different codes.

    A finite set of binary images with different codes has a reconstruction whose lower limit is 0
    nats, and its gradient vanishes there. Then only quantization and commitment loss move codes and
    values, and both are least, 0, where every code is a value. The gradient of the reconstruction
    reaches the encoder only because it is passed from z to c: z itself is piecewise constant in c.
    """
    images = shapes()[0][[0, 8, 13, 22]]
    method = QLAE(
        latent_dim=2,
        codebook_size=4,
        quantization_weight=40.0,
        commitment_weight=40.0,
        weight_decay=0.0,
    )
    state = train_on(images, method, steps=300, logged_steps=20, batch_size=16)
    reported = state.mean_losses()
    with torch.no_grad():
        c_bz = state.parts["encoder"](images)[0]
        z_bz, _ = method.posterior(state.parts, images)
    (values_zv,) = state.parts["codebook"].parameters()
    assert reported["reconstruction"] < 0.5
    assert len(z_bz.unique(dim=0)) == len(images)
    assert (c_bz - z_bz).abs().max().item() < 0.05
    for z, (codes, values) in enumerate(zip(z_bz.T, values_zv, strict=True)):
        assert set(codes.tolist()) <= set(values.tolist()), z
