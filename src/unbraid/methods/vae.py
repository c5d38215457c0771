"""VAE (Kingma & Welling 2014): maximises the evidence lower bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unbraid.methods.base import Method, Preset


@dataclass(frozen=True)
class VAE(Method):
    """VAE: maximises E[ln p(x|z)] − KL(q(z|x) ‖ p(z)), the evidence lower bound.

    References
    ----------
    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, Eq. 3.

    Examples
    --------
    >>> VAE(latent_dim=2).betas(step=0)
    (1.0, 1.0)
    """

    name: ClassVar[str] = "vae"
    title: ClassVar[str] = "VAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset("the usual budget for comparisons on dSprites", 300_000, 64, {}),
        "quick": Preset("a few minutes on a laptop", 10_000, 64, {"learning_rate": 5e-4}),
    }

    def betas(self, step: int) -> tuple[float, ...]:
        return (1.0,) * self.latent_dim
