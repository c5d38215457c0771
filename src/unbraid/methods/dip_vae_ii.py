"""DIP-VAE-II (Kumar et al. 2018): decorrelates the aggregate posterior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from unbraid.methods.base import Preset, VAEOutput, hyperparameter
from unbraid.methods.dip_vae_i import DIPVAEI


@dataclass(frozen=True)
class DIPVAEII(DIPVAEI):
    """DIP-VAE-II: minimises −ELBO + λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii − 1)², C = Cov_q(z) z.

    By the law of total covariance, C = Cov_x E[z|x] + E_x Cov[z|x]. The second term is diagonal,
    diag(E_x std²), so only the variances differ from DIP-VAE-I. λ_od = λ_d = 0 is the VAE.

    References
    ----------
    Kumar et al., "Variational Inference of Disentangled Latent Concepts from Unlabeled
    Observations", 2018, Eq. 7.
    """

    name: ClassVar[str] = "dip-vae-ii"
    title: ClassVar[str] = "DIP-VAE-II"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset(
            "Kumar et al. 2018 (λ_d = λ_od); budget of Locatello et al. 2019",
            300_000,
            64,
            {},
        ),
        "quick": Preset("a few minutes on a laptop", 10_000, 64, {"learning_rate": 5e-4}),
    }

    lambda_diagonal: float = hyperparameter(10.0, "weight λ_d of (variance − 1)²", "nats", "λ_od")

    def covariance(self, output: VAEOutput) -> Float[Tensor, "z z"]:
        """Compute the covariance C that the regulariser moves towards the identity.

        Parameters
        ----------
        output : VAEOutput
            Output of the VAE for a batch.

        Returns
        -------
        tensor, shape (z, z)
            Covariance of samples: that of the posterior means plus the mean posterior variance.
        """
        return super().covariance(output) + output.std_bz.square().mean(dim=0).diag()
