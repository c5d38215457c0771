"""DIP-VAE-I (Kumar et al. 2018): the posterior means are decorrelated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from unbraid.methods.base import Method, Preset, VAEOutput, hyperparameter


@dataclass(frozen=True)
class DIPVAEI(Method):
    """Minimises −ELBO + λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii − 1)², C = Cov_x E[z|x].

    Kumar et al. 2018, Eq. 6. C is the covariance of a batch's means, each of its b images weighing
    1/b. λ_od = λ_d = 0 is the VAE.
    """

    name: ClassVar[str] = "dip-vae-i"
    title: ClassVar[str] = "DIP-VAE-I"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset(
            "Kumar et al. 2018 (λ_d = 10 λ_od); the budget of Locatello et al. 2019",
            300_000,
            64,
            {},
        ),
        "quick": Preset("a few minutes on a laptop", 10_000, 64, {"learning_rate": 5e-4}),
    }
    min_batch: ClassVar[int] = 2

    lambda_off_diagonal: float = hyperparameter(
        10.0, "λ_od, weight of squared covariances", "nats", "1 to 500"
    )
    lambda_diagonal: float = hyperparameter(
        100.0, "λ_d, weight of (variance − 1)²", "nats", "10 λ_od"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("lambda_off_diagonal", "lambda_diagonal"):
            self.require(getattr(self, field) >= 0, field, "a weight is not negative", "0 or more")

    def betas(self, step: int) -> tuple[float, ...]:
        return (1.0,) * self.latent_dim

    def covariance(self, code: VAEOutput) -> Float[Tensor, "z z"]:
        """The covariance that is pulled towards the identity: that of the means."""
        centred_bz = code.mean_bz - code.mean_bz.mean(dim=0)
        return centred_bz.T @ centred_bz / len(centred_bz)

    def regulariser(
        self, code: VAEOutput, step: int
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        covariance = self.covariance(code)
        variance_z = covariance.diagonal()
        off_diagonal = covariance.square().sum() - variance_z.square().sum()
        diagonal = (variance_z - 1).square().sum()
        covariances = self.lambda_off_diagonal * off_diagonal
        variances = self.lambda_diagonal * diagonal
        more = {"covariances": covariances, "variances": variances}
        return code.kl_z.sum() + covariances + variances, more
