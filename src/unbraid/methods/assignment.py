"""CascadeVAE's discrete code: exact minimisation over a batch.

Jeong & Song 2019, Eq. 8: minimise Σ_b cost[b, d_b] + λ′ Σ_{a<b} 1[d_a = d_b] over all d. The
pair penalty of a category with n samples is λ′ n(n−1)/2, so its n-th sample adds λ′(n−1): the
penalty is convex in the counts, and the problem is a min-cost flow.

The algorithm exchanges samples between categories. For given counts, the lowest cost is an M-convex
function of the counts. The sum with a separable convex function is M-convex too, and for such a
function a point that no exchange of one unit between two categories improves is a global minimum
(Murota 2003, Discrete Convex Analysis, Theorem 6.26), which steepest descent reaches. One unit
moves from category i to category j along the shortest path i → … → j, where the length of an arc
u → v is the smallest extra cost of moving a sample from u to v.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Limit of exchanges, and whether a search needed more, of each active `bounded` context.
_bounds: list[tuple[int, list[Tensor]]] = []


def assign(cost_bk: Float[Tensor, "b k"], pair_penalty: float) -> Int[Tensor, " b"]:
    """Assign a category to each sample of a batch at the lowest total cost, exactly.

    Ties are broken arbitrarily. Under `torch.vmap` all batches are solved at once.

    Parameters
    ----------
    cost_bk : tensor, shape (b, k)
        Cost of each category for each sample, nats.
    pair_penalty : float
        λ′, cost of each pair in the same category, 0 or more, nats.

    Returns
    -------
    tensor of int, shape (b,)
        Categories that minimise `total`.

    References
    ----------
    Jeong and Song, "Learning Discrete and Continuous Factors of Data via Alternating
    Disentanglement", 2019, Eq. 8.

    Examples
    --------
    >>> cost = torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 9.0]])
    >>> assign(cost, pair_penalty=0.1).tolist()
    [0, 0, 0]
    >>> assign(cost, pair_penalty=0.8).tolist()
    [1, 0, 0]
    """
    return _Assign.apply(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        cost_bk, pair_penalty
    )


def assign_each(cost_pbk: Float[Tensor, "p b k"], pair_penalty: float) -> Int[Tensor, "p b"]:
    """Assign categories to the samples of p independent batches at once, as `assign` does.

    Parameters
    ----------
    cost_pbk : tensor, shape (p, b, k)
        Cost of each category for each sample of each batch, nats.
    pair_penalty : float
        λ′, cost of each pair in the same category, 0 or more, nats.

    Returns
    -------
    tensor of int, shape (p, b)
        Categories.

    Examples
    --------
    >>> assign_each(torch.zeros(2, 4, 2), pair_penalty=1.0).sum(dim=1).tolist()
    [2, 2]
    """
    cost = cost_pbk.double()
    category_pb = cost.argmin(dim=2)
    tolerance = 1e-12 * (cost.abs().amax() + pair_penalty * cost.shape[1])
    limit, unsettled = _bounds[-1] if _bounds else (None, [])
    for exchange in itertools.count():
        gain_p, start_p, end_p, moves, after = _best_exchange(cost, category_pb, pair_penalty)
        active_p = gain_p < -tolerance
        if exchange == limit:
            unsettled.append(active_p.any())
            break
        if limit is None and not bool(active_p.any()):
            break
        _apply(category_pb, active_p, start_p, end_p, moves, after)
    return category_pb


@contextlib.contextmanager
def bounded(exchanges: int) -> Generator[list[Tensor]]:
    """Limit the exchanges of every search in this context, without synchronising with the device.

    A search needs few exchanges if λ′ b is small compared with the differences between costs, and
    never more than b.

    Parameters
    ----------
    exchanges : int
        Number of exchanges of each search.

    Yields
    ------
    list of scalar bool tensor
        For each search, whether it needed more exchanges; then its result may not be the minimum.
    """
    unsettled: list[Tensor] = []
    _bounds.append((exchanges, unsettled))
    try:
        yield unsettled
    finally:
        _bounds.pop()


def total(
    cost_bk: Float[Tensor, "b k"], category_b: Int[Tensor, " b"], pair_penalty: float
) -> Float[Tensor, ""]:
    """Compute the total cost that `assign` minimises.

    Parameters
    ----------
    cost_bk : tensor, shape (b, k)
        Cost of each category for each sample, nats.
    category_b : tensor of int, shape (b,)
        Category of each sample.
    pair_penalty : float
        λ′, cost of each pair in the same category, nats.

    Returns
    -------
    scalar tensor
        Σ_b cost[b, d_b] + λ′ Σ_{a<b} 1[d_a = d_b], nats over the whole batch.

    Examples
    --------
    >>> cost = torch.tensor([[1.0, 5.0], [2.0, 5.0], [4.0, 0.5]])
    >>> total(cost, torch.tensor([0, 0, 1]), pair_penalty=0.25)
    tensor(3.7500)
    """
    counts_k = torch.bincount(category_b, minlength=cost_bk.shape[1]).to(cost_bk.dtype)
    unary = cost_bk.gather(1, category_b[:, None]).sum()
    return unary + pair_penalty * (counts_k * (counts_k - 1)).sum() / 2


def _best_exchange(
    cost_pbk: Float[Tensor, "p b k"], category_pb: Int[Tensor, "p b"], pair_penalty: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Find the best exchange of one unit between two categories, for each problem.

    Returns the change of the total cost, the two categories, the sample that moves along each arc,
    and the next category on the shortest path between any two.
    """
    p, _, k = cost_pbk.shape
    current_pb1 = cost_pbk.gather(2, category_pb[:, :, None])
    member_pbk = torch.nn.functional.one_hot(category_pb, k).bool()
    # distance_pij: smallest extra cost of moving one sample of category i to category j.
    extra_pbij = (cost_pbk - current_pb1)[:, :, None, :].expand(-1, -1, k, -1)
    extra_pbij = extra_pbij.masked_fill(~member_pbk[..., None], torch.inf)
    distance_pij, mover_pij = extra_pbij.min(dim=1)
    diagonal = torch.arange(k, device=cost_pbk.device)
    distance_pij[:, diagonal, diagonal] = 0.0
    after_pij = diagonal.expand(p, k, k).clone()
    for middle in range(k):
        through_pij = distance_pij[:, :, middle, None] + distance_pij[:, None, middle, :]
        shorter_pij = through_pij < distance_pij
        distance_pij = torch.where(shorter_pij, through_pij, distance_pij)
        after_pij = torch.where(shorter_pij, after_pij[:, :, middle, None], after_pij)
    counts_pk = member_pbk.sum(dim=1)
    crowding_pij = (counts_pk[:, None, :] - counts_pk[:, :, None] + 1).to(cost_pbk.dtype)
    change_pij = distance_pij + pair_penalty * crowding_pij
    change_pij[:, diagonal, diagonal] = 0.0
    gain_p, flat_p = change_pij.flatten(1).min(dim=1)
    return gain_p, flat_p // k, flat_p % k, mover_pij, after_pij


def _apply(
    category_pb: Int[Tensor, "p b"],
    active_p: Tensor,
    start_p: Tensor,
    end_p: Tensor,
    mover_pij: Tensor,
    after_pij: Tensor,
) -> None:
    """Move one sample along each arc of the path of every active problem, in place."""
    here_p = start_p
    for _ in range(mover_pij.shape[1] - 1):
        moving_p = active_p & (here_p != end_p)
        # In other problems, a sample is assigned the category that it already has.
        problem_p = torch.arange(len(here_p), device=here_p.device)
        following_p = torch.where(moving_p, after_pij[problem_p, here_p, end_p], here_p)
        mover_p1 = mover_pij[problem_p, here_p, following_p][:, None]
        current_p1 = category_pb.gather(1, mover_p1)
        category_pb.scatter_(
            1, mover_p1, torch.where(moving_p, following_p, current_p1[:, 0])[:, None]
        )
        here_p = following_p


class _Assign(torch.autograd.Function):
    """`assign_each` for one batch; under vmap, the batched axis becomes the axis p."""

    @staticmethod
    def forward(cost_bk: Tensor, pair_penalty: float) -> Tensor:
        return assign_each(cost_bk[None], pair_penalty)[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        cost, pair_penalty = args
        return assign_each(cost.movedim(in_dims[0] or 0, 0), pair_penalty), 0
