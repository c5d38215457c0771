"""CascadeVAE-C (Jeong & Song 2019, §3): information cascades through the dimensions, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unbraid.methods import schedules
from unbraid.methods.base import Method, Preset, hyperparameter


@dataclass(frozen=True)
class CascadeVAEC(Method):
    """Maximises E[ln p(x|z)] − β_l KL(z_{1:i}) − β_h KL(z_{i+1:m}), i growing stage by stage.

    Jeong & Song 2019, Eq. 5. While dimension i opens, I(x; z_{1:i}) = I(x; z_{1:i−1}) + I(x; z_i)
    − I(z_{1:i−1}; z_i) can only grow by what the earlier dimensions do not hold yet, which keeps
    each summand of TC(z) = Σ_{i≥2} I(z_{1:i−1}; z_i) small.
    """

    name: ClassVar[str] = "cascade-vae-c"
    title: ClassVar[str] = "CascadeVAE-C"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset(
            "official code and Table 1, m = 10 (with m = 5, β_l = 0.7)",
            300_000,
            64,
            {"latent_dim": 10, "beta_low": 1.0, "restart_adam": True, "l2": 4e-5},
        ),
        "quick": Preset(
            "a few minutes on a laptop",
            10_000,
            64,
            {"latent_dim": 5, "learning_rate": 5e-4, "stage_steps": 2_000},
        ),
    }

    beta_low: float = hyperparameter(1.0, "β_l, weight of an open dimension", "1", "1.0 (m = 10)")
    beta_high: float = hyperparameter(10.0, "β_h, weight of a closed dimension", "1", "10")
    stage_steps: int = hyperparameter(20_000, "steps between two openings", "steps", "20000")
    restart_adam: bool = hyperparameter(
        False,
        "start Adam's moments afresh whenever a dimension opens",
        "yes or no",
        "yes in the official code; no in Tokui & Sato 2022",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.latent_dim >= 2, "latent_dim", "m=1 leaves nothing to cascade", "2 or more"
        )
        self.require(self.beta_low >= 0, "beta_low", "a weight is not negative", "0 or more")
        self.require(
            self.beta_low <= self.beta_high,
            "beta_low",
            f"an open dimension weighs no more than a closed one (beta_high={self.beta_high})",
            f"{self.beta_high} or less",
        )
        self.require(self.stage_steps >= 1, "stage_steps", "a stage has steps", "1 or more")

    def num_active_dims(self, step: int) -> int:
        """How many dimensions are open at a step."""
        return schedules.num_active_dims_continuous(step, self.stage_steps)

    def betas(self, step: int) -> tuple[float, ...]:
        return schedules.cascade(
            self.num_active_dims(step), self.latent_dim, self.beta_low, self.beta_high
        )

    def resets_optimizer(self, step: int) -> bool:
        return self.restart_adam and step > 0 and self.betas(step) != self.betas(step - 1)
