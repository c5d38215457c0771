"""CascadeVAE-C (Jeong & Song 2019, §3): dimensions open one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from unbraid.methods import schedules
from unbraid.methods.base import Method, Preset, hyperparameter
from unbraid.nets import initialise_like_slim


@dataclass(frozen=True)
class CascadeVAEC(Method):
    """CascadeVAE-C: maximises E[ln p(x|z)] − β_l KL(z_{1:i}) − β_h KL(z_{i+1:m}), i = 1, 2, ….

    Each stage opens one more dimension: its β is lowered from β_h to β_l. Then
    I(x; z_{1:i}) = I(x; z_{1:i−1}) + I(x; z_i) − I(z_{1:i−1}; z_i) can only increase by information
    that the earlier dimensions do not encode, which keeps each summand of
    TC(z) = Σ_{i≥2} I(z_{1:i−1}; z_i) small.

    References
    ----------
    Jeong and Song, "Learning Discrete and Continuous Factors of Data via Alternating
    Disentanglement", 2019, Eq. 5.

    Examples
    --------
    >>> method = CascadeVAEC(latent_dim=3, beta_low=1.0, beta_high=10.0, stage_steps=100)
    >>> method.betas(step=100)
    (1.0, 1.0, 10.0)
    """

    name: ClassVar[str] = "cascade-vae-c"
    title: ClassVar[str] = "CascadeVAE-C"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset(
            "official code and Table 1, m = 10 (for m = 5, β_l = 0.7)",
            300_000,
            64,
            {
                "latent_dim": 10,
                "beta_low": 1.0,
                "restart_adam": True,
                "slim_init": True,
                "l2": 4e-5,
            },
        ),
        "quick": Preset(
            "a few minutes on a laptop",
            10_000,
            64,
            {"latent_dim": 5, "learning_rate": 5e-4, "stage_steps": 2_000},
        ),
    }

    beta_low: float = hyperparameter(
        1.0,
        "weight β_l of the KL of an open dimension",
        "1",
        "1.0 (m = 10); CascadeVAE 1.0 (m = 6), 2.0 (m = 4)",
    )
    beta_high: float = hyperparameter(10.0, "weight β_h of the KL of a closed dimension", "1", "10")
    stage_steps: int = hyperparameter(20_000, "number of steps per stage", "steps", "20000")
    restart_adam: bool = hyperparameter(
        False,
        "reset Adam's moments whenever a dimension opens",
        "yes or no",
        "yes in the official code; no in Tokui & Sato 2022",
    )
    slim_init: bool = hyperparameter(
        False,
        "initialise convolutions as TF-Slim does: truncated normal with std √(2/fan_in), where the"
        " fan-in of a transposed convolution counts its output channels",
        "yes or no",
        "yes in the official code",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(2, "latent_dim")
        self.require_at_least(0, "beta_low")
        self.require(
            self.beta_low <= self.beta_high,
            "beta_low",
            f"must be at most beta_high={self.beta_high}",
            f"{self.beta_high} or less",
        )
        self.require_at_least(1, "stage_steps")

    def build(self, shape: tuple[int, int, int]) -> nn.ModuleDict:
        parts = super().build(shape)
        if self.slim_init:
            initialise_like_slim(parts)
        return parts

    def num_active_dims(self, step: int) -> int:
        """Return the number of open dimensions at a step.

        Parameters
        ----------
        step : int
            Number of steps already done.

        Returns
        -------
        int
            Number of open dimensions by the schedule; it may exceed `latent_dim`.
        """
        return schedules.num_active_dims_continuous(step, self.stage_steps)

    def betas(self, step: int) -> tuple[float, ...]:
        return schedules.cascade(
            self.num_active_dims(step), self.latent_dim, self.beta_low, self.beta_high
        )

    def resets_optimizer(self, step: int) -> bool:
        return self.restart_adam and step > 0 and self.betas(step) != self.betas(step - 1)
