"""KL by telling two samples apart, and a product of marginals by shuffling."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unbraid.errors import UserError


def permute_dims(
    z_bz: Float[Tensor, "b z"], noise_bz: Float[Tensor, "b z"]
) -> Float[Tensor, "b z"]:
    """Each dimension's values in an order of its own: a sample of Π_j q(z_j) from one of q(z).

    Kim & Mnih 2018, Algorithm 1. The order is that of independent noise, a uniform permutation.
    """
    return z_bz.gather(0, noise_bz.argsort(dim=0))


def kl_by_density_ratio(
    p_nz: Float[Tensor, "n z"],
    q_nz: Float[Tensor, "_ z"],
    *,
    steps: int = 1_000,
    width: int = 64,
    seed: int = 0,
) -> float:
    """KL(p ‖ q) from samples alone: the mean over p of ln D/(1 − D), nats.

    D, the chance that a sample is p's at equal priors, is p/(p + q) at its optimum; it is learned
    on half of each sample (two hidden layers, Adam at 1e-3) and its ratio averaged over the rest.
    A learned D is not the optimum: once the two hardly overlap, a finite sample does not show how
    far apart they lie, and the estimate falls short of the KL by more and more. UserError for
    fewer than 4 samples.
    """
    least = min(len(p_nz), len(q_nz))
    if least < 4:
        raise UserError(
            f"{least} samples: half of them teach the classifier and half are averaged; give 4 or"
            " more of each"
        )
    p_train, p_test = p_nz.tensor_split(2)
    q_train = q_nz.tensor_split(2)[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(p_nz.shape[1], width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 1),
        ).to(p_nz)
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
        for _ in range(steps):
            p = p_train[torch.randint(len(p_train), (256,))]
            q = q_train[torch.randint(len(q_train), (256,))]
            # −½[ln D(p) + ln(1 − D(q))] with D the logistic function of the network's output.
            loss = functional.softplus(-network(p)).mean() + functional.softplus(network(q)).mean()
            optimiser.zero_grad()
            (loss / 2).backward()
            optimiser.step()
    with torch.no_grad():
        return network(p_test).mean().item()
