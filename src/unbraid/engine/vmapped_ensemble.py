"""Members on a GPU: the one file that knows the member axis.

Models, methods and optimisers are those of one run. Here every weight gets an axis m in front,
`torch.vmap` takes the objective over it, and one step moves all members. Adam works on each number
by itself, so one Adam on the stack is m of them.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from unbraid.engine.device_dataset import DeviceDataset
from unbraid.engine.state import State, optimiser
from unbraid.engine.trainer import LOG_EVERY
from unbraid.methods import Method, assignment
from unbraid.runs import noise
from unbraid.runs.precision import computing_in

# Of an assignment, while the device is not asked; whoever needs more is computed again.
EXCHANGES = 8


class VmappedEnsemble:
    """Members of one configuration at one step, as one; `exchanges` as in `assignment.bounded`."""

    def __init__(
        self, states: list[State], pictures: DeviceDataset, *, exchanges: int | None = None
    ) -> None:
        config, device = states[0].config, pictures.device
        assert config.method.supports_vmap, config.method.name
        self.states, self.step = states, states[0].step
        self._config, self._method, self._pictures = config, config.method, pictures
        self._objective = _Objective(config.method, states[0].parts)
        named = [dict(state.parts.named_parameters()) for state in states]
        self._weights = {
            name: torch.stack([weights[name].detach() for weights in named]).requires_grad_()
            for name in named[0]
        }
        self._optimisers = {name: self._stacked_adam(name) for name in config.method.groups()}
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._reported: list[str] = []
        self._finite_m = torch.ones(len(states), dtype=torch.bool, device=device)
        self._unsettled = torch.zeros((), dtype=torch.bool, device=device)
        self._exchanges = exchanges
        self._inputs = {name: drawn[0].clone() for name, drawn in self._draw(0, 1).items()}
        self._ahead: dict[tuple[int, int], dict[str, Tensor]] = {}
        self._captured: _Captured | None = None
        if device.type == "cuda":
            self._exchanges = EXCHANGES
            self._captured = _Captured(self._method)

    def run(self, end: int) -> list[bool]:
        """Take the steps up to `end`, then say of each member whether its losses were finite.

        The device is asked nothing before that. If an assignment was not settled by the exchanges
        that it had, all is taken back and done again with as many as it needs.
        """
        before = [tensor.detach().clone() for tensor in self._moving()]
        draws = self._ahead.pop((self.step, end), None) or self._draw(self.step, end)
        self._steps(draws, end, self._launch)
        further = min(end + LOG_EVERY, self._config.budget.steps)
        self._ahead = {(end, further): self._draw(end, further)}
        if bool(self._unsettled):
            for tensor, old in zip(self._moving(), before, strict=True):
                tensor.detach().copy_(old)
            for tensor in (*self._sums.values(), self._unsettled):
                tensor.zero_()
            self._finite_m.fill_(True)
            bound, self._exchanges = self._exchanges, None
            self._steps(draws, end, self._take)
            self._exchanges = bound
        self.step = end
        for member, state in enumerate(self.states):
            state.step = end
            for name, count in self._counts.items():
                state.sums[name] = state.sums.get(name, 0.0) + self._sums[name][member]
                state.counts[name] = state.counts.get(name, 0) + count
        for total in self._sums.values():
            total.zero_()
        return self._finite_m.tolist()

    def _launch(self, step: int) -> None:
        # Nothing here refers to itself: the device's memory is free as soon as nobody holds this.
        if self._captured is None:
            self._take(step)
        else:
            self._captured(self._take, step)

    def unstack(self) -> None:
        """Bring the weights and the optimisers of every member's state up to date."""
        for member, state in enumerate(self.states):
            for group, adam in self._optimisers.items():
                for name, parameter in state.named_parameters(group).items():
                    stacked = self._weights[name]
                    parameter.detach().copy_(stacked[member].detach())
                    state.optimisers[group].state[parameter] = {
                        key: (value[member] if value.ndim else value).clone()
                        for key, value in adam.state[stacked].items()
                    }

    def _stacked_adam(self, group: str) -> torch.optim.Adam:
        names = self.states[0].named_parameters(group)
        adam = optimiser(
            self._method.groups()[group], [self._weights[name] for name in names], axes=1
        )
        for name, own in names.items():
            weight = self._weights[name]
            adam.state[weight] = {
                "step": torch.zeros((), dtype=torch.float32, device=weight.device),
                "exp_avg": torch.zeros_like(weight),
                "exp_avg_sq": torch.zeros_like(weight),
            }
            if self.states[0].optimisers[group].state[own]:
                olds = [
                    state.optimisers[group].state[state.named_parameters(group)[name]]
                    for state in self.states
                ]
                for key, tensor in adam.state[weight].items():
                    old = torch.stack([old[key] for old in olds])
                    tensor.copy_(old if tensor.ndim else old[0])
        return adam

    def _moving(self) -> list[Tensor]:
        """All that a step changes of the members."""
        moments = [
            tensor
            for adam in self._optimisers.values()
            for state in adam.state.values()
            for tensor in state.values()
        ]
        return [*self._weights.values(), *moments]

    def _draw(self, start: int, end: int) -> dict[str, Tensor]:
        """What is random in these steps: by name, one row a step and in it one a member."""
        images = self._config.budget.batch_size * self._method.batches_per_step
        shapes = self._method.noise_shapes(images)
        rows: dict[str, list[Tensor]] = {}
        for step in range(start, end):
            for seed in [state.config.seed for state in self.states]:
                drawn = noise.normal(seed, step, shapes)
                drawn["batch"] = noise.batch_indices(seed, step, self._pictures.items, images)
                for name, tensor in drawn.items():
                    rows.setdefault(name, []).append(tensor)
        device = self._pictures.device
        return {
            name: torch.stack(tensors).unflatten(0, (-1, len(self.states))).to(device)
            for name, tensors in rows.items()
        }

    def _steps(self, draws: dict[str, Tensor], end: int, launch: Callable[[int], None]) -> None:
        self._counts = {}
        for number, step in enumerate(range(self.step, end)):
            if self._method.resets_optimizer(step):
                for adam in self._optimisers.values():
                    for state in adam.state.values():
                        for tensor in state.values():
                            tensor.zero_()
            for name, tensor in self._inputs.items():
                tensor.copy_(draws[name][number])
            launch(step)
            for name in self._reported:
                self._counts[name] = self._counts.get(name, 0) + 1

    def _take(self, step: int) -> None:
        """One step of every member, from `_inputs`."""

        def losses(
            weights: dict[str, Tensor], x: Tensor, drawn: dict[str, Tensor]
        ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            return functional_call(self._objective, weights, (x, drawn, step))

        drawn = {name: tensor for name, tensor in self._inputs.items() if name != "batch"}
        x_mbchw = self._pictures.images(self._inputs["batch"])
        weights = {f"parts.{name}": weight for name, weight in self._weights.items()}
        with warnings.catch_warnings(), contextlib.ExitStack() as how:
            # Of a function that vmap takes member by member, as JointVAE's Gumbel noise.
            warnings.filterwarnings("ignore", "There is a performance drop")
            how.enter_context(computing_in(self._config.precision, self._pictures.device))
            how.enter_context(_Plain())
            unsettled = []
            if self._exchanges is not None:
                unsettled = how.enter_context(assignment.bounded(self._exchanges))
            minimise, report = torch.vmap(losses)(weights, x_mbchw, drawn)
        for flag in unsettled:
            self._unsettled.logical_or_(flag)
        for group, loss_m in minimise.items():
            self._finite_m.logical_and_(loss_m.detach().isfinite())
            moved = [self._weights[name] for name in self.states[0].named_parameters(group)]
            gradients = torch.autograd.grad(loss_m.sum(), moved, retain_graph=len(minimise) > 1)
            for weight, gradient in zip(moved, gradients, strict=True):
                weight.grad = torch.empty_like(weight).copy_(gradient)
        for adam in self._optimisers.values():
            adam.step()
        for name, value in report.items():
            if name not in self._sums:
                self._sums[name] = torch.zeros_like(value)
            self._sums[name] += value.detach()
        self._reported = list(report)


class _Objective(nn.Module):
    """A method's losses as a module's forward pass, for `functional_call`."""

    def __init__(self, method: Method, parts: nn.ModuleDict) -> None:
        super().__init__()
        self._method, self.parts = method, copy.deepcopy(parts)

    def forward(
        self, x: Tensor, drawn: dict[str, Tensor], step: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        losses = self._method.losses(self.parts, x, drawn, step)
        return losses.minimise, losses.report


class _Plain(TorchFunctionMode):
    """Layouts are left to torch, as vmap asks; small constants are made on the device itself."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.contiguous:
            return args[0]
        if func is Tensor.new_tensor:
            like, value = args
            if isinstance(value, tuple | list):
                return torch.stack([like.new_full((), v) for v in value])
            return like.new_full((), value)
        return func(*args, **(kwargs or {}))


class _Captured:
    """A step as one CUDA graph, captured anew in each phase of the schedule.

    The first step of a phase is taken as it is, which also readies what a capture needs; where
    every step is a phase of its own, all are.
    """

    def __init__(self, method: Method) -> None:
        self._method = method
        self._phase: Hashable = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, take: Callable[[int], None], step: int) -> None:
        phase = self._method.phase(step)
        if phase != self._phase:
            self._phase, self._graph = phase, None
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                take(step)
            torch.cuda.current_stream().wait_stream(side)
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                take(step)
        self._graph.replay()
