"""Random numbers depend on nothing but seed, stream and step."""

import torch

from unbraid.runs import noise


def test_same_arguments_give_the_same_numbers() -> None:
    first = noise.normal(3, 7, {"z": (4, 2)})["z"]
    torch.randn(100)
    assert torch.equal(first, noise.normal(3, 7, {"z": (4, 2)})["z"])
    assert torch.equal(noise.batch_indices(3, 7, 100, 8), noise.batch_indices(3, 7, 100, 8))


def test_other_arguments_give_other_numbers() -> None:
    first = noise.normal(3, 7, {"z": (64,)})["z"]
    for other in (
        noise.normal(4, 7, {"z": (64,)})["z"],
        noise.normal(3, 8, {"z": (64,)})["z"],
        noise.normal(3, 7, {"u": (64,)})["u"],
    ):
        assert abs(torch.corrcoef(torch.stack([first, other]))[0, 1]) < 0.5
        assert not torch.equal(first, other)


def test_batches_are_uniform_over_the_items() -> None:
    drawn = torch.cat([noise.batch_indices(0, step, 50, 64) for step in range(1_000)])
    counts = torch.bincount(drawn, minlength=50).double()
    chi2 = ((counts - 1280) ** 2 / 1280).sum().item()
    assert chi2 < 49 + 5 * (2 * 49) ** 0.5


def test_noise_is_standard_normal_over_the_steps() -> None:
    drawn = torch.cat([noise.normal(0, step, {"z": (64,)})["z"] for step in range(2_000)])
    n = len(drawn)
    assert abs(drawn.mean()) < 4 / n**0.5
    assert abs(drawn.var() - 1) < 4 * (2 / n) ** 0.5
