"""β-VAE (Higgins et al. 2017): a larger KL weight penalises the total correlation indirectly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unbraid.methods.base import Method, Preset, hyperparameter


@dataclass(frozen=True)
class BetaVAE(Method):
    """β-VAE: maximises E[ln p(x|z)] − β KL(q(z|x) ‖ p(z)).

    β = 1 is the VAE. In expectation over x, KL = I(x;z) + TC(z) + Σ_i KL(q(z_i) ‖ p(z_i)): a β
    greater than 1 penalises TC(z), but the information I(x;z) as well.

    References
    ----------
    Higgins et al., "β-VAE: Learning Basic Visual Concepts with a Constrained Variational
    Framework", 2017, Eq. 4.

    Examples
    --------
    >>> BetaVAE(latent_dim=2, beta=4.0).betas(step=0)
    (4.0, 4.0)
    """

    name: ClassVar[str] = "beta-vae"
    title: ClassVar[str] = "β-VAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset(
            "Jeong & Song 2019, Table 1, m = 10 (with m = 5, β = 10)",
            300_000,
            64,
            {"beta": 4.0, "latent_dim": 10},
        ),
        "quick": Preset("a few minutes on a laptop", 10_000, 64, {"learning_rate": 5e-4}),
    }

    beta: float = hyperparameter(4.0, "weight of the KL", "1", "4 (m = 10), 10 (m = 5)")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "beta")

    def betas(self, step: int) -> tuple[float, ...]:
        return (self.beta,) * self.latent_dim
