"""Methods that learn a representation: one file a method, and one line here.

A method's module is imported when the method is first looked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unbraid.errors import UserError
from unbraid.registry import LazyRegistry

if TYPE_CHECKING:
    from unbraid.methods.base import Losses, Method, ParamGroup, Preset

__all__ = ["METHODS", "Losses", "Method", "ParamGroup", "Preset", "find"]

METHODS: LazyRegistry[type[Method]] = LazyRegistry(
    {
        "vae": (
            "unbraid.methods.vae:VAE",
            "VAE: maximises the evidence lower bound (Kingma & Welling 2014)",
        ),
        "beta-vae": (
            "unbraid.methods.beta_vae:BetaVAE",
            "β-VAE: multiplies the KL by β (Higgins et al. 2017)",
        ),
        "annealed-vae": (
            "unbraid.methods.annealed_vae:AnnealedVAE",
            "AnnealedVAE: raises the capacity of the code step by step (Burgess et al. 2018)",
        ),
        "factor-vae": (
            "unbraid.methods.factor_vae:FactorVAE",
            "FactorVAE: penalises the total correlation that a discriminator estimates"
            " (Kim & Mnih 2018)",
        ),
        "beta-tcvae": (
            "unbraid.methods.beta_tcvae:BetaTCVAE",
            "β-TCVAE: penalises the total correlation, estimated from the batch (Chen et al. 2018)",
        ),
        "dip-vae-i": (
            "unbraid.methods.dip_vae_i:DIPVAEI",
            "DIP-VAE-I: decorrelates the posterior means (Kumar et al. 2018)",
        ),
        "dip-vae-ii": (
            "unbraid.methods.dip_vae_ii:DIPVAEII",
            "DIP-VAE-II: decorrelates the aggregate posterior (Kumar et al. 2018)",
        ),
        "cascade-vae-c": (
            "unbraid.methods.cascade_vae_c:CascadeVAEC",
            "CascadeVAE-C: lowers β for one dimension after another (Jeong & Song 2019)",
        ),
        "cascade-vae": (
            "unbraid.methods.cascade_vae:CascadeVAE",
            "CascadeVAE: CascadeVAE-C with a discrete code, chosen exactly (Jeong & Song 2019)",
        ),
        "chart-vae": (
            "unbraid.methods.chart_vae:ChartVAE",
            "ChartVAE: CascadeVAE with a discrete code initialised by clustering image"
            " neighbourhoods (ours)",
        ),
        "joint-vae": (
            "unbraid.methods.joint_vae:JointVAE",
            "JointVAE: continuous and relaxed discrete codes, each with a capacity (Dupont 2018)",
        ),
        "qlae": (
            "unbraid.methods.qlae:QLAE",
            "QLAE: quantises each dimension to a codebook of scalars (Hsu et al. 2023)",
        ),
    }
)


def find(name: str) -> type[Method]:
    """Return a method's class.

    Parameters
    ----------
    name : str
        Name of the method, a key of `METHODS`.

    Returns
    -------
    type of Method
        The class.

    Raises
    ------
    UserError
        If there is no such method.

    Examples
    --------
    >>> find("beta-vae").title
    'β-VAE'
    """
    if name not in METHODS:
        raise UserError(f"method {name!r}: unknown; give one of {', '.join(METHODS)}")
    return METHODS[name]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from unbraid.methods import base

    return getattr(base, name)
