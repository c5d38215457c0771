"""Compare the loss of every method with its equation, and with methods that it contains."""

import pytest
import torch
from tests.methods.equations import (
    EQUATIONS,
    discriminator,
    encode,
    stratified_beta_tcvae,
    vae_terms,
)
from tests.methods.small_inputs import STEPS, losses, make, small_inputs

from unbraid import distributions
from unbraid.errors import ArgumentError
from unbraid.methods import METHODS


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", METHODS)
def test_the_loss_agrees_with_its_equation(name: str, step: int) -> None:
    method = make(name, l2=1e-2)
    parts, x, noise = small_inputs(method)
    result = method.losses(parts, x, noise, step)
    decayed = [parts["encoder"], parts["decoder"]]
    l2 = sum((w**2).sum() for p in decayed for w in p.parameters() if w.ndim > 1)
    expected = EQUATIONS[name](method, parts, x, noise, step) + 1e-2 / 2 * l2
    # The pair penalty of 0.001 nats changes the cost of a sample by at most 0.005 nats.
    slack = 0.005 if name in ("cascade-vae", "chart-vae") else 0.0
    difference = (result.minimise["vae"] - expected).item()
    assert -1e-9 <= difference / max(1.0, abs(expected.item())) <= slack + 1e-9
    torch.testing.assert_close(result.report["loss"], result.minimise["vae"])
    discrete = result.report.get("kl_discrete", torch.zeros(()).double())
    torch.testing.assert_close(
        result.report["elbo"],
        -(result.report["reconstruction"] + result.report["kl"].sum() + discrete),
    )


@pytest.mark.parametrize("name", [name for name in METHODS if name != "qlae"])
def test_the_reported_kl_is_that_of_the_first_batch(name: str) -> None:
    method = make(name)
    parts, x, noise = small_inputs(method)
    kl = encode(parts, x[: len(noise["z"])], noise["z"])[3]
    torch.testing.assert_close(method.losses(parts, x, noise, 0).report["kl"], kl)


def test_beta_vae_with_beta_1_is_the_vae() -> None:
    assert (
        losses(make("beta-vae", beta=1.0), 0).minimise["vae"]
        == (losses(make("vae"), 0).minimise["vae"])
    )


def test_the_last_stage_of_the_cascade_is_the_beta_vae_at_beta_low() -> None:
    cascade = losses(make("cascade-vae-c", beta_low=0.7), 100).minimise["vae"]
    assert cascade == losses(make("beta-vae", beta=0.7), 100).minimise["vae"]


def test_the_first_stage_of_the_cascade_is_the_beta_vae_except_for_one_dimension() -> None:
    first = losses(make("cascade-vae-c", beta_low=1.0, beta_high=10.0), 0)
    closed = losses(make("beta-vae", beta=10.0), 0)
    difference = closed.minimise["vae"] - first.minimise["vae"]
    torch.testing.assert_close(difference, 9 * first.report["kl"][0])


def test_annealed_vae_without_capacity_is_the_beta_vae() -> None:
    annealed = losses(make("annealed-vae", gamma=3.0, capacity=0.0), 100).minimise["vae"]
    torch.testing.assert_close(annealed, losses(make("beta-vae", beta=3.0), 0).minimise["vae"])


def test_annealed_vae_at_its_capacity_is_reconstruction_only() -> None:
    kl = losses(make("annealed-vae"), 0).report["kl"].sum().item()
    result = losses(make("annealed-vae", capacity=kl), 100)
    torch.testing.assert_close(result.minimise["vae"], result.report["reconstruction"])


def test_joint_vae_at_its_capacities_is_reconstruction_only() -> None:
    report = losses(make("joint-vae"), 0).report
    capacities = {
        "capacity": report["kl"].sum().item(),
        "capacity_discrete": report["kl_discrete"].item(),
    }
    result = losses(make("joint-vae", **capacities), 100)
    torch.testing.assert_close(result.minimise["vae"], result.report["reconstruction"])
    below = losses(make("joint-vae", **{**capacities, "capacity_discrete": 0.0}), 100)
    excess = below.minimise["vae"] - below.report["reconstruction"]
    torch.testing.assert_close(excess, 150 * report["kl_discrete"])


def test_joint_vae_without_capacities_at_gamma_1_is_the_elbo() -> None:
    result = losses(make("joint-vae", gamma=1.0, capacity=0.0, capacity_discrete=0.0), 100)
    torch.testing.assert_close(result.minimise["vae"], -result.report["elbo"])


def test_the_discrete_capacity_is_clipped_at_ln_k() -> None:
    method = make("joint-vae")
    # 1.1 · step / 10 until it reaches ln 3 = 1.098612…
    for step, expected in ((0, 0.0), (5, 0.55), (9, 0.99), (10, 1.0986122886681098)):
        result = losses(method, step).report["capacity_discrete"].item()
        assert result == pytest.approx(expected, abs=1e-12)


def test_factor_vae_at_gamma_0_is_the_vae_on_the_first_batch() -> None:
    method = make("factor-vae", gamma=0.0)
    parts, x, noise = small_inputs(method)
    vae = make("vae").losses(parts, x[:3], {"z": noise["z"]}, 0)
    assert method.losses(parts, x, noise, 0).minimise["vae"] == vae.minimise["vae"]


def test_the_discriminator_minimises_its_cross_entropy() -> None:
    method = make("factor-vae")
    parts, x, noise = small_inputs(method, seed=1)
    order = noise["order"].argsort(dim=0)
    assert not (order == order[:, :1]).all()  # all dimensions in the same order: probability 1/216
    result = method.losses(parts, x, noise, 0).minimise["discriminator"]
    torch.testing.assert_close(result, discriminator(parts, x, noise))


def test_stratified_beta_tcvae_agrees_with_its_equation() -> None:
    method = make("beta-tcvae", stratified=True)
    parts, x, noise = small_inputs(method)
    result = method.losses(parts, x, noise, 0).minimise["vae"]
    torch.testing.assert_close(result, stratified_beta_tcvae(method, parts, x, noise, 0))


def test_factor_vae_needs_two_batches_of_at_least_two_images() -> None:
    method = make("factor-vae")
    parts, x, noise = small_inputs(method)
    for images in (2, 3, 5):
        with pytest.raises(ArgumentError, match=f"={images}: must be even and at least 4"):
            method.losses(parts, x[:images], noise, 0)


@pytest.mark.parametrize("dataset_size", [6, 1000])
@pytest.mark.parametrize("stratified", [False, True])
def test_beta_tcvae_at_1_is_the_vae_with_a_sampled_kl(stratified: bool, dataset_size: int) -> None:
    method = make("beta-tcvae", beta=1.0, dataset_size=dataset_size, stratified=stratified)
    parts, x, noise = small_inputs(method)
    mean, std, z, _, reconstruction = vae_terms(parts, x, noise["z"])
    q, p = torch.distributions.Normal(mean, std), torch.distributions.Normal(0.0, 1.0)
    sampled = (q.log_prob(z) - p.log_prob(z)).sum(dim=1).mean()
    result = method.losses(parts, x, noise, 0).minimise["vae"]
    torch.testing.assert_close(result, reconstruction + sampled)


@pytest.mark.parametrize("name", ["dip-vae-i", "dip-vae-ii"])
def test_dip_vae_at_0_is_the_vae(name: str) -> None:
    dip = losses(make(name, lambda_off_diagonal=0.0, lambda_diagonal=0.0), 0).minimise["vae"]
    torch.testing.assert_close(dip, losses(make("vae"), 0).minimise["vae"])


def test_dip_covariances_in_closed_form() -> None:
    """For equal stds, C is the covariance of two means; DIP-VAE-II adds std² to the diagonal."""
    from unbraid.methods.base import VAEOutput
    from unbraid.methods.dip_vae_i import DIPVAEI
    from unbraid.methods.dip_vae_ii import DIPVAEII

    mean = torch.tensor([[1.0, 3.0], [-1.0, -3.0]]).double()
    std = torch.tensor([[0.5, 2.0], [0.5, 2.0]]).double()
    zero = torch.zeros(2).double()
    code = VAEOutput(mean, std, mean, zero.sum(), zero)
    one, two = DIPVAEI(latent_dim=2), DIPVAEII(latent_dim=2)
    assert one.covariance(code).tolist() == [[1.0, 3.0], [3.0, 9.0]]
    assert two.covariance(code).tolist() == [[1.25, 3.0], [3.0, 13.0]]
    # λ_od (3² + 3²) + λ_d ((1 − 1)² + (9 − 1)²); DIP-VAE-II has another diagonal.
    assert one.regulariser(code, 0)[0].item() == pytest.approx(10 * 18 + 100 * 64)
    assert two.regulariser(code, 0)[0].item() == pytest.approx(10 * 18 + 10 * (0.25**2 + 12**2))


def test_dip_covariance_equals_the_covariance_of_samples() -> None:
    from unbraid.methods.base import VAEOutput
    from unbraid.methods.dip_vae_ii import DIPVAEII

    generator = torch.Generator().manual_seed(0)
    mean = (
        torch.randn(200_000, 2, generator=generator).double()
        @ torch.tensor([[1.0, 0.5], [0.0, 0.7]]).double()
    )
    std = torch.rand(200_000, 2, generator=generator).double() + 0.1
    z = mean + std * torch.randn(200_000, 2, generator=generator)
    code = VAEOutput(mean, std, z, mean.sum(), mean[0])
    # The largest entry's standard error is about 2 · √2/√200,000.
    error = DIPVAEII(latent_dim=2).covariance(code) - torch.cov(z.T, correction=0)
    assert error.abs().max() < 4 * 2 * 2**0.5 / 200_000**0.5


def test_the_predicted_category_has_the_best_reconstruction() -> None:
    method = make("cascade-vae")
    parts, x, _ = small_inputs(method)
    with torch.no_grad():
        mean, _ = parts["encoder"](x)
        result = method.predict_category(parts, x, mean)
        for image, category in enumerate(result):
            nlls = []
            for k in range(3):
                p = method.decode(parts, mean[image : image + 1], torch.tensor([k]))
                nlls.append(-torch.distributions.Bernoulli(p).log_prob(x[image]).sum())
            assert int(torch.stack(nlls).argmin()) == int(category)


def test_joint_vae_predicts_the_most_probable_category_and_decodes_it_as_one_hot() -> None:
    method = make("joint-vae")
    parts, x, _ = small_inputs(method)
    with torch.no_grad():
        mean, _, logits = parts["encoder"](x)
        category = method.predict_category(parts, x, mean)
        assert category.tolist() == [row.index(max(row)) for row in logits.tolist()]
        one_hot = torch.tensor([[float(k == int(c)) for k in range(3)] for c in category]).double()
        expected = parts["decoder"](torch.cat([mean, one_hot], dim=1)).sigmoid()
        torch.testing.assert_close(method.decode(parts, mean, category), expected)
        assert method.posterior(parts, x)[0].equal(mean)


def test_joint_vae_gradient_reaches_the_category() -> None:
    method = make("joint-vae", gamma=0.0)
    parts, x, noise = small_inputs(method)
    loss = method.losses(parts, x, noise, 100).minimise["vae"]
    head = dict(parts["encoder"].named_parameters())["head.weight"]
    (gradient,) = torch.autograd.grad(loss, [head])
    assert (gradient[-3:].abs().sum(dim=1) > 0).all()


def test_qlae_codes_are_values_of_the_codebook_of_their_dimension() -> None:
    method = make("qlae", codebook_size=3)
    parts, x, _ = small_inputs(method)
    with torch.no_grad():
        (values,) = parts["codebook"].parameters()
        values += 0.01 * torch.arange(4)[:, None]
        mean, std = method.posterior(parts, x)
        assert std is None
        for z in range(4):
            assert set(mean[:, z].tolist()) <= set(values[z].tolist())
        logits = parts["decoder"](mean)
        near = mean + 0.04  # less than half of the distance between two values
        torch.testing.assert_close(
            method.decode(parts, near, torch.zeros(6).long()), logits.sigmoid()
        )
        assert method.traversal_range(parts, 2.0) == (values.min().item(), values.max().item())


def test_qlae_passes_the_gradient_of_the_decoder_straight_through_to_the_encoder() -> None:
    method = make("qlae", quantization_weight=0.0, commitment_weight=0.0)
    parts, x, noise = small_inputs(method)
    c = parts["encoder"](x)[0]
    z = parts["codebook"](c).detach().requires_grad_()
    loss = distributions.bernoulli_nll(parts["decoder"](z), x).mean()
    (upstream,) = torch.autograd.grad(loss, [z])
    weights = [*parts["encoder"].parameters()]
    expected = torch.autograd.grad(c, weights, upstream)
    result = torch.autograd.grad(method.losses(parts, x, noise, 0).minimise["vae"], weights)
    torch.testing.assert_close(result, expected)
