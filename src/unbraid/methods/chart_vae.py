"""ChartVAE, a method of this project: CascadeVAE with a discrete code initialised by charts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbraid import distributions
from unbraid.methods import schedules
from unbraid.methods.base import DatasetView, Losses, Method, Preset, hyperparameter
from unbraid.methods.cascade_vae import category_costs, choose_categories
from unbraid.methods.pseudo_labels import PseudoLabelStore, find_pseudo_labels
from unbraid.nets import ConvDecoder, ConvEncoder

# Dimensions with a smaller KL, in nats, are inactive.
MIN_ACTIVE_KL = 0.3
# Number of images that the scale of a reinitialised dimension is computed from.
REINIT_IMAGES = 512
# Posterior standard deviation of a reinitialised dimension.
REINIT_STD = 0.3
# Factor of the learning rate at the end of its decay.
FINAL_LR_FACTOR = 0.05


@dataclass(frozen=True)
class ChartVAE(Method):
    """ChartVAE: CascadeVAE with a discrete code initialised by clustering image neighbourhoods.

    At first all dimensions have the same β, which decays geometrically, so that they become active
    one after another. A survey (a pass over all images before a step) follows: it splits each chart
    (images with neighbouring codes) into K parts by their pixels, uses the parts as pseudo-labels
    and reinitialises inactive dimensions. From then on the objective is that of CascadeVAE
    (Jeong & Song 2019, Eq. 8) with all dimensions open, except that a fraction of each batch is
    sampled from the images with pseudo-labels, whose d is fixed.

    References
    ----------
    Jeong and Song, "Learning Discrete and Continuous Factors of Data via Alternating
    Disentanglement", 2019, Eq. 8.

    Examples
    --------
    >>> method = ChartVAE(latent_dim=2, survey_step=100)
    >>> method.needs_survey(step=100), method.discrete_is_open(step=100)
    (True, True)
    """

    name: ClassVar[str] = "chart-vae"
    title: ClassVar[str] = "ChartVAE"
    supports_vmap: ClassVar[bool] = False
    PRESETS: ClassVar[dict[str, Preset]] = {
        "quick": Preset("ours: 12 minutes on two cores, 15 to 19 on one", 11_500, 64, {}),
        "brief": Preset(
            "ours: less than half the steps, for quick estimates and studies of many runs",
            5_000,
            64,
            {
                "beta_anneal_steps": 2_000,
                "survey_step": 2_300,
                "lr_decay_start": 3_700,
                "lr_decay_end": 5_000,
            },
        ),
    }

    latent_dim: int = hyperparameter(6, "number m of continuous dimensions", "dimensions", "ours")
    learning_rate: float = hyperparameter(1e-3, "learning rate of Adam", "per step", "ours")
    categories: int = hyperparameter(  # pyright: ignore[reportIncompatibleVariableOverride]
        3, "number K of categories of the discrete code", "categories", "ours"
    )
    pair_penalty: float = hyperparameter(
        1e-3, "cost λ′ of each pair of images of a batch in the same category", "nats", "ours"
    )
    beta_start: float = hyperparameter(200.0, "β of every dimension at step 0", "1", "ours")
    beta_end: float = hyperparameter(
        2.0, "β of every dimension from the end of its decay to the survey", "1", "ours"
    )
    beta_anneal_steps: int = hyperparameter(
        3_000, "number of steps over which β decays", "steps", "ours"
    )
    survey_step: int = hyperparameter(
        3_500, "step before which the dataset is surveyed", "step", "ours"
    )
    charts: int = hyperparameter(1_600, "number of charts of the survey", "charts", "ours")
    chart_images: int = hyperparameter(360, "number of images per chart", "images", "ours")
    gap: float = hyperparameter(
        1.1,
        "smallest ratio of the shortest edge cut to the longest edge kept in a chart's tree",
        "1",
        "ours",
    )
    reinit_inactive: bool = hyperparameter(
        True, "reinitialise inactive dimensions after the survey", "yes or no", "ours"
    )
    beta: float = hyperparameter(1.5, "β of every dimension after the survey", "1", "ours")
    pseudo_label_fraction: float = hyperparameter(
        0.6875, "fraction of each batch that has pseudo-labels, less than 1", "1", "ours"
    )
    lr_factor_after_survey: float = hyperparameter(
        1.5, "factor of the learning rate after the survey", "1", "ours"
    )
    lr_decay_start: int = hyperparameter(
        8_500, "step at which the learning rate starts to decay", "step", "ours"
    )
    lr_decay_end: int = hyperparameter(
        11_500, "step at which the learning rate has decayed to a twentieth", "step", "ours"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(2, "categories", "chart_images")
        self.require_at_least(0, "pair_penalty", "beta_start", "beta")
        self.require(
            0 < self.beta_end <= self.beta_start,
            "beta_end",
            f"must be greater than 0 and at most beta_start={self.beta_start}",
            f"a value greater than 0, at most {self.beta_start}",
        )
        self.require_at_least(1, "beta_anneal_steps", "survey_step", "charts", "gap")
        self.require(
            0 <= self.pseudo_label_fraction < 1,
            "pseudo_label_fraction",
            "must be at least 0 and less than 1",
            "a value from 0 to less than 1",
        )
        self.require_positive("lr_factor_after_survey")
        self.require(
            self.lr_decay_start < self.lr_decay_end,
            "lr_decay_end",
            f"must be greater than lr_decay_start={self.lr_decay_start}",
            f"a step greater than {self.lr_decay_start}",
        )

    def betas(self, step: int) -> tuple[float, ...]:
        beta = self.beta
        if step < self.survey_step:
            beta = schedules.geometric_decay(
                step, self.beta_anneal_steps, self.beta_start, self.beta_end
            )
        return (beta,) * self.latent_dim

    def lr_factor(self, step: int) -> float:
        decay_steps = self.lr_decay_end - self.lr_decay_start
        progress = min(max(step - self.lr_decay_start, 0) / decay_steps, 1.0)
        factor = self.lr_factor_after_survey if step >= self.survey_step else 1.0
        return factor * (1 - (1 - FINAL_LR_FACTOR) * progress)

    def phase(self, step: int) -> tuple[tuple[float, ...], bool]:
        return self.betas(step), self.discrete_is_open(step)

    def discrete_is_open(self, step: int) -> bool:
        return step >= self.survey_step

    def begins_stage(self, step: int) -> bool:
        return self.needs_survey(step)

    def resets_optimizer(self, step: int) -> bool:
        return self.needs_survey(step)

    def needs_survey(self, step: int) -> bool:
        return step == self.survey_step

    def build(self, shape: tuple[int, int, int]) -> nn.ModuleDict:
        parts = super().build(shape)
        parts["pseudo_labels"] = PseudoLabelStore()
        return parts

    def survey(self, parts: nn.ModuleDict, dataset: DatasetView) -> dict[str, Any]:
        codes = dataset.encode()
        kl_z, std_nz = codes.kl(), codes.std
        assert kl_z is not None
        assert std_nz is not None
        active_z = kl_z >= MIN_ACTIVE_KL
        inactive_dims: list[int] = np.flatnonzero(~active_z).tolist()
        report: dict[str, Any] = {"kl": kl_z.round(3).tolist(), "inactive_dims": inactive_dims}
        if self.pseudo_label_fraction and active_z.any():
            scale_z = np.sqrt((std_nz[:, active_z] ** 2).mean(axis=0))
            report |= self._label(parts, codes.mean[:, active_z] / scale_z, dataset)
        if self.reinit_inactive:
            self._reinitialise(parts, inactive_dims, dataset, len(codes.mean))
        return report

    def _label(
        self, parts: nn.ModuleDict, code_nz: Float[np.ndarray, "n z"], dataset: DatasetView
    ) -> dict[str, Any]:
        """Find pseudo-labels, store them in the modules and return diagnostics."""
        seed = int(torch.randint(2**62, (), generator=dataset.generator))
        labels = find_pseudo_labels(
            dataset.images,
            code_nz,
            self.categories,
            np.random.default_rng(seed),
            num_charts=self.charts,
            chart_size=self.chart_images,
            min_gap=self.gap,
        )
        store = parts["pseudo_labels"]
        assert isinstance(store, PseudoLabelStore)
        device = store.item.device
        store.set(
            torch.as_tensor(labels.item, device=device),
            torch.as_tensor(labels.category, device=device),
        )
        return {
            "num_split_charts": labels.num_split_charts,
            "agreement": labels.agreement,
            "num_pseudo_labels": len(labels.item),
        }

    @torch.no_grad()
    def _reinitialise(
        self, parts: nn.ModuleDict, dims: list[int], dataset: DatasetView, num_items: int
    ) -> None:
        """Make the mean of each dimension a random projection of the encoder's features.

        Over images the mean has mean 0 and std 1. The weights of the decoder for the dimension are
        random, with the std of its weights for all dimensions.
        """
        encoder, decoder = parts["encoder"], parts["decoder"]
        assert isinstance(encoder, ConvEncoder)
        assert isinstance(decoder, ConvDecoder)
        m, generator = self.latent_dim, dataset.generator
        index = torch.randint(num_items, (REINIT_IMAGES,), generator=generator)
        images = torch.as_tensor(dataset.images(index.numpy()))
        features = encoder.features(images.to(encoder.head.weight))
        entry = decoder.entry.weight
        for z in dims:
            direction = torch.randn(features.shape[1], generator=generator).to(features)
            projection = features @ direction
            # Identical features have no spread.
            spread = projection.std().clamp(min=1e-6)
            encoder.head.weight[z] = direction / spread
            encoder.head.bias[z] = -projection.mean() / spread
            encoder.head.weight[m + z] = 0
            encoder.head.bias[m + z] = math.log(math.expm1(REINIT_STD))
            column = torch.randn(len(entry), generator=generator).to(entry)
            entry[:, z] = column * entry[:, :m].std()

    def sample_batch(
        self, parts: nn.ModuleDict, index_b: Int[Tensor, " b"], generator: torch.Generator
    ) -> tuple[Int[Tensor, " b"], dict[str, Tensor]]:
        item_i = parts.get_buffer("pseudo_labels.item")
        category_i = parts.get_buffer("pseudo_labels.category")
        count = int(self.pseudo_label_fraction * len(index_b))
        if not len(item_i) or not count:
            return index_b, {}
        chosen = torch.randint(len(item_i), (count,), generator=generator).to(item_i.device)
        index_b = torch.cat([item_i[chosen].to(index_b), index_b[count:]])
        return index_b, {"pseudo_label": category_i[chosen]}

    def losses(
        self,
        parts: nn.ModuleDict,
        x: Float[Tensor, "b c h w"],
        noise: Mapping[str, Tensor],
        step: int,
    ) -> Losses:
        mean_bz, std_bz = parts["encoder"](x)
        z_bz = distributions.sample_normal(mean_bz, std_bz, noise["z"])
        extra: dict[str, Tensor] = {}
        if self.discrete_is_open(step):
            d_bk, logits = choose_categories(
                parts, x, z_bz, self.categories, self.pair_penalty, noise.get("pseudo_label")
            )
            extra = {"share": d_bk.mean(dim=0)}
        else:
            d_bk = z_bz.new_zeros(len(x), self.categories)
            logits = parts["decoder"](torch.cat([z_bz, d_bk], dim=1))
        reconstruction = distributions.bernoulli_nll(logits, x).mean()
        kl_z = distributions.kl_from_standard_normal(mean_bz, std_bz).mean(dim=0)
        return self.total_loss(parts, reconstruction, kl_z, step, extra)

    def predict_category(
        self, parts: nn.ModuleDict, x: Float[Tensor, "b c h w"], mean_bz: Float[Tensor, "b z"]
    ) -> Int[Tensor, " b"]:
        return category_costs(parts, x, mean_bz, self.categories).argmin(dim=1)
