"""Records that methods exchange with the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbraid.codes import Codes


@dataclass(frozen=True)
class Losses:
    """Losses of a step and the values to log, all in nats per image.

    Parameters
    ----------
    minimise : dict from str to scalar tensor
        Loss of each parameter group.
    report : dict from str to tensor
        Values for the log: scalars, or vectors over z or k.
    """

    minimise: dict[str, Tensor]
    report: dict[str, Tensor]


@dataclass(frozen=True)
class ParamGroup:
    """Parameter group: modules that one Adam optimiser updates, with its settings.

    Parameters
    ----------
    parts : tuple of str
        Names of the modules.
    learning_rate : float
        Learning rate per step.
    betas : (float, float), default (0.9, 0.999)
        Decay rates of Adam's moments.
    weight_decay : float, default 0
        Decoupled weight decay (AdamW), which is not a term of the loss.
    """

    parts: tuple[str, ...]
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0


class VAEOutput(NamedTuple):
    """Output of the VAE for a batch, with one sample per posterior.

    Attributes
    ----------
    mean_bz, std_bz : tensor, shape (b, z)
        Posterior means and standard deviations.
    z_bz : tensor, shape (b, z)
        Sampled codes.
    reconstruction : scalar tensor
        −ln p(x|z), nats per image.
    kl_z : tensor, shape (z,)
        KL(q(z_i|x) ‖ p(z_i)) of each dimension, nats per image.
    """

    mean_bz: Float[Tensor, "b z"]
    std_bz: Float[Tensor, "b z"]
    z_bz: Float[Tensor, "b z"]
    reconstruction: Float[Tensor, ""]
    kl_z: Float[Tensor, " z"]


class DatasetView(NamedTuple):
    """View of the dataset that a survey gets; it has no labels.

    A survey is a pass over the whole dataset before a step.

    Attributes
    ----------
    images : callable
        Function that returns the images of an array of indices.
    encode : callable
        Function that returns the codes of all images, without the discrete code.
    generator : torch.Generator
        Random numbers of the survey.
    """

    images: Callable[[np.ndarray], np.ndarray]
    encode: Callable[[], Codes]
    generator: torch.Generator


@dataclass(frozen=True)
class Preset:
    """Named hyperparameters and budget, with their source.

    Parameters
    ----------
    source : str
        Where the values come from.
    steps : int
        Number of training steps.
    batch_size : int
        Number of images per batch.
    hyperparameters : mapping from str to value
        Hyperparameters that differ from the method's defaults.
    """

    source: str
    steps: int
    batch_size: int
    hyperparameters: Mapping[str, Any]
