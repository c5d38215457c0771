"""ChartVAE: β's fall, what a survey names and starts anew, and what is given from there on."""

import numpy as np
import pytest
import torch
from tests.methods.test_equations import nats
from tests.methods.worlds import bars, make, surveyed, world
from torch import nn

from unbraid.codes import Codes
from unbraid.methods.base import DatasetView
from unbraid.methods.chart_vae import COOL, STD, ChartVAE, PseudoLabelStore
from unbraid.nets import ConvDecoder


def test_beta_falls_in_equal_ratios_and_stays_until_the_survey() -> None:
    method = ChartVAE(
        latent_dim=2, beta_start=160.0, beta_end=10.0, beta_anneal_steps=4, survey_step=6
    )
    betas = [method.betas(step) for step in range(8)]
    expected = [160, 80, 40, 20, 10, 10, 1.5, 1.5]
    assert betas == [pytest.approx((beta, beta)) for beta in expected]
    assert [s for s in range(20) if method.needs_survey(s)] == [6]
    assert [s for s in range(20) if method.resets_optimizer(s) or method.begins_stage(s)] == [6]
    assert [method.discrete_is_open(s) for s in (5, 6)] == [False, True]


def test_the_rate_quickens_at_the_survey_and_falls_in_a_straight_line() -> None:
    method = ChartVAE(survey_step=6, lr_factor_after_survey=3.0, lr_decay_start=8, lr_decay_end=12)
    half = (1 + COOL) / 2
    paces = [method.lr_factor(step) for step in (0, 5, 6, 8, 10, 12, 99)]
    expected = (1, 1, 3, 3, 3 * half, 3 * COOL, 3 * COOL)
    assert paces == [pytest.approx(pace) for pace in expected]


def test_what_is_named_has_its_category_and_the_rest_the_best() -> None:
    method = make("chart-vae")
    parts, x, noise = world(method)
    named = torch.tensor([2, 0, 1])
    found = method.losses(parts, x, {**noise, "labelled": named}, 100)
    mean, std = parts["encoder"](x)
    z = mean + std * noise["z"]
    candidates = torch.eye(3).double()
    cost = torch.stack([nats(parts, torch.cat([z, d.expand(6, 3)], 1), x) for d in candidates])
    expected = torch.cat([cost[named, torch.arange(3)], cost[:, 3:].min(dim=0).values]).mean()
    torch.testing.assert_close(found.report["reconstruction"], expected)
    assert expected > cost.min(dim=0).values.mean()


def coded_bars(latent_dim: int) -> tuple[DatasetView, list[np.ndarray]]:
    """Bars whose code is their place; and every index that images were asked of."""
    place_nz = np.zeros((120, latent_dim), np.float32)
    place_nz[:, 1] = np.tile(np.linspace(-2, 2, 40), 3)
    std_nz = np.full_like(place_nz, 1.0)
    std_nz[:, 1] = 0.1
    asked: list[np.ndarray] = []

    def images(index: np.ndarray) -> np.ndarray:
        asked.append(index)
        return bars().reshape(-1, 1, 16, 32)[index]

    drawn = torch.Generator().manual_seed(0)
    return DatasetView(images, lambda: Codes(place_nz, std_nz), drawn), asked


def parts_after(
    method: ChartVAE, dataset: DatasetView
) -> tuple[nn.ModuleDict, nn.ModuleDict, dict]:
    """Parts before and after a survey, and what it tells."""
    torch.manual_seed(0)
    before, after = method.build((1, 16, 32)), method.build((1, 16, 32))
    after.load_state_dict(before.state_dict())
    return before, after, method.survey(after, dataset)


def test_a_survey_names_lengths_of_bars_and_draws_them() -> None:
    dataset, _ = coded_bars(3)
    method = ChartVAE(latent_dim=3, chart_images=30, charts=60, pseudo_label_fraction=0.5)
    _, parts, told = parts_after(method, dataset)
    item, category = (
        parts.get_buffer("pseudo_labels.item"),
        parts.get_buffer("pseudo_labels.category"),
    )
    assert told["idle"] == [0, 2]
    assert told["named"] == len(item) >= 60
    length = item // 40
    assert [len(category[length == kind].unique()) for kind in range(3)] == [1, 1, 1]
    assert len(category.unique()) == 3
    plain = torch.arange(7)
    index, told = method.sample_batch(parts, plain, torch.Generator().manual_seed(1))
    assert torch.equal(index[3:], plain[3:])
    of = dict(zip(item.tolist(), category.tolist(), strict=True))
    assert [of[i] for i in index[:3].tolist()] == told["named"].tolist()
    again = method.sample_batch(parts, plain, torch.Generator().manual_seed(1))
    assert torch.equal(index, again[0])
    assert not torch.equal(
        index, method.sample_batch(parts, plain, torch.Generator().manual_seed(2))[0]
    )


def test_idle_dimensions_start_anew_and_no_other_weight_moves() -> None:
    """Over images their means have mean 0 and std 1, and each posterior's std is 0.3."""
    dataset, asked = coded_bars(3)
    method = ChartVAE(latent_dim=3, pseudo_label_fraction=0.0)
    before, after, told = parts_after(method, dataset)
    assert told == {"kl": pytest.approx([0, 3.0, 0], abs=0.5), "idle": [0, 2]}
    seen = torch.from_numpy(dataset.images(asked[-1])).float()
    (old_mean, old_std), (mean, std) = before["encoder"](seen), after["encoder"](seen)
    torch.testing.assert_close(mean[:, 1], old_mean[:, 1])
    torch.testing.assert_close(std[:, 1], old_std[:, 1])
    torch.testing.assert_close(mean[:, [0, 2]].mean(dim=0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(mean[:, [0, 2]].std(dim=0), torch.ones(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(std[:, [0, 2]], torch.full_like(std[:, [0, 2]], STD))
    changed = {
        name
        for name, weight in after.state_dict().items()
        if not torch.equal(weight, before.state_dict()[name])
    }
    assert changed == {"encoder.head.weight", "encoder.head.bias", "decoder.entry.weight"}
    decoder, old_decoder = after["decoder"], before["decoder"]
    assert isinstance(decoder, ConvDecoder)
    assert isinstance(old_decoder, ConvDecoder)
    entry, old = decoder.entry.weight, old_decoder.entry.weight
    assert torch.equal(entry[:, [1, 3, 4, 5]], old[:, [1, 3, 4, 5]])
    assert not torch.equal(entry[:, [0, 2]], old[:, [0, 2]])


def test_a_code_without_a_used_dimension_names_nothing() -> None:
    dataset, _ = coded_bars(3)
    flat = dataset._replace(
        encode=lambda: Codes(np.zeros((120, 3), np.float32), np.ones((120, 3), np.float32))
    )
    _, parts, told = parts_after(ChartVAE(latent_dim=3), flat)
    assert told["idle"] == [0, 1, 2]
    assert len(parts.get_buffer("pseudo_labels.item")) == 0
    index = torch.arange(8)
    assert ChartVAE(latent_dim=3).sample_batch(parts, index, torch.Generator()) == (index, {})


def test_names_are_kept_with_the_weights_however_many_they_are() -> None:
    one, other = PseudoLabelStore(), PseudoLabelStore()
    one.keep(torch.tensor([5, 7, 9]), torch.tensor([0, 2, 1]))
    other.load_state_dict(one.state_dict())
    assert other.item.tolist() == [5, 7, 9]
    assert other.category.tolist() == [0, 2, 1]
    other.load_state_dict(PseudoLabelStore().state_dict())
    assert len(other.item) == len(other.category) == 0


def test_a_survey_is_a_function_of_the_seed() -> None:
    method = ChartVAE(latent_dim=3, chart_images=30, charts=60)
    assert surveyed(method, 0) == surveyed(method, 0)
    assert surveyed(method, 0) != surveyed(method, 1)
