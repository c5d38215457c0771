"""β-TCVAE (Chen et al. 2018): weights the total correlation, estimated from the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from unbraid import distributions
from unbraid.information import log_minibatch, pairwise_log_density
from unbraid.methods.base import Method, Preset, VAEOutput, hyperparameter


@dataclass(frozen=True)
class BetaTCVAE(Method):
    """β-TCVAE: maximises E[ln p(x|z)] − α I(x;z) − β TC(z) − γ Σ_i KL(q(z_i) ‖ p(z_i)).

    q(z) and q(z_i) are estimated from the batch, by weighted or stratified sampling;
    `information.log_weights` gives the bias. With α = β = γ = 1 the estimates cancel: it is the VAE
    with the KL estimated at the sampled z. The weights apply to parts of the KL, not to dimensions,
    so `betas` returns 1.

    References
    ----------
    Chen et al., "Isolating Sources of Disentanglement in Variational Autoencoders", 2018, Eq. 4 and
    App. C.

    Examples
    --------
    >>> method = BetaTCVAE(dataset_size=1_000)
    >>> method.max_batch
    1000
    """

    name: ClassVar[str] = "beta-tcvae"
    title: ClassVar[str] = "β-TCVAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset(
            "official code of Chen et al. 2018: β = 6, 50 epochs of batches of 2,048",
            18_000,
            2_048,
            {"learning_rate": 1e-3},
        ),
        "quick": Preset("a few minutes on a laptop", 10_000, 64, {"learning_rate": 5e-4}),
    }
    min_batch: ClassVar[int] = 2

    alpha: float = hyperparameter(1.0, "weight α of I(x;z)", "1", "1")
    beta: float = hyperparameter(6.0, "weight β of TC(z)", "1", "6")
    gamma: float = hyperparameter(1.0, "weight γ of Σ KL(q(z_i) ‖ p(z_i))", "1", "1")
    stratified: bool = hyperparameter(
        False, "estimate q(z) by stratified sampling", "yes or no", "no; yes in its App. C"
    )
    dataset_size: int = hyperparameter(
        737_280, "number N of images in the dataset", "images", "737280"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "alpha", "beta", "gamma")
        self.require_at_least(2, "dataset_size")

    @property
    def max_batch(self) -> int:
        """Largest batch size: the size of the dataset."""
        return self.dataset_size

    def betas(self, step: int) -> tuple[float, ...]:
        return (1.0,) * self.latent_dim

    def regulariser(
        self, output: VAEOutput, step: int
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        log_q_bbz = pairwise_log_density(output.z_bz, output.mean_bz, output.std_bz)
        log_qi_bz, log_q_b = log_minibatch(log_q_bbz, self.dataset_size, stratified=self.stratified)
        log_q_given_x_bz = log_q_bbz.diagonal().T
        log_p_bz = distributions.log_normal(output.z_bz, 0.0, 1.0)
        information = (log_q_given_x_bz.sum(dim=1) - log_q_b).mean()
        correlation = (log_q_b - log_qi_bz.sum(dim=1)).mean()
        marginals = (log_qi_bz - log_p_bz).sum(dim=1).mean()
        extra = {"information": information, "tc": correlation, "marginals": marginals}
        penalty = self.alpha * information + self.beta * correlation + self.gamma * marginals
        return penalty, extra
