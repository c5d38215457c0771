"""VAE (Kingma & Welling 2014): the evidence lower bound itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unbraid.methods.base import Method, Preset


@dataclass(frozen=True)
class VAE(Method):
    """Maximises E[ln p(x|z)] − KL(q(z|x) ‖ p(z)) (Kingma & Welling 2014, Eq. 3)."""

    name: ClassVar[str] = "vae"
    title: ClassVar[str] = "VAE"
    PRESETS: ClassVar[dict[str, Preset]] = {
        "paper": Preset("the budget of the field's comparisons on dSprites", 300_000, 64, {}),
        "quick": Preset("a few minutes on a laptop", 10_000, 64, {"learning_rate": 5e-4}),
    }

    def betas(self, step: int) -> tuple[float, ...]:
        return (1.0,) * self.latent_dim
