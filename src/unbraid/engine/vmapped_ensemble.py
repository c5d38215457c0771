"""An ensemble: members trained in the same step, with weights stacked along a member axis.

Models, methods and optimisers are written for one run. Only this file adds a leading axis m to
every weight, over which `torch.vmap` maps the objective. Adam is elementwise, so one Adam for the
stacked weights equals one Adam per member.
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
from unbraid.engine.session import LOG_EVERY
from unbraid.engine.state import State, optimiser
from unbraid.methods import Method, assignment
from unbraid.runs import noise
from unbraid.runs.precision import computing_in

# Bound on the exchanges per assignment, which avoids synchronising with the device. Steps that need
# more exchanges are repeated without a bound.
MAX_EXCHANGES = 8


class VmappedEnsemble:
    """Members of one configuration at the same step, trained together.

    Parameters
    ----------
    states : list of State
        State of each member.
    dataset : DeviceDataset
        Dataset of all members.
    max_exchanges : int, optional
        Bound on the exchanges of an assignment, as in `assignment.bounded`. By default there is
        none on a CPU, and `MAX_EXCHANGES` on a GPU.
    """

    def __init__(
        self, states: list[State], dataset: DeviceDataset, *, max_exchanges: int | None = None
    ) -> None:
        config, device = states[0].config, dataset.device
        assert config.method.supports_vmap, config.method.name
        self.states, self.step = states, states[0].step
        self._config, self._method, self._dataset = config, config.method, dataset
        self._objective = _Objective(config.method, states[0].parts)
        parameters = [dict(state.parts.named_parameters()) for state in states]
        self._weights = {
            name: torch.stack([weights[name].detach() for weights in parameters]).requires_grad_()
            for name in parameters[0]
        }
        self._optimisers = {name: self._stacked_adam(name) for name in config.method.groups()}
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._reported: list[str] = []
        self._finite_m = torch.ones(len(states), dtype=torch.bool, device=device)
        self._unsettled = torch.zeros((), dtype=torch.bool, device=device)
        self._max_exchanges = max_exchanges
        self._inputs = {name: draws[0].clone() for name, draws in self._draw(0, 1).items()}
        self._ahead: dict[tuple[int, int], dict[str, Tensor]] = {}
        self._graph: _CudaGraphStep | None = None
        if device.type == "cuda":
            self._max_exchanges = MAX_EXCHANGES
            self._graph = _CudaGraphStep(self._method)

    def run(self, end: int) -> list[bool]:
        """Train up to step `end`; return for each member whether all its losses were finite.

        The host does not synchronise with the device before the end. If an assignment needed more
        exchanges than its bound, all steps are undone and repeated without a bound.
        """
        before = [tensor.detach().clone() for tensor in self._mutable_tensors()]
        draws = self._ahead.pop((self.step, end), None) or self._draw(self.step, end)
        self._run_steps(draws, end, self._launch)
        next_end = min(end + LOG_EVERY, self._config.budget.steps)
        self._ahead = {(end, next_end): self._draw(end, next_end)}
        if bool(self._unsettled):
            for tensor, old in zip(self._mutable_tensors(), before, strict=True):
                tensor.detach().copy_(old)
            for tensor in (*self._sums.values(), self._unsettled):
                tensor.zero_()
            self._finite_m.fill_(True)
            bound, self._max_exchanges = self._max_exchanges, None
            self._run_steps(draws, end, self._step)
            self._max_exchanges = bound
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
        # Passing the step, not storing it, avoids a reference cycle that would keep GPU memory.
        if self._graph is None:
            self._step(step)
        else:
            self._graph(self._step, step)

    def update_states(self) -> None:
        """Copy the weights and the optimisers to the members' states."""
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
        for name, parameter in names.items():
            weight = self._weights[name]
            adam.state[weight] = {
                "step": torch.zeros((), dtype=torch.float32, device=weight.device),
                "exp_avg": torch.zeros_like(weight),
                "exp_avg_sq": torch.zeros_like(weight),
            }
            if self.states[0].optimisers[group].state[parameter]:
                states = [
                    state.optimisers[group].state[state.named_parameters(group)[name]]
                    for state in self.states
                ]
                for key, tensor in adam.state[weight].items():
                    stacked = torch.stack([state[key] for state in states])
                    tensor.copy_(stacked if tensor.ndim else stacked[0])
        return adam

    def _mutable_tensors(self) -> list[Tensor]:
        """Return all tensors of the members that a step changes."""
        moments = [
            tensor
            for adam in self._optimisers.values()
            for state in adam.state.values()
            for tensor in state.values()
        ]
        return [*self._weights.values(), *moments]

    def _draw(self, start: int, end: int) -> dict[str, Tensor]:
        """Draw the noise and the batches of these steps, by name, of shape (steps, m, …)."""
        images = self._config.budget.batch_size * self._method.batches_per_step
        shapes = self._method.noise_shapes(images)
        rows: dict[str, list[Tensor]] = {}
        for step in range(start, end):
            for seed in [state.config.seed for state in self.states]:
                draws = noise.normal(seed, step, shapes)
                draws["batch"] = noise.batch_indices(seed, step, self._dataset.items, images)
                for name, tensor in draws.items():
                    rows.setdefault(name, []).append(tensor)
        device = self._dataset.device
        return {
            name: torch.stack(tensors).unflatten(0, (-1, len(self.states))).to(device)
            for name, tensors in rows.items()
        }

    def _run_steps(self, draws: dict[str, Tensor], end: int, launch: Callable[[int], None]) -> None:
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

    def _step(self, step: int) -> None:
        """Train every member one step on `_inputs`."""

        def losses(
            weights: dict[str, Tensor], x: Tensor, draws: dict[str, Tensor]
        ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            return functional_call(self._objective, weights, (x, draws, step))

        draws = {name: tensor for name, tensor in self._inputs.items() if name != "batch"}
        x_mbchw = self._dataset.images(self._inputs["batch"])
        weights = {f"parts.{name}": weight for name, weight in self._weights.items()}
        with warnings.catch_warnings(), contextlib.ExitStack() as contexts:
            # vmap warns if it loops over the members, as it does for JointVAE's Gumbel noise.
            warnings.filterwarnings("ignore", "There is a performance drop")
            contexts.enter_context(computing_in(self._config.precision, self._dataset.device))
            contexts.enter_context(_VmapCompatible())
            unsettled = []
            if self._max_exchanges is not None:
                unsettled = contexts.enter_context(assignment.bounded(self._max_exchanges))
            minimise, report = torch.vmap(losses)(weights, x_mbchw, draws)
        for flag in unsettled:
            self._unsettled.logical_or_(flag)
        for group, loss_m in minimise.items():
            self._finite_m.logical_and_(loss_m.detach().isfinite())
            names = self.states[0].named_parameters(group)
            weights_m = [self._weights[name] for name in names]
            gradients = torch.autograd.grad(loss_m.sum(), weights_m, retain_graph=len(minimise) > 1)
            for weight, gradient in zip(weights_m, gradients, strict=True):
                weight.grad = torch.empty_like(weight).copy_(gradient)
        for adam in self._optimisers.values():
            adam.step()
        for name, value in report.items():
            if name not in self._sums:
                self._sums[name] = torch.zeros_like(value)
            self._sums[name] += value.detach()
        self._reported = list(report)


class _Objective(nn.Module):
    """The losses of a method as the forward pass of a module, for `functional_call`."""

    def __init__(self, method: Method, parts: nn.ModuleDict) -> None:
        super().__init__()
        self._method, self.parts = method, copy.deepcopy(parts)

    def forward(
        self, x: Tensor, draws: dict[str, Tensor], step: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        losses = self._method.losses(self.parts, x, draws, step)
        return losses.minimise, losses.report


class _VmapCompatible(TorchFunctionMode):
    """Replace operations that vmap or the capture of CUDA graphs does not support.

    Memory layouts are left to torch, and small constants are created on the device.
    """

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


class _CudaGraphStep:
    """A step as one CUDA graph, captured again in each phase of the method's schedule.

    The first step of a phase is run without capture, as the warm-up that a capture needs. If every
    step begins a new phase, no step is captured.
    """

    def __init__(self, method: Method) -> None:
        self._method = method
        self._phase: Hashable = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, take_step: Callable[[int], None], step: int) -> None:
        phase = self._method.phase(step)
        if phase != self._phase:
            self._phase, self._graph = phase, None
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                take_step(step)
            torch.cuda.current_stream().wait_stream(side)
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                take_step(step)
        self._graph.replay()
