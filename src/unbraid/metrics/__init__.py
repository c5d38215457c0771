"""Metrics: codes and factors in, numbers out, on numpy arrays; no model and no torch is needed."""

from unbraid.codes import Codes
from unbraid.metrics import classification, factor_vae

__all__ = ["Codes", "classification", "factor_vae"]
