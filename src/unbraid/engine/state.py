"""State of a run in training: weights, optimisers and sums of losses since the last log record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unbraid.errors import DivergedError, UserError
from unbraid.methods import Losses, ParamGroup
from unbraid.runs import noise
from unbraid.runs.checkpoint import Checkpoint
from unbraid.runs.config import Config
from unbraid.runs.precision import computing_in
from unbraid.runs.run import Run
from unbraid.runs.stage_checkpoints import save_stage
from unbraid.runs.version_0_1 import current_term
from unbraid.runs.weights import initial_parts, is_weights_only, weights_in


class State:
    """State of a run after some number of steps.

    Parameters
    ----------
    config : Config
        Configuration of the run.
    shape : tuple of int
        Channels, height and width of an image.
    device : torch.device
        Device of weights and optimisers.
    """

    def __init__(self, config: Config, shape: tuple[int, int, int], device: torch.device) -> None:
        self.config = config
        self.device = device
        self.step = 0
        self.parts = initial_parts(config, shape).to(device)
        self.optimisers = self._fresh_optimisers()
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def advance(self, x: Tensor, extra: Mapping[str, Tensor] | None = None) -> None:
        """Train one step.

        Parameters
        ----------
        x : Tensor
            Images of the batch, of shape (b, c, h, w).
        extra : mapping, optional
            Further tensors that `Method.sample_batch` returned for this batch.

        Raises
        ------
        DivergedError
            If a loss is not finite. The weights are unchanged.
        """
        method, seed = self.config.method, self.config.seed
        if method.resets_optimizer(self.step):
            self.optimisers = self._fresh_optimisers()
        for name, group in method.groups().items():
            for settings in self.optimisers[name].param_groups:
                settings["lr"] = group.learning_rate * method.lr_factor(self.step)
        drawn = noise.normal(seed, self.step, method.noise_shapes(len(x)))
        drawn = {n: t.to(self.device) for n, t in {**drawn, **(extra or {})}.items()}
        with computing_in(self.config.precision, self.device):
            losses = method.losses(self.parts, x, drawn, self.step)
        self._require_finite(losses)
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        for group, loss in losses.minimise.items():
            parameters = [*self.named_parameters(group).values()]
            gradients = torch.autograd.grad(loss, parameters, retain_graph=len(losses.minimise) > 1)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                # Fused Adam reads both in memory order and ignores their strides.
                parameter.grad = torch.empty_like(parameter).copy_(gradient)
        for optimiser in self.optimisers.values():
            optimiser.step()
        self.step += 1
        for name, value in losses.report.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach()
            self.counts[name] = self.counts.get(name, 0) + 1

    def require_finite_weights(self) -> None:
        """Raise `DivergedError` if a weight is not finite."""
        for name, weight in self.parts.named_parameters():
            if not bool(weight.isfinite().all()):
                raise DivergedError(divergence_message(self.step, f"the weights of {name}"))

    def save_stage(self, run: Run) -> None:
        """Save the weights if the next step begins another stage.

        Raises `DivergedError` if a weight is not finite, `UserError` or `StorageError` if the
        weights cannot be written.
        """
        if self.config.method.begins_stage(self.step):
            self.require_finite_weights()
            save_stage(run, self.config, self.step, self.parts)

    def mean_losses(self) -> dict[str, Any]:
        """Return the mean of each reported term since the last call, in alphabetical order."""
        means = {n: (self.sums[n] / self.counts[n]).tolist() for n in sorted(self.sums)}
        self.sums, self.counts = {}, {}
        return means

    def checkpoint(self) -> Checkpoint:
        """Return the state as named tensors."""
        tensors = {f"parts.{name}": t for name, t in self.parts.state_dict().items()}
        for group, optimiser in self.optimisers.items():
            for name, parameter in self.named_parameters(group).items():
                for key, value in optimiser.state[parameter].items():
                    tensors[f"adam.{group}.{key}.{name}"] = value
        for name, total in self.sums.items():
            tensors[f"sums.{name}"] = total
            tensors[f"counts.{name}"] = torch.tensor(self.counts[name])
        return Checkpoint(self.step, tensors)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Set the state from a checkpoint; raise `UserError` if it has no optimiser state."""
        if is_weights_only(checkpoint):
            raise UserError(
                f"step {checkpoint.step}: this checkpoint has only weights, for evaluation; set"
                " `out` to another folder to train a new run"
            )
        self.step = checkpoint.step
        self.parts.load_state_dict(weights_in(checkpoint))
        self.optimisers = self._fresh_optimisers()
        self.sums, self.counts = {}, {}
        for name, tensor in checkpoint.tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "sums":
                self.sums[current_term(self.config.method.name, rest)] = tensor.to(self.device)
            elif kind == "counts":
                self.counts[current_term(self.config.method.name, rest)] = int(tensor)
            elif kind == "adam":
                group, key, parameter = rest.split(".", 2)
                state = self.optimisers[group].state[self.named_parameters(group)[parameter]]
                state[key] = tensor.to(self.device)

    def _require_finite(self, losses: Losses) -> None:
        if all(bool(torch.isfinite(loss)) for loss in losses.minimise.values()):
            return
        terms = {name: term for name, term in losses.report.items() if name != "loss"}
        diverged = [name for name, term in terms.items() if not bool(term.isfinite().all())]
        raise DivergedError(divergence_message(self.step, " and ".join(diverged) or "loss"))

    def _fresh_optimisers(self) -> dict[str, torch.optim.Adam]:
        return {
            name: optimiser(group, [*self.named_parameters(name).values()])
            for name, group in self.config.method.groups().items()
        }

    def named_parameters(self, group: str) -> dict[str, nn.Parameter]:
        """Return the parameters of an optimiser group by part and name."""
        parts = self.config.method.groups()[group].parts
        return {f"{p}.{n}": w for p in parts for n, w in self.parts[p].named_parameters()}


def divergence_message(step: int, quantity: str) -> str:
    """Return the message of `DivergedError`."""
    return (
        f"step {step}: {quantity} became NaN or infinite; the last good checkpoint is kept;"
        " lower `learning_rate` or set `precision` to fp32"
    )


def optimiser(group: ParamGroup, parameters: list[Tensor], *, axes: int = 0) -> torch.optim.Adam:
    """Return Adam for an optimiser group; weights decay, biases do not.

    `axes` is the number of leading axes added to every parameter, such as the member axis of an
    ensemble.
    """
    settings = [
        {
            "params": [p for p in parameters if p.ndim > axes + 1],
            "weight_decay": group.weight_decay,
        },
        {"params": [p for p in parameters if p.ndim <= axes + 1], "weight_decay": 0.0},
    ]
    return torch.optim.Adam(
        settings,
        lr=group.learning_rate,
        betas=group.betas,
        decoupled_weight_decay=True,
        fused=True,
        capturable=parameters[0].is_cuda,
    )
