"""AnnealedVAE (Burgess et al. 2018): the code's capacity grows slowly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from unbraid.methods import schedules
from unbraid.methods.base import Method, Preset, VAEOutput, hyperparameter


@dataclass(frozen=True)
class AnnealedVAE(Method):
    """Maximises E[ln p(x|z)] − γ |KL(q(z|x) ‖ p(z)) − C(step)| (Burgess et al. 2018, Eq. 8).

    C rises from 0 in a straight line, so information enters the code a little at a time. Below C
    the KL is pushed up with the same weight γ that holds it down above. With KL = C only the
    reconstruction is left.
    """

    name: ClassVar[str] = "annealed-vae"
    title: ClassVar[str] = "AnnealedVAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset(
            "Burgess et al. 2018 as replications give it: γ = 1000, 25 nats over 100,000 steps; the"
            " budget of Locatello et al. 2019",
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

    gamma: float = hyperparameter(1000.0, "γ, weight of |KL − C|", "1", "1000")
    capacity: float = hyperparameter(25.0, "C at the end of its rise", "nats", "25")
    capacity_steps: int = hyperparameter(100_000, "steps of C's rise from 0", "steps", "100000")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.gamma >= 0, "gamma", "a weight is not negative", "0 or more")
        self.require(self.capacity >= 0, "capacity", "a KL is not negative", "0 or more")
        self.require(self.capacity_steps >= 1, "capacity_steps", "a rise takes steps", "1 or more")

    def betas(self, step: int) -> tuple[float, ...]:
        """γ: what a KL above the capacity weighs."""
        return (self.gamma,) * self.latent_dim

    def phase(self, step: int) -> float:
        return schedules.capacity(step, self.capacity_steps, self.capacity)

    def regulariser(
        self, code: VAEOutput, step: int
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        capacity = self.phase(step)
        penalty = self.gamma * (code.kl_z.sum() - capacity).abs()
        return penalty, {"capacity": code.kl_z.new_tensor(capacity)}
