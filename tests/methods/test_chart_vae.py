"""ChartVAE: its schedules, its survey of the dataset, and pseudo-labels in batches."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.methods.equations import pixel_nll
from tests.methods.small_inputs import bars, make, small_inputs, survey_bars
from torch import nn

from unbraid.codes import Codes
from unbraid.methods.base import DatasetView
from unbraid.methods.chart_vae import FINAL_LR_FACTOR, REINIT_STD, ChartVAE
from unbraid.methods.pseudo_labels import PseudoLabelStore
from unbraid.nets import ConvDecoder


def test_beta_decays_geometrically_and_stays_constant_until_the_survey() -> None:
    method = ChartVAE(
        latent_dim=2, beta_start=160.0, beta_end=10.0, beta_anneal_steps=4, survey_step=6
    )
    betas = [method.betas(step) for step in range(8)]
    expected = [160, 80, 40, 20, 10, 10, 1.5, 1.5]
    assert betas == [pytest.approx((beta, beta)) for beta in expected]
    assert [s for s in range(20) if method.needs_survey(s)] == [6]
    assert [s for s in range(20) if method.resets_optimizer(s) or method.begins_stage(s)] == [6]
    assert [method.discrete_is_open(s) for s in (5, 6)] == [False, True]


def test_learning_rate_increases_at_the_survey_and_then_decays_linearly() -> None:
    method = ChartVAE(survey_step=6, lr_factor_after_survey=3.0, lr_decay_start=8, lr_decay_end=12)
    half = (1 + FINAL_LR_FACTOR) / 2
    factors = [method.lr_factor(step) for step in (0, 5, 6, 8, 10, 12, 99)]
    expected = (1, 1, 3, 3, 3 * half, 3 * FINAL_LR_FACTOR, 3 * FINAL_LR_FACTOR)
    assert factors == [pytest.approx(factor) for factor in expected]


def test_images_with_pseudo_labels_use_them_and_the_others_the_best_category() -> None:
    method = make("chart-vae")
    parts, x, noise = small_inputs(method)
    labels = torch.tensor([2, 0, 1])
    losses = method.losses(parts, x, {**noise, "pseudo_label": labels}, 100)
    mean, std = parts["encoder"](x)
    z = mean + std * noise["z"]
    candidates = torch.eye(3).double()
    cost = torch.stack([pixel_nll(parts, torch.cat([z, d.expand(6, 3)], 1), x) for d in candidates])
    expected = torch.cat([cost[labels, torch.arange(3)], cost[:, 3:].min(dim=0).values]).mean()
    torch.testing.assert_close(losses.report["reconstruction"], expected)
    assert expected > cost.min(dim=0).values.mean()


def view_of_bars(latent_dim: int) -> tuple[DatasetView, list[np.ndarray]]:
    """Bars whose code is their position, and the indices of all images that were read."""
    mean_nz = np.zeros((120, latent_dim), np.float32)
    mean_nz[:, 1] = np.tile(np.linspace(-2, 2, 40), 3)
    std_nz = np.full_like(mean_nz, 1.0)
    std_nz[:, 1] = 0.1
    read: list[np.ndarray] = []

    def images(index: np.ndarray) -> np.ndarray:
        read.append(index)
        return bars().reshape(-1, 1, 16, 32)[index]

    generator = torch.Generator().manual_seed(0)
    return DatasetView(images, lambda: Codes(mean_nz, std_nz), generator), read


def survey(
    method: ChartVAE, dataset: DatasetView
) -> tuple[nn.ModuleDict, nn.ModuleDict, dict[str, Any]]:
    """Modules before and after a survey, and its report."""
    torch.manual_seed(0)
    before, after = method.build((1, 16, 32)), method.build((1, 16, 32))
    after.load_state_dict(before.state_dict())
    return before, after, method.survey(after, dataset)


def test_a_survey_finds_the_lengths_of_bars_and_batches_sample_them() -> None:
    dataset, _ = view_of_bars(3)
    method = ChartVAE(latent_dim=3, chart_images=30, charts=60, pseudo_label_fraction=0.5)
    _, parts, report = survey(method, dataset)
    item = parts.get_buffer("pseudo_labels.item")
    category = parts.get_buffer("pseudo_labels.category")
    assert report["inactive_dims"] == [0, 2]
    assert report["num_pseudo_labels"] == len(item) >= 60
    assert report["num_split_charts"] > 12
    assert report["agreement"] == 1
    length = item // 40
    assert [len(category[length == kind].unique()) for kind in range(3)] == [1, 1, 1]
    assert len(category.unique()) == 3
    uniform = torch.arange(7)
    index, extra = method.sample_batch(parts, uniform, torch.Generator().manual_seed(1))
    assert torch.equal(index[3:], uniform[3:])
    category_of = dict(zip(item.tolist(), category.tolist(), strict=True))
    assert [category_of[i] for i in index[:3].tolist()] == extra["pseudo_label"].tolist()
    again = method.sample_batch(parts, uniform, torch.Generator().manual_seed(1))
    assert torch.equal(index, again[0])
    other = method.sample_batch(parts, uniform, torch.Generator().manual_seed(2))
    assert not torch.equal(index, other[0])


def test_only_the_weights_of_inactive_dimensions_are_reinitialised() -> None:
    """Over images their means have mean 0 and std 1, and each posterior's std is 0.3."""
    dataset, read = view_of_bars(3)
    method = ChartVAE(latent_dim=3, pseudo_label_fraction=0.0)
    before, after, report = survey(method, dataset)
    assert report == {"kl": pytest.approx([0, 3.0, 0], abs=0.5), "inactive_dims": [0, 2]}
    x = torch.from_numpy(dataset.images(read[-1])).float()
    (old_mean, old_std), (mean, std) = before["encoder"](x), after["encoder"](x)
    torch.testing.assert_close(mean[:, 1], old_mean[:, 1])
    torch.testing.assert_close(std[:, 1], old_std[:, 1])
    torch.testing.assert_close(mean[:, [0, 2]].mean(dim=0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(mean[:, [0, 2]].std(dim=0), torch.ones(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(std[:, [0, 2]], torch.full_like(std[:, [0, 2]], REINIT_STD))
    changed = {
        name
        for name, weight in after.state_dict().items()
        if not torch.equal(weight, before.state_dict()[name])
    }
    assert changed == {"encoder.head.weight", "encoder.head.bias", "decoder.entry.weight"}
    decoder, old_decoder = after["decoder"], before["decoder"]
    assert isinstance(decoder, ConvDecoder)
    assert isinstance(old_decoder, ConvDecoder)
    entry, old_entry = decoder.entry.weight, old_decoder.entry.weight
    assert torch.equal(entry[:, [1, 3, 4, 5]], old_entry[:, [1, 3, 4, 5]])
    assert not torch.equal(entry[:, [0, 2]], old_entry[:, [0, 2]])


def test_a_code_without_active_dimensions_gets_no_pseudo_labels() -> None:
    dataset, _ = view_of_bars(3)
    inactive = dataset._replace(
        encode=lambda: Codes(np.zeros((120, 3), np.float32), np.ones((120, 3), np.float32))
    )
    _, parts, report = survey(ChartVAE(latent_dim=3), inactive)
    assert report["inactive_dims"] == [0, 1, 2]
    assert len(parts.get_buffer("pseudo_labels.item")) == 0
    index = torch.arange(8)
    assert ChartVAE(latent_dim=3).sample_batch(parts, index, torch.Generator()) == (index, {})


def test_a_state_dict_restores_any_number_of_pseudo_labels() -> None:
    saved, loaded = PseudoLabelStore(), PseudoLabelStore()
    saved.set(torch.tensor([5, 7, 9]), torch.tensor([0, 2, 1]))
    loaded.load_state_dict(saved.state_dict())
    assert loaded.item.tolist() == [5, 7, 9]
    assert loaded.category.tolist() == [0, 2, 1]
    loaded.load_state_dict(PseudoLabelStore().state_dict())
    assert len(loaded.item) == len(loaded.category) == 0


def test_a_survey_is_a_function_of_the_seed() -> None:
    method = ChartVAE(latent_dim=3, chart_images=30, charts=60)
    assert survey_bars(method, 0) == survey_bars(method, 0)
    assert survey_bars(method, 0) != survey_bars(method, 1)
