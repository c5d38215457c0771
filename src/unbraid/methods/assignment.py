"""CascadeVAE's discrete code: the exact minimiser over a batch.

Jeong & Song 2019, Eq. 8: minimise Σ_b cost[b, d_b] + λ′ Σ_{a<b} 1[d_a = d_b] over all d. The
pairwise term of a class with n samples is λ′ n(n−1)/2, so the k-th sample costs λ′(k−1) more:
convex in the counts, hence a min-cost flow.

The optimum is reached by exchanges. With the counts given, the best cost is an M-convex function
of them; the sum with a separable convex function is M-convex again, and for such a function a
point that no exchange of one unit between two classes improves is a global minimum (Murota 2003,
Discrete Convex Analysis, Theorem 6.26), which steepest descent reaches. One unit from class i to
class j moves along the shortest path i → … → j, where an arc u → v is the cheapest move of a
sample in u to v.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Exchanges that a search may take, and whether some search would have taken more; see `bounded`.
_bounds: list[tuple[int, list[Tensor]]] = []


def assign(cost_bk: Float[Tensor, "b k"], pair_penalty: float) -> Int[Tensor, " b"]:
    """The category of each sample of a batch, exactly. Costs and λ′ ≥ 0 in nats.

    Ties are settled by whatever order the search meets them in; the total is the minimum. Under
    `torch.vmap` all batches are searched at once.
    """
    return _Assign.apply(cost_bk, pair_penalty)


def assign_each(cost_pbk: Float[Tensor, "p b k"], pair_penalty: float) -> Int[Tensor, "p b"]:
    """`assign` for p independent batches at once."""
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
def bounded(exchanges: int) -> Iterator[list[Tensor]]:
    """Searches of just so many exchanges, which never wait for the device to tell its progress.

    Gives a list to which every search adds whether it would have gone on: if one is true, what was
    found may not be the minimum. A search takes few exchanges where λ′ b is small beside the
    costs' differences, and b at most.
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
    """What `assign` minimises, nats over the whole batch."""
    counts_k = torch.bincount(category_b, minlength=cost_bk.shape[1]).to(cost_bk.dtype)
    unary = cost_bk.gather(1, category_b[:, None]).sum()
    return unary + pair_penalty * (counts_k * (counts_k - 1)).sum() / 2


def _best_exchange(
    cost_pbk: Float[Tensor, "p b k"], category_pb: Int[Tensor, "p b"], pair_penalty: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The best move of one unit between two classes, per problem.

    Returns its gain, its two classes, the sample that moves along each arc, and the next class
    on the shortest path between any two.
    """
    p, _, k = cost_pbk.shape
    current_pb1 = cost_pbk.gather(2, category_pb[:, :, None])
    member_pbk = torch.nn.functional.one_hot(category_pb, k).bool()
    # arc[p, i, j]: the least extra cost of moving one sample of class i to class j.
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
    """Move one sample along every arc of each active problem's path, in place."""
    here_p = start_p
    for _ in range(mover_pij.shape[1] - 1):
        walking_p = active_p & (here_p != end_p)
        # Where nobody walks, a sample is given the category that it has.
        problem_p = torch.arange(len(here_p), device=here_p.device)
        following_p = torch.where(walking_p, after_pij[problem_p, here_p, end_p], here_p)
        mover_p1 = mover_pij[problem_p, here_p, following_p][:, None]
        own_p1 = category_pb.gather(1, mover_p1)
        category_pb.scatter_(
            1, mover_p1, torch.where(walking_p, following_p, own_p1[:, 0])[:, None]
        )
        here_p = following_p


class _Assign(torch.autograd.Function):
    """`assign_each` for one batch; a batch axis that vmap adds becomes its problems."""

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
