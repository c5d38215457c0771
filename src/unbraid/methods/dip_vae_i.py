"""DIP-VAE-I (Kumar et al. 2018): decorrelates the posterior means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from unbraid.methods.base import Method, Preset, VAEOutput, hyperparameter


@dataclass(frozen=True)
class DIPVAEI(Method):
    """DIP-VAE-I: minimises −ELBO + λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii − 1)², C = Cov_x E[z|x].

    C is the covariance of the means of a batch, with weight 1/b for each of its b images.
    λ_od = λ_d = 0 is the VAE.

    References
    ----------
    Kumar et al., "Variational Inference of Disentangled Latent Concepts from Unlabeled
    Observations", 2018, Eq. 6.
    """

    name: ClassVar[str] = "dip-vae-i"
    title: ClassVar[str] = "DIP-VAE-I"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset(
            "Kumar et al. 2018 (λ_d = 10 λ_od); budget of Locatello et al. 2019",
            300_000,
            64,
            {},
        ),
        "quick": Preset("a few minutes on a laptop", 10_000, 64, {"learning_rate": 5e-4}),
    }
    min_batch: ClassVar[int] = 2

    lambda_off_diagonal: float = hyperparameter(
        10.0, "weight λ_od of the squared covariances", "nats", "1 to 500"
    )
    lambda_diagonal: float = hyperparameter(
        100.0, "weight λ_d of (variance − 1)²", "nats", "10 λ_od"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "lambda_off_diagonal", "lambda_diagonal")

    def betas(self, step: int) -> tuple[float, ...]:
        return (1.0,) * self.latent_dim

    def covariance(self, output: VAEOutput) -> Float[Tensor, "z z"]:
        """Compute the covariance C that the regulariser moves towards the identity.

        Parameters
        ----------
        output : VAEOutput
            Output of the VAE for a batch.

        Returns
        -------
        tensor, shape (z, z)
            Covariance of the posterior means.

        Examples
        --------
        >>> import torch
        >>> mean, zero = torch.tensor([[1.0, 3.0], [-1.0, -3.0]]), torch.zeros(2)
        >>> output = VAEOutput(mean, torch.ones(2, 2), mean, zero.sum(), zero)
        >>> DIPVAEI(latent_dim=2).covariance(output)
        tensor([[1., 3.],
                [3., 9.]])
        """
        centred_bz = output.mean_bz - output.mean_bz.mean(dim=0)
        return centred_bz.T @ centred_bz / len(centred_bz)

    def regulariser(
        self, output: VAEOutput, step: int
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        covariance = self.covariance(output)
        variance_z = covariance.diagonal()
        off_diagonal = covariance.square().sum() - variance_z.square().sum()
        diagonal = (variance_z - 1).square().sum()
        covariances = self.lambda_off_diagonal * off_diagonal
        variances = self.lambda_diagonal * diagonal
        extra = {"covariances": covariances, "variances": variances}
        return output.kl_z.sum() + covariances + variances, extra
