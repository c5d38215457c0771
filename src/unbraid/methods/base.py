"""Base class of all methods: an objective with its hyperparameters and schedule.

A method is independent of devices, files, seeds and populations. The engine passes its modules, a
batch, noise and the step; the method returns losses in nats per image.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbraid import distributions
from unbraid.methods.coder import Coder
from unbraid.methods.hooks import Hooks
from unbraid.methods.hyperparameters import Hyperparameters, hyperparameter
from unbraid.methods.records import DatasetView, Losses, ParamGroup, Preset, VAEOutput
from unbraid.nets import ConvDecoder, ConvEncoder

__all__ = [
    "DatasetView",
    "Losses",
    "Method",
    "ParamGroup",
    "Preset",
    "VAEOutput",
    "hyperparameter",
]


@dataclass(frozen=True)
class Method(Hyperparameters, Hooks, Coder):
    """VAE with a Gaussian code; subclasses define how the code is regularised.

    Minimises −E[ln p(x|z)] + Σ_z β_z(step) KL(q(z|x) ‖ p(z)) + ½ l2 ‖weights‖²; `regulariser` may
    replace the middle term.

    Attributes
    ----------
    name, title : str
        Name on the command line, and name in tables and figures.
    PRESETS : dict from str to Preset
        Presets: named hyperparameters and budgets. The first is the default.
    categories : int, default 0
        Number K of categories of the discrete code; 0 if the method has none.
    batches_per_step : int, default 1
        Number of batches that each step uses, each of `batch_size` images.
    min_batch : int, default 1
        Smallest batch size.
    supports_vmap : bool, default True
        Whether one step can train several members of a population at once.
    training_only : tuple of str, default ()
        Modules used only in training, left out of exported weights.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    PRESETS: ClassVar[dict[str, Preset]]
    categories: ClassVar[int] = 0
    batches_per_step: ClassVar[int] = 1
    min_batch: ClassVar[int] = 1
    supports_vmap: ClassVar[bool] = True
    training_only: ClassVar[tuple[str, ...]] = ()

    latent_dim: int = hyperparameter(10, "number m of continuous dimensions", "dimensions", "10")
    learning_rate: float = hyperparameter(1e-4, "learning rate of Adam", "per step", "1e-4")
    l2: float = hyperparameter(
        0.0,
        "coefficient of ½‖w‖², summed over all convolutional and dense weights",
        "nats",
        "0; 4e-5 in the official CascadeVAE",
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            finite = not isinstance(value, float) or math.isfinite(value)
            self.require(finite, field.name, "must be finite", "a finite number")
        self.require_at_least(1, "latent_dim")
        self.require_positive("learning_rate")
        self.require_at_least(0, "l2")

    @property
    def max_batch(self) -> int | None:
        """Largest batch size; None if there is no limit."""
        return None

    def build(self, shape: tuple[int, int, int]) -> nn.ModuleDict:
        """Build the modules with newly initialised weights.

        Parameters
        ----------
        shape : (int, int, int)
            Channels, height and width of the images.

        Returns
        -------
        nn.ModuleDict
            Modules by name, "encoder" and "decoder" among them.
        """
        return nn.ModuleDict(
            {
                "encoder": ConvEncoder(shape, self.latent_dim),
                "decoder": ConvDecoder(shape, self.latent_dim + self.categories),
            }
        )

    def groups(self) -> dict[str, ParamGroup]:
        """Return the parameter groups.

        Returns
        -------
        dict from str to ParamGroup
            Groups by name, "vae" among them; each has an optimiser and a loss.
        """
        return {"vae": ParamGroup(("encoder", "decoder"), self.learning_rate)}

    def noise_shapes(self, num_images: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the standard normal noise that a step needs.

        All randomness of a method is derived from this noise: see `distributions.gumbel` and
        `information.permute_dims`.

        Parameters
        ----------
        num_images : int
            Number of images of the step, over all its batches.

        Returns
        -------
        dict from str to tuple of int
            Shapes by name of the noise.
        """
        return {"z": (num_images, self.latent_dim)}

    def losses(
        self,
        parts: nn.ModuleDict,
        x: Float[Tensor, "b c h w"],
        noise: Mapping[str, Tensor],
        step: int,
    ) -> Losses:
        """Compute the objective on a batch.

        Parameters
        ----------
        parts : nn.ModuleDict
            The method's modules.
        x : tensor, shape (b, c, h, w)
            Images with values between 0 and 1; `batches_per_step` batches one after another.
        noise : mapping from str to tensor
            Noise of the shapes of `noise_shapes`, and further inputs from `sample_batch`.
        step : int
            Number of steps already done.

        Returns
        -------
        Losses
            Losses and values to log, nats per image.
        """
        output = self.forward(parts, x, noise["z"])
        penalty, extra = self.regulariser(output, step)
        return self.total_loss(parts, output.reconstruction, output.kl_z, step, extra, penalty)

    def forward(
        self, parts: nn.ModuleDict, x: Float[Tensor, "b c h w"], noise_bz: Float[Tensor, "b z"]
    ) -> VAEOutput:
        """Encode a batch, sample its codes and decode them.

        Parameters
        ----------
        parts : nn.ModuleDict
            The method's modules.
        x : tensor, shape (b, c, h, w)
            Images with values between 0 and 1.
        noise_bz : tensor, shape (b, z)
            Standard normal noise.

        Returns
        -------
        VAEOutput
            Posteriors, samples, reconstruction and KL.
        """
        mean_bz, std_bz = parts["encoder"](x)
        z_bz = distributions.sample_normal(mean_bz, std_bz, noise_bz)
        reconstruction = distributions.bernoulli_nll(parts["decoder"](z_bz), x).mean()
        kl_z = distributions.kl_from_standard_normal(mean_bz, std_bz).mean(dim=0)
        return VAEOutput(mean_bz, std_bz, z_bz, reconstruction, kl_z)

    def regulariser(
        self, output: VAEOutput, step: int
    ) -> tuple[Float[Tensor, ""] | None, dict[str, Tensor]]:
        """Compute the regulariser, the term that is added to the reconstruction.

        Parameters
        ----------
        output : VAEOutput
            Output of the VAE for the batch.
        step : int
            Number of steps already done.

        Returns
        -------
        penalty : scalar tensor or None
            Regulariser in nats per image; None for Σ_z β_z KL_z.
        extra : dict from str to tensor
            Further values to log.
        """
        return None, {}

    def total_loss(
        self,
        parts: nn.ModuleDict,
        reconstruction: Float[Tensor, ""],
        kl_z: Float[Tensor, " z"],
        step: int,
        extra: dict[str, Tensor],
        penalty: Float[Tensor, ""] | None = None,
    ) -> Losses:
        """Add the regulariser and L2 to the reconstruction, and collect the values to log.

        Parameters
        ----------
        parts : nn.ModuleDict
            The method's modules.
        reconstruction : scalar tensor
            −ln p(x|z), nats per image.
        kl_z : tensor, shape (z,)
            KL of each dimension, nats per image.
        step : int
            Number of steps already done.
        extra : dict from str to tensor
            Further values to log; they replace those of the same name.
        penalty : scalar tensor or None, default None
            Regulariser in nats per image; None for Σ_z β_z KL_z.

        Returns
        -------
        Losses
            Loss of the group "vae", and values to log.
        """
        if penalty is None:
            penalty = (kl_z.new_tensor(self.betas(step)) * kl_z).sum()
        loss = reconstruction + penalty
        report = {
            "loss": loss,
            "reconstruction": reconstruction,
            "kl": kl_z,
            "elbo": -(reconstruction + kl_z.sum()),
            **extra,
        }
        if self.l2:
            decayed = [parts[name] for name in self.groups()["vae"].parts]
            weights = [w for part in decayed for w in part.parameters() if w.ndim > 1]
            report["l2"] = self.l2 / 2 * torch.stack([w.square().sum() for w in weights]).sum()
            loss = report["loss"] = loss + report["l2"]
        return Losses({"vae": loss}, report)
