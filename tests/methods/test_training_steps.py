"""Training steps of the engine agree with gradient descent on each method's equation.

The equations of `equations` are minimised here by Adam (Kingma & Ba 2015, Algorithm 1), written
with NumPy, with the learning rates of the papers, FactorVAE's second optimiser and the cascade's
restarts. So the losses, what each part is trained on, and the schedules are compared at once.
"""

import copy

import numpy as np
import pytest
import torch
from tests.methods.equations import EQUATIONS, discriminator, stratified_beta_tcvae
from tests.methods.small_inputs import SHAPE, make, small_inputs
from torch import Tensor, nn

from unbraid.engine.state import State
from unbraid.runs import Budget, Config

# After the last stage of `small_inputs.STAGED`, and after the end of its capacities.
STEPS = 14
LEARNING_RATES = {
    "vae": 1e-4,
    "beta-vae": 1e-4,
    "annealed-vae": 5e-4,
    "factor-vae": 1e-4,
    "beta-tcvae": 1e-3,
    "dip-vae-i": 1e-4,
    "dip-vae-ii": 1e-4,
    "joint-vae": 5e-4,
    "cascade-vae-c": 1e-4,
    "cascade-vae": 1e-4,
}
# Steps before which Adam restarts: a dimension opens every 3 steps; with a discrete code, which
# opens at step 6 without a dimension, the third one opens at step 9.
RESTARTS = {"cascade-vae-c": (3, 6, 9), "cascade-vae": (3, 9, 12)}


class Adam:
    """Adam with NumPy arrays of float64."""

    def __init__(
        self, weights: list[nn.Parameter], rate: float, betas: tuple[float, float]
    ) -> None:
        self.weights, self.rate, self.betas = weights, rate, betas
        self.restart()

    def restart(self) -> None:
        self.t = 0
        self.moments = [(np.zeros(w.shape), np.zeros(w.shape)) for w in self.weights]

    def step(self, gradients: tuple[Tensor, ...]) -> None:
        self.t += 1
        b1, b2 = self.betas
        for i, (weight, gradient) in enumerate(zip(self.weights, gradients, strict=True)):
            m, v = self.moments[i]
            m, v = b1 * m + (1 - b1) * gradient.numpy(), b2 * v + (1 - b2) * gradient.numpy() ** 2
            self.moments[i] = m, v
            m_hat, v_hat = m / (1 - b1**self.t), v / (1 - b2**self.t)
            weight.data -= torch.from_numpy(self.rate * m_hat / (np.sqrt(v_hat) + 1e-8))


@pytest.mark.parametrize("name", [*LEARNING_RATES, "stratified beta-tcvae"])
def test_training_minimises_the_equation(name: str) -> None:
    name, stratified = name.removeprefix("stratified "), name.startswith("stratified ")
    flags = {"stratified": stratified, "restart_adam": True, "pair_penalty": 0.0}
    rate = LEARNING_RATES[name]
    method = make(name, learning_rate=rate, **flags)
    equation = stratified_beta_tcvae if stratified else EQUATIONS[name]
    state = State(
        Config(method, "dsprites", Budget(STEPS, 6), 0, "fp32"), SHAPE, torch.device("cpu")
    )
    reference, _, _ = small_inputs(method)
    state.parts.double().load_state_dict(reference.state_dict())
    reference = copy.deepcopy(reference)
    theta = [w for part in ("encoder", "decoder") for w in reference[part].parameters()]
    adam = Adam(theta, rate, (0.9, 0.999))
    other = [*reference["discriminator"].parameters()] if name == "factor-vae" else []
    other_adam = Adam(other, 1e-4, (0.5, 0.9))
    for step in range(STEPS):
        _, x, noise = small_inputs(method, seed=step)
        state.advance(x, noise)
        if step in RESTARTS.get(name, ()):
            adam.restart()
        loss = equation(method, reference, x, noise, step)
        assert state.mean_losses()["loss"] == pytest.approx(loss.item(), rel=1e-9), step
        gradients = torch.autograd.grad(loss, theta)
        if other:
            other_adam.step(torch.autograd.grad(discriminator(reference, x, noise), other))
        adam.step(gradients)
    for weight, result in zip(reference.parameters(), state.parts.parameters(), strict=True):
        torch.testing.assert_close(result, weight, rtol=1e-6, atol=1e-9)
