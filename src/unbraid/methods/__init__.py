"""The methods. A method is one file and one line here."""

from __future__ import annotations

from unbraid.errors import UserError
from unbraid.methods.base import Group, Losses, Method, Preset
from unbraid.methods.beta_vae import BetaVAE
from unbraid.methods.cascade_vae import CascadeVAE
from unbraid.methods.cascade_vae_c import CascadeVAEC
from unbraid.methods.vae import VAE

__all__ = ["METHODS", "Group", "Losses", "Method", "Preset", "find"]

METHODS: dict[str, type[Method]] = {m.name: m for m in (VAE, BetaVAE, CascadeVAEC, CascadeVAE)}


def find(name: str) -> type[Method]:
    """A method by its name."""
    if name not in METHODS:
        raise UserError(f"method {name!r}: unknown; give one of {', '.join(METHODS)}")
    return METHODS[name]
