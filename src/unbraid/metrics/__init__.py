"""Metrics: codes and factors in, numbers out, on numpy arrays; no model and no torch is needed."""

from types import ModuleType

from unbraid.codes import Codes
from unbraid.metrics import (
    beta_vae,
    classification,
    dci,
    factor_vae,
    infomec,
    irs,
    mig,
    modularity,
    probes,
    sap,
    udr,
    unsupervised,
)

# Every metric by its name on the command line: one line each.
METRICS: dict[str, ModuleType] = {
    "factor-vae": factor_vae,
    "classification": classification,
    "beta-vae": beta_vae,
    "mig": mig,
    "sap": sap,
    "dci": dci,
    "modularity": modularity,
    "irs": irs,
    "infomec": infomec,
    "unsupervised": unsupervised,
    "probes": probes,
    "udr": udr,
}

__all__ = [
    "METRICS",
    "Codes",
    "beta_vae",
    "classification",
    "dci",
    "factor_vae",
    "infomec",
    "irs",
    "mig",
    "modularity",
    "probes",
    "sap",
    "udr",
    "unsupervised",
]
