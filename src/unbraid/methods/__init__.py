"""The methods. A method is one file and one line here."""

from __future__ import annotations

from unbraid.errors import UserError
from unbraid.methods.annealed_vae import AnnealedVAE
from unbraid.methods.base import Losses, Method, ParamGroup, Preset
from unbraid.methods.beta_tcvae import BetaTCVAE
from unbraid.methods.beta_vae import BetaVAE
from unbraid.methods.cascade_vae import CascadeVAE
from unbraid.methods.cascade_vae_c import CascadeVAEC
from unbraid.methods.chart_vae import ChartVAE
from unbraid.methods.dip_vae_i import DIPVAEI
from unbraid.methods.dip_vae_ii import DIPVAEII
from unbraid.methods.factor_vae import FactorVAE
from unbraid.methods.joint_vae import JointVAE
from unbraid.methods.qlae import QLAE
from unbraid.methods.vae import VAE

__all__ = ["METHODS", "Losses", "Method", "ParamGroup", "Preset", "find"]

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        VAE,
        BetaVAE,
        AnnealedVAE,
        FactorVAE,
        BetaTCVAE,
        DIPVAEI,
        DIPVAEII,
        CascadeVAEC,
        CascadeVAE,
        ChartVAE,
        JointVAE,
        QLAE,
    )
}


def find(name: str) -> type[Method]:
    """A method by its name."""
    if name not in METHODS:
        raise UserError(f"method {name!r}: unknown; give one of {', '.join(METHODS)}")
    return METHODS[name]
