"""The loss of every method, written from its paper's equations, for the inputs of small_inputs."""

from collections.abc import Callable, Mapping

import torch
from tests.methods.small_inputs import STAGED
from torch import Tensor, nn
from torch.nn import functional

from unbraid.methods import Method

Noise = Mapping[str, Tensor]
Equation = Callable[[Method, nn.ModuleDict, Tensor, Noise, int], Tensor]


def vae_terms(parts: nn.ModuleDict, x: Tensor, noise_bz: Tensor) -> tuple[Tensor, ...]:
    """Compute mean, std, sample, mean KL per dimension and mean reconstruction."""
    mean, std, z, kl = encode(parts, x, noise_bz)
    return mean, std, z, kl, pixel_nll(parts, z, x).mean()


def encode(parts: nn.ModuleDict, x: Tensor, noise_bz: Tensor) -> tuple[Tensor, ...]:
    mean, std = parts["encoder"](x)[:2]
    kl = (0.5 * (mean**2 + std**2 - 1) - std.log()).mean(dim=0)
    return mean, std, mean + std * noise_bz, kl


def pixel_nll(parts: nn.ModuleDict, code: Tensor, x: Tensor) -> Tensor:
    p = parts["decoder"](code).sigmoid()
    return -(x * p.log() + (1 - x) * (1 - p).log()).sum(dim=(1, 2, 3))


def weighted_kl(method: Method, parts: nn.ModuleDict, x: Tensor, noise: Noise, step: int) -> Tensor:
    _, _, _, kl, reconstruction = vae_terms(parts, x, noise["z"])
    return reconstruction + (torch.tensor(method.betas(step)).double() * kl).sum()


def cascade_vae(method: Method, parts: nn.ModuleDict, x: Tensor, noise: Noise, step: int) -> Tensor:
    _, _, z, kl = encode(parts, x, noise["z"])
    is_open = step >= STAGED["stage_steps"] * STAGED["warmup_stages"]
    candidates = (torch.eye(3) if is_open else torch.zeros(1, 3)).double()
    nll_kb = torch.stack(
        [pixel_nll(parts, torch.cat([z, d.expand(6, 3)], 1), x) for d in candidates]
    )
    beta = torch.tensor(method.betas(step)).double()
    return nll_kb.min(dim=0).values.mean() + (beta * kl).sum()


def chart_vae(method: Method, parts: nn.ModuleDict, x: Tensor, noise: Noise, step: int) -> Tensor:
    """Without a survey there are no pseudo-labels, so every image gets its best category."""
    _, _, z, kl = encode(parts, x, noise["z"])
    after_survey = step >= STAGED["survey_step"]
    beta = 1.5 if after_survey else 200 * 100 ** -(step / STAGED["beta_anneal_steps"])
    candidates = (torch.eye(3) if after_survey else torch.zeros(1, 3)).double()
    nll_kb = torch.stack(
        [pixel_nll(parts, torch.cat([z, d.expand(6, 3)], 1), x) for d in candidates]
    )
    return nll_kb.min(dim=0).values.mean() + beta * kl.sum()


def annealed_vae(
    method: Method, parts: nn.ModuleDict, x: Tensor, noise: Noise, step: int
) -> Tensor:
    _, _, _, kl, reconstruction = vae_terms(parts, x, noise["z"])
    return reconstruction + 1000 * (kl.sum() - 25 * min(step / 10, 1)).abs()


def factor_vae(method: Method, parts: nn.ModuleDict, x: Tensor, noise: Noise, step: int) -> Tensor:
    _, _, z, kl, reconstruction = vae_terms(parts, x[:3], noise["z"])
    d = parts["discriminator"](z).softmax(dim=1)
    return reconstruction + kl.sum() + 35 * (d[:, 0].log() - d[:, 1].log()).mean()


def discriminator(parts: nn.ModuleDict, x: Tensor, noise: Noise) -> Tensor:
    """−(1/2b) Σ [ln D(z) + ln(1 − D(z′))], z′ from the second batch, permuted by Algorithm 1."""
    order = noise["order"].argsort(dim=0)
    z = vae_terms(parts, x[:3], noise["z"])[2]
    other = vae_terms(parts, x[3:], noise["z_second"])[2]
    shuffled = torch.stack([other[order[:, j], j] for j in range(4)], dim=1)
    logits = torch.cat([parts["discriminator"](z), parts["discriminator"](shuffled)])
    return functional.cross_entropy(logits, torch.tensor([0, 0, 0, 1, 1, 1]))


def beta_tcvae(method: Method, parts: nn.ModuleDict, x: Tensor, noise: Noise, step: int) -> Tensor:
    """Weighted sampling: weight 1/(N b) for each of the 6 images of the batch."""
    weights = torch.full((6, 6), 1 / (6 * 737_280), dtype=torch.float64)
    return beta_tcvae_with(weights, parts, x, noise)


def stratified_beta_tcvae(
    method: Method, parts: nn.ModuleDict, x: Tensor, noise: Noise, step: int
) -> Tensor:
    """Weight 1/N for the image of the sample; the mean of the paper's weights for the others.

    With M = 5 these are 1/M for M − 1 images and (N − M)/(N M) for one.
    """
    n, m = 737_280, 5
    weights = torch.full((6, 6), ((m - 1) / m + (n - m) / (n * m)) / m, dtype=torch.float64)
    return beta_tcvae_with(weights.fill_diagonal_(1 / n), parts, x, noise)


def beta_tcvae_with(weights_ac: Tensor, parts: nn.ModuleDict, x: Tensor, noise: Noise) -> Tensor:
    mean, std, z, _, reconstruction = vae_terms(parts, x, noise["z"])
    q = torch.distributions.Normal(mean, std)
    log_q_given_x = q.log_prob(z).sum(dim=1)
    q_acz = torch.stack([q.log_prob(row).exp() for row in z])  # sample a, image c, dimension z
    log_q = (weights_ac * q_acz.prod(dim=2)).sum(dim=1).log()
    log_qi = (weights_ac[:, :, None] * q_acz).sum(dim=1).log()
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(z)
    terms = log_q_given_x - log_q + 6 * (log_q - log_qi.sum(1)) + (log_qi - log_p).sum(1)
    return reconstruction + terms.mean()


def dip_vae_i(method: Method, parts: nn.ModuleDict, x: Tensor, noise: Noise, step: int) -> Tensor:
    mean, _, _, kl, reconstruction = vae_terms(parts, x, noise["z"])
    c = torch.cov(mean.T, correction=0)
    off = (c - c.diag().diag()).square().sum()
    return reconstruction + kl.sum() + 10 * off + 100 * (c.diag() - 1).square().sum()


def dip_vae_ii(method: Method, parts: nn.ModuleDict, x: Tensor, noise: Noise, step: int) -> Tensor:
    mean, std, _, kl, reconstruction = vae_terms(parts, x, noise["z"])
    c = torch.cov(mean.T, correction=0) + (std**2).mean(dim=0).diag()
    off = (c - c.diag().diag()).square().sum()
    return reconstruction + kl.sum() + 10 * off + 10 * (c.diag() - 1).square().sum()


def joint_vae(method: Method, parts: nn.ModuleDict, x: Tensor, noise: Noise, step: int) -> Tensor:
    _, _, z, kl = encode(parts, x, noise["z"])
    q = parts["encoder"](x)[2].softmax(dim=1)
    uniform = torch.distributions.Normal(0.0, 1.0).cdf(noise["d"])
    d = ((q.log() - (-uniform.log()).log()) / 0.67).exp()
    d = d / d.sum(dim=1, keepdim=True)
    kl_d = (q * (3 * q).log()).sum(dim=1).mean()
    rise = min(step / 10, 1)
    capacity_d = min(1.1 * rise, torch.tensor(3.0).double().log().item())
    off = (kl.sum() - 40 * rise).abs() + (kl_d - capacity_d).abs()
    return pixel_nll(parts, torch.cat([z, d], dim=1), x).mean() + 150 * off


def qlae(method: Method, parts: nn.ModuleDict, x: Tensor, noise: Noise, step: int) -> Tensor:
    c = parts["encoder"](x)[0]
    values = torch.linspace(-0.5, 0.5, 10).double()
    z = values[(c[:, :, None] - values).abs().argmin(dim=2)]
    return pixel_nll(parts, z, x).mean() + 2 * 4.096 * (c - z).square().mean()


EQUATIONS: dict[str, Equation] = {
    "vae": weighted_kl,
    "beta-vae": weighted_kl,
    "cascade-vae-c": weighted_kl,
    "cascade-vae": cascade_vae,
    "chart-vae": chart_vae,
    "annealed-vae": annealed_vae,
    "factor-vae": factor_vae,
    "beta-tcvae": beta_tcvae,
    "dip-vae-i": dip_vae_i,
    "dip-vae-ii": dip_vae_ii,
    "joint-vae": joint_vae,
    "qlae": qlae,
}
