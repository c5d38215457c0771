"""AnnealedVAE (Burgess et al. 2018): the capacity of the code grows slowly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from unbraid.methods import schedules
from unbraid.methods.base import Method, Preset, VAEOutput, hyperparameter


@dataclass(frozen=True)
class AnnealedVAE(Method):
    """AnnealedVAE: maximises E[ln p(x|z)] − γ |KL(q(z|x) ‖ p(z)) − C(step)|.

    The capacity C increases linearly from 0, so that information enters the code gradually. A KL
    below C is increased with the same weight γ with which a KL above C is decreased. At KL = C
    only the reconstruction remains. `betas` returns γ, the weight of a KL above C.

    References
    ----------
    Burgess et al., "Understanding disentangling in β-VAE", 2018, Eq. 8.

    Examples
    --------
    >>> AnnealedVAE(capacity=25.0, capacity_steps=100).phase(step=20)  # C in nats
    5.0
    """

    name: ClassVar[str] = "annealed-vae"
    title: ClassVar[str] = "AnnealedVAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset(
            "Burgess et al. 2018 as in replications: γ = 1000, 25 nats over 100,000 steps; budget"
            " of Locatello et al. 2019",
            300_000,
            64,
            {"learning_rate": 5e-4},
        ),
        "quick": Preset(
            "a few minutes on a laptop",
            10_000,
            64,
            {"learning_rate": 5e-4, "gamma": 30.0, "capacity_steps": 8_000},
        ),
    }

    gamma: float = hyperparameter(1000.0, "weight γ of |KL − C|", "1", "1000")
    capacity: float = hyperparameter(25.0, "capacity C at the end of the increase", "nats", "25")
    capacity_steps: int = hyperparameter(
        100_000, "number of steps over which C increases from 0", "steps", "100000"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "gamma", "capacity")
        self.require_at_least(1, "capacity_steps")

    def betas(self, step: int) -> tuple[float, ...]:
        return (self.gamma,) * self.latent_dim

    def phase(self, step: int) -> float:
        return schedules.capacity(step, self.capacity_steps, self.capacity)

    def regulariser(
        self, output: VAEOutput, step: int
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        capacity = self.phase(step)
        penalty = self.gamma * (output.kl_z.sum() - capacity).abs()
        return penalty, {"capacity": output.kl_z.new_tensor(capacity)}
