"""ChartVAE, a method of our own: CascadeVAE's discrete code, begun from charts of the dataset."""

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
from unbraid.methods import pseudo_labels, schedules
from unbraid.methods.base import DatasetView, Losses, Method, Preset, hyperparameter
from unbraid.methods.cascade_vae import category_costs, choose_categories
from unbraid.nets import ConvDecoder, ConvEncoder

# A dimension that tells less of an image, in nats, is idle.
IDLE = 0.3
# Images that tell how far the encoder's features spread, and the std of a dimension started anew.
SEEN, STD = 512, 0.3
# What is left of the rate at the end.
COOL = 0.05


class PseudoLabelStore(nn.Module):
    """Items of the dataset that have a category, and it; none until a survey names them."""

    item: Tensor
    category: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.keep(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))

    def keep(self, item: Int[Tensor, " i"], category: Int[Tensor, " i"]) -> None:
        """Take these in place of what was named before."""
        self.register_buffer("item", item)
        self.register_buffer("category", category)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *rest: Any, **how: Any
    ) -> None:
        for name in ("item", "category"):
            if f"{prefix}{name}" in state_dict:
                saved = state_dict[f"{prefix}{name}"]
                self.register_buffer(name, torch.empty_like(saved, device=self.item.device))
        super()._load_from_state_dict(state_dict, prefix, *rest, **how)


@dataclass(frozen=True)
class ChartVAE(Method):
    """CascadeVAE whose discrete code begins from charts of the dataset, without labels.

    First all dimensions have one β, which falls in equal ratios, so that they come into use one by
    one. Then the whole dataset is surveyed: images of neighbouring codes fall apart into K parts by
    their pixels, a category each (`pseudo_labels`), and dimensions that stayed idle start anew.
    From there the objective is CascadeVAE's (Jeong & Song 2019, Eq. 8) with every dimension open,
    but that a share of each batch is drawn from the images that were named and has d given.
    """

    name: ClassVar[str] = "chart-vae"
    title: ClassVar[str] = "ChartVAE"
    supports_vmap: ClassVar[bool] = False
    PRESETS: ClassVar[dict[str, Preset]] = {
        "quick": Preset("ours: minutes on two cores", 11_500, 64, {}),
        "brief": Preset(
            "ours: under half the steps, for a look or a study of many runs",
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
    learning_rate: float = hyperparameter(1e-3, "Adam's rate", "per step", "ours")
    categories: int = hyperparameter(  # pyright: ignore[reportIncompatibleVariableOverride]
        3, "number K of categories of the discrete code", "categories", "ours"
    )
    pair_penalty: float = hyperparameter(
        1e-3, "λ′, cost of each pair of a batch that shares a category", "nats", "ours"
    )
    beta_start: float = hyperparameter(200.0, "β from which all dimensions fall", "1", "ours")
    beta_end: float = hyperparameter(2.0, "β to which they fall", "1", "ours")
    beta_anneal_steps: int = hyperparameter(3_000, "steps of the fall", "steps", "ours")
    survey_step: int = hyperparameter(3_500, "when the dataset is surveyed", "step", "ours")
    charts: int = hyperparameter(1_600, "charts that a survey looks at", "charts", "ours")
    chart_images: int = hyperparameter(360, "images of a chart", "images", "ours")
    gap: float = hyperparameter(
        1.1, "least ratio between steps across and within parts of a chart", "1", "ours"
    )
    reinit_inactive: bool = hyperparameter(
        True, "start idle dimensions anew after the survey", "yes or no", "ours"
    )
    beta: float = hyperparameter(1.5, "β of every dimension after the survey", "1", "ours")
    pseudo_label_fraction: float = hyperparameter(
        0.6875, "share of a batch whose category is given by the charts", "0 to below 1", "ours"
    )
    lr_factor_after_survey: float = hyperparameter(
        1.5, "what the rate is multiplied with after the survey", "1", "ours"
    )
    lr_decay_start: int = hyperparameter(8_500, "step from which the rate falls", "step", "ours")
    lr_decay_end: int = hyperparameter(
        11_500, "step at which a twentieth of the rate is left", "step", "ours"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.categories >= 2, "categories", "K=1 leaves nothing to choose", "2 or more"
        )
        for field in ("pair_penalty", "beta_start", "beta_end", "beta"):
            self.require(getattr(self, field) >= 0, field, "a weight is not negative", "0 or more")
        self.require(
            0 < self.beta_end <= self.beta_start,
            "beta_end",
            f"β falls from beta_start={self.beta_start} in equal ratios",
            f"more than 0, at most {self.beta_start}",
        )
        self.require(
            self.beta_anneal_steps >= 1, "beta_anneal_steps", "a fall takes steps", "1 or more"
        )
        self.require(self.survey_step >= 1, "survey_step", "steps come before it", "1 or more")
        self.require(self.charts >= 1, "charts", "a count", "1 or more")
        self.require(self.chart_images >= 2, "chart_images", "a chart has images", "2 or more")
        self.require(self.gap >= 1, "gap", "what is cut is longer than what is kept", "1 or more")
        self.require(
            0 <= self.pseudo_label_fraction < 1,
            "pseudo_label_fraction",
            "a share of a batch",
            "0 to below 1",
        )
        self.require(
            self.lr_factor_after_survey > 0,
            "lr_factor_after_survey",
            "a rate is positive",
            "more than 0",
        )
        self.require(
            self.lr_decay_start < self.lr_decay_end,
            "lr_decay_end",
            f"the rate falls from lr_decay_start={self.lr_decay_start} on",
            f"more than {self.lr_decay_start}",
        )

    def betas(self, step: int) -> tuple[float, ...]:
        beta = self.beta
        if step < self.survey_step:
            beta = schedules.geometric_decay(
                step, self.beta_anneal_steps, self.beta_start, self.beta_end
            )
        return (beta,) * self.latent_dim

    def lr_factor(self, step: int) -> float:
        cooled = min(
            max(step - self.lr_decay_start, 0) / (self.lr_decay_end - self.lr_decay_start), 1.0
        )
        pace = self.lr_factor_after_survey if step >= self.survey_step else 1.0
        return pace * (1 - (1 - COOL) * cooled)

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
        used = kl_z >= IDLE
        told = {"kl": kl_z.round(3).tolist(), "idle": np.flatnonzero(~used).tolist()}
        if self.pseudo_label_fraction and used.any():
            place_nz = codes.mean[:, used] / np.sqrt((std_nz[:, used] ** 2).mean(axis=0))
            seed = int(torch.randint(2**62, (), generator=dataset.generator))
            named = pseudo_labels.categories(
                dataset.images,
                place_nz,
                self.categories,
                np.random.default_rng(seed),
                charts=self.charts,
                size=self.chart_images,
                gap=self.gap,
            )
            kept = parts["pseudo_labels"]
            assert isinstance(kept, PseudoLabelStore)
            kept.keep(
                torch.from_numpy(named.item).to(kept.item.device),
                torch.from_numpy(named.category).to(kept.item.device),
            )
            told |= {"clear": named.clear, "agreement": named.agreement}
            told |= {"labelled": len(named.item)}
        if self.reinit_inactive:
            self._start_anew(parts, np.flatnonzero(~used).tolist(), dataset, len(codes.mean))
        return told

    @torch.no_grad()
    def _start_anew(
        self, parts: nn.ModuleDict, idle: list[int], dataset: DatasetView, items: int
    ) -> None:
        """Each idle dimension's mean becomes a random direction of the encoder's features.

        Over images it has mean 0 and std 1; what the decoder takes from it is drawn as wide as what
        it takes from the others.
        """
        encoder, decoder = parts["encoder"], parts["decoder"]
        assert isinstance(encoder, ConvEncoder)
        assert isinstance(decoder, ConvDecoder)
        m, seen = self.latent_dim, []
        hook = encoder.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        index = torch.randint(items, (SEEN,), generator=dataset.generator)
        images = torch.from_numpy(dataset.images(index.numpy()))
        encoder(images.to(encoder.head.weight))
        hook.remove()
        entry = decoder.entry.weight
        for z in idle:
            drawn = torch.randn(seen[0].shape[1], generator=dataset.generator).to(seen[0])
            along = seen[0] @ drawn
            # Features that are all alike have no direction.
            spread = along.std().clamp(min=1e-6)
            encoder.head.weight[z] = drawn / spread
            encoder.head.bias[z] = -along.mean() / spread
            encoder.head.weight[m + z] = 0
            encoder.head.bias[m + z] = math.log(math.expm1(STD))
            column = torch.randn(len(entry), generator=dataset.generator).to(entry)
            entry[:, z] = column * entry[:, :m].std()

    def sample_batch(
        self, parts: nn.ModuleDict, index_b: Int[Tensor, " b"], generator: torch.Generator
    ) -> tuple[Int[Tensor, " b"], dict[str, Tensor]]:
        item, category = (
            parts.get_buffer("pseudo_labels.item"),
            parts.get_buffer("pseudo_labels.category"),
        )
        drawn = int(self.pseudo_label_fraction * len(index_b))
        if not len(item) or not drawn:
            return index_b, {}
        which = torch.randint(len(item), (drawn,), generator=generator).to(item.device)
        return torch.cat([item[which].to(index_b), index_b[drawn:]]), {"labelled": category[which]}

    def losses(
        self,
        parts: nn.ModuleDict,
        x: Float[Tensor, "b c h w"],
        noise: Mapping[str, Tensor],
        step: int,
    ) -> Losses:
        mean_bz, std_bz = parts["encoder"](x)
        z_bz = distributions.sample_normal(mean_bz, std_bz, noise["z"])
        more: dict[str, Tensor] = {}
        if self.discrete_is_open(step):
            d_bk = choose_categories(
                parts, x, z_bz, self.categories, self.pair_penalty, noise.get("pseudo_label")
            )
            more = {"share": d_bk.mean(dim=0)}
        else:
            d_bk = z_bz.new_zeros(len(x), self.categories)
        logits = parts["decoder"](torch.cat([z_bz, d_bk], dim=1))
        reconstruction = distributions.bernoulli_nll(logits, x).mean()
        kl_z = distributions.kl_from_standard_normal(mean_bz, std_bz).mean(dim=0)
        return self.total_loss(parts, reconstruction, kl_z, step, more)

    def predict_category(
        self, parts: nn.ModuleDict, x: Float[Tensor, "b c h w"], mean_bz: Float[Tensor, "b z"]
    ) -> Int[Tensor, " b"]:
        return category_costs(parts, x, mean_bz, self.categories).argmin(dim=1)
