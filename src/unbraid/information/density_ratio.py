"""KL divergence by a classifier between two samples, and samples of a product of marginals."""
# pyright: reportUnknownMemberType=false
# PyTorch does not annotate the parameters of its optimisers and of `backward`.

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unbraid.errors import ArgumentError

BATCH_SIZE = 256
LEARNING_RATE = 1e-3


def permute_dims(
    z_bz: Float[Tensor, "b z"], noise_bz: Float[Tensor, "b z"]
) -> Float[Tensor, "b z"]:
    """Permute each dimension independently across the batch.

    This turns a sample of q(z) into a sample of Π_j q(z_j). The permutations sort independent
    noise, so they are uniform.

    Parameters
    ----------
    z_bz : tensor, shape (b, z)
        Codes.
    noise_bz : tensor, shape (b, z)
        Independent continuous noise.

    Returns
    -------
    tensor, shape (b, z)
        Permuted codes.

    References
    ----------
    Kim and Mnih, "Disentangling by Factorising", 2018, Algorithm 1.

    Examples
    --------
    >>> z = torch.tensor([[1.0, 10.0], [2.0, 20.0]])
    >>> permute_dims(z, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([[ 1., 20.],
            [ 2., 10.]])
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
    """Estimate KL(p ‖ q) from samples: the mean of ln D/(1 − D) over p.

    D(z) is the probability that z is a sample of p, at equal priors; its optimum is p/(p + q). A
    classifier (two hidden layers, Adam at 1e-3) is trained on half of each sample, and the ratio is
    averaged over the other half of p. The estimate is too small if p and q hardly overlap, because
    finite samples do not show how far apart they are.

    Parameters
    ----------
    p_nz : tensor, shape (n, z)
        Samples of p, at least 4.
    q_nz : tensor, shape (m, z)
        Samples of q, at least 4.
    steps : int, default 1000
        Number of training steps.
    width : int, default 64
        Number of units per hidden layer.
    seed : int, default 0
        Seed for the weights and batches.

    Returns
    -------
    float
        Estimate in nats.

    Raises
    ------
    ArgumentError
        If there are fewer than 4 samples of p or q.

    References
    ----------
    Kim and Mnih, "Disentangling by Factorising", 2018, Eq. 3.
    """
    for name, sample in (("p_nz", p_nz), ("q_nz", q_nz)):
        if len(sample) < 4:
            raise ArgumentError(
                f"len({name})",
                len(sample),
                "must be at least 4: half of the samples train the classifier, half are averaged",
                "pass 4 samples or more",
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
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        for _ in range(steps):
            p = p_train[torch.randint(len(p_train), (BATCH_SIZE,))]
            q = q_train[torch.randint(len(q_train), (BATCH_SIZE,))]
            # −½[ln D(p) + ln(1 − D(q))], D the logistic function of the network's output.
            loss = functional.softplus(-network(p)).mean() + functional.softplus(network(q)).mean()
            optimizer.zero_grad()
            (loss / 2).backward()
            optimizer.step()
    with torch.no_grad():
        return network(p_test).mean().item()
