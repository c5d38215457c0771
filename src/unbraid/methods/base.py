"""What every method is: an objective with its hyperparameters and schedule, and nothing else.

A method knows nothing of devices, files, seeds or populations. The engine gives it the parts, a
batch, noise and the step; it gives back losses in nats per image.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from unbraid import distributions
from unbraid.codes import Codes
from unbraid.errors import UserError
from unbraid.nets import ConvDecoder, ConvEncoder


def hyperparameter(default: Any, explanation: str, unit: str, paper: str) -> Any:
    """A field of a method: at once the flag, the key in config.toml and the documentation."""
    metadata = {"help": explanation, "unit": unit, "paper": paper}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Losses:
    """What a step minimises and what it reports, all in nats per image.

    `minimise` holds one scalar per parameter group, `report` scalars or vectors over z or k.
    """

    minimise: dict[str, Tensor]
    report: dict[str, Tensor]


@dataclass(frozen=True)
class ParamGroup:
    """A parameter group: the parts that one optimiser (Adam) moves, and how."""

    parts: tuple[str, ...]
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0  # decoupled (AdamW), so no term of the loss


class VAEOutput(NamedTuple):
    """A batch through encoder and decoder with one sample a posterior; terms in nats per image."""

    mean_bz: Float[Tensor, "b z"]
    std_bz: Float[Tensor, "b z"]
    z_bz: Float[Tensor, "b z"]
    reconstruction: Float[Tensor, ""]
    kl_z: Float[Tensor, " z"]


class DatasetView(NamedTuple):
    """What a method sees of all images when it surveys them; no label is in it.

    `images` gives those of an index, `encode` the codes of all without the discrete part, and
    `generator` is what the survey may draw from.
    """

    images: Callable[[np.ndarray], np.ndarray]
    encode: Callable[[], Codes]
    generator: torch.Generator


@dataclass(frozen=True)
class Preset:
    """A named choice of hyperparameters and budget, with its source."""

    source: str
    steps: int
    batch_size: int
    hyperparameters: Mapping[str, Any]


@dataclass(frozen=True)
class Method:
    """A VAE with a Gaussian code; its subclasses say what regularises the code.

    Minimises −E[ln p(x|z)] + Σ_z β_z(step) KL(q(z|x) ‖ p(z)) + ½ l2 ‖weights‖², the middle term
    unless `regulariser` puts another in its place.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    PRESETS: ClassVar[dict[str, Preset]]
    categories: ClassVar[int] = 0
    # How many batches of the budget's size a step takes, and the least size of one.
    batches_per_step: ClassVar[int] = 1
    min_batch: ClassVar[int] = 1
    # Whether one step can move several members at once; not if it needs more than a batch.
    supports_vmap: ClassVar[bool] = True
    # Parts that only training needs: neither a code nor a picture hangs on them.
    training_only: ClassVar[tuple[str, ...]] = ()

    latent_dim: int = hyperparameter(10, "number m of continuous dimensions", "dimensions", "10")
    learning_rate: float = hyperparameter(1e-4, "Adam's rate", "per step", "1e-4")
    l2: float = hyperparameter(
        0.0,
        "coefficient of ½‖w‖² over every convolution and dense weight",
        "nats",
        "0; 4e-5 in the official CascadeVAE",
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(
                    f"{field.name}={value}: every hyperparameter is finite; give a number"
                )
        self.require(self.latent_dim >= 1, "latent_dim", "a code needs a dimension", "1 or more")
        self.require(self.learning_rate > 0, "learning_rate", "a rate is positive", "about 1e-4")
        self.require(self.l2 >= 0, "l2", "a penalty is not negative", "0 or more")

    def require(self, holds: bool, field: str, rule: str, remedy: str) -> None:
        """UserError with the field's value, the rule and the remedy, unless it holds."""
        if not holds:
            flag = "--" + field.replace("_", "-")
            raise UserError(f"{field}={getattr(self, field)}: {rule}; give {flag} {remedy}")

    @property
    def max_batch(self) -> int | None:
        """The greatest size of a batch; None if any will do."""
        return None

    def betas(self, step: int) -> tuple[float, ...]:
        """The weight of each dimension's KL at a step."""
        raise NotImplementedError

    def phase(self, step: int) -> Hashable:
        """All that the objective takes from the step: steps of one phase differ in nothing else."""
        return self.betas(step)

    def resets_optimizer(self, step: int) -> bool:
        """Whether Adam's moments start afresh before this step."""
        return False

    def lr_factor(self, step: int) -> float:
        """What the groups' learning rates are multiplied with at a step."""
        return 1.0

    def needs_survey(self, step: int) -> bool:
        """Whether the method looks at the whole dataset before this step."""
        return False

    def survey(self, parts: nn.ModuleDict, dataset: DatasetView) -> dict[str, Any]:
        """Change the parts by what the dataset shows; says in plain values what was seen.

        All that later steps need of it is kept in buffers of the parts.
        """
        return {}

    def sample_batch(
        self, parts: nn.ModuleDict, index_b: Int[Tensor, " b"], generator: torch.Generator
    ) -> tuple[Int[Tensor, " b"], dict[str, Tensor]]:
        """The items of a batch, where uniform ones would be `index_b`; and what `losses` is told.

        The latter goes with the noise, by name.
        """
        return index_b, {}

    def discrete_is_open(self, step: int) -> bool:
        """Whether a discrete code takes part at a step: always, unless a schedule opens it."""
        return self.categories > 0

    def begins_stage(self, step: int) -> bool:
        """Whether a weight of a KL changes at this step, or the discrete code opens."""
        if step == 0:
            return False
        now, before = self.discrete_is_open(step), self.discrete_is_open(step - 1)
        return now != before or self.betas(step) != self.betas(step - 1)

    def build(self, shape: tuple[int, int, int]) -> nn.ModuleDict:
        """The parts, with fresh weights."""
        return nn.ModuleDict(
            {
                "encoder": ConvEncoder(shape, self.latent_dim),
                "decoder": ConvDecoder(shape, self.latent_dim + self.categories),
            }
        )

    def groups(self) -> dict[str, ParamGroup]:
        """The parameter groups, each with its optimiser."""
        return {"vae": ParamGroup(("encoder", "decoder"), self.learning_rate)}

    def noise_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """The standard normal noise that one step on `batch` images needs.

        Whatever is random in a method is made of it: see `distributions.gumbel` and
        `information.permute_dims`.
        """
        return {"z": (batch, self.latent_dim)}

    def losses(
        self,
        parts: nn.ModuleDict,
        x: Float[Tensor, "b c h w"],
        noise: Mapping[str, Tensor],
        step: int,
    ) -> Losses:
        """The objective on one batch (`batches_per_step` of them, one after the other in `x`).

        `noise` holds what `noise_shapes` asks for and what `sample_batch` tells.
        """
        code = self.forward(parts, x, noise["z"])
        penalty, more = self.regulariser(code, step)
        return self.total_loss(parts, code.reconstruction, code.kl_z, step, more, penalty)

    def forward(
        self, parts: nn.ModuleDict, x: Float[Tensor, "b c h w"], noise_bz: Float[Tensor, "b z"]
    ) -> VAEOutput:
        """One pass of a batch through encoder and decoder."""
        mean_bz, std_bz = parts["encoder"](x)
        z_bz = distributions.sample_normal(mean_bz, std_bz, noise_bz)
        reconstruction = distributions.bernoulli_nll(parts["decoder"](z_bz), x).mean()
        kl_z = distributions.kl_from_standard_normal(mean_bz, std_bz).mean(dim=0)
        return VAEOutput(mean_bz, std_bz, z_bz, reconstruction, kl_z)

    def regulariser(
        self, code: VAEOutput, step: int
    ) -> tuple[Float[Tensor, ""] | None, dict[str, Tensor]]:
        """What is added to the reconstruction, nats, and what to report of it.

        None stands for Σ_z β_z KL_z.
        """
        return None, {}

    def total_loss(
        self,
        parts: nn.ModuleDict,
        reconstruction: Float[Tensor, ""],
        kl_z: Float[Tensor, " z"],
        step: int,
        more: dict[str, Tensor],
        penalty: Float[Tensor, ""] | None = None,
    ) -> Losses:
        """The shared end of every objective: the regulariser and L2, and what to report."""
        if penalty is None:
            penalty = (kl_z.new_tensor(self.betas(step)) * kl_z).sum()
        loss = reconstruction + penalty
        report = {
            "loss": loss,
            "reconstruction": reconstruction,
            "kl": kl_z,
            "elbo": -(reconstruction + kl_z.sum()),
            **more,
        }
        if self.l2:
            decayed = [parts[name] for name in self.groups()["vae"].parts]
            weights = [w for part in decayed for w in part.parameters() if w.ndim > 1]
            report["l2"] = self.l2 / 2 * torch.stack([w.square().sum() for w in weights]).sum()
            loss = report["loss"] = loss + report["l2"]
        return Losses({"vae": loss}, report)

    def posterior(
        self, parts: nn.ModuleDict, x: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"] | None]:
        """Mean and std of each image's code; no std where the code is not random."""
        mean_bz, std_bz = parts["encoder"](x)[:2]
        return mean_bz, std_bz

    def traversal_range(self, parts: nn.ModuleDict, extent: float) -> tuple[float, float]:
        """The least and greatest value that a traversal of `extent` prior stds gives to z."""
        return -extent, extent

    def decode(
        self, parts: nn.ModuleDict, z_bz: Float[Tensor, "b z"], category_b: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """Pixel probabilities of codes; a method without a discrete code ignores the category."""
        d_bk = z_bz.new_zeros(len(z_bz), 0)
        if self.categories:
            d_bk = functional.one_hot(category_b, self.categories).to(z_bz.dtype)
        return self.pixels(parts, z_bz, d_bk)

    def pixels(
        self, parts: nn.ModuleDict, z_bz: Float[Tensor, "b z"], d_bk: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b c h w"]:
        """Pixel probabilities of codes whose d is a vector: one-hot, relaxed, or of no entries."""
        return parts["decoder"](torch.cat([z_bz, d_bk], dim=1)).sigmoid()

    def predict_category(
        self, parts: nn.ModuleDict, x: Float[Tensor, "b c h w"], mean_bz: Float[Tensor, "b z"]
    ) -> Int[Tensor, " b"]:
        """The category of each image; 0 for a method without a discrete code."""
        return torch.zeros(len(x), dtype=torch.int64, device=x.device)
