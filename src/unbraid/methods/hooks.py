"""Hooks that a method may override: schedules of the objective, and access to the dataset."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar

import torch
from jaxtyping import Int
from torch import Tensor, nn

from unbraid.methods.records import DatasetView


class Hooks:
    """What a method computes from the step alone, and four optional hooks.

    The four optional hooks are `lr_factor`, `needs_survey` with `survey`, and `sample_batch`; by
    default they change nothing. A survey is a pass over the whole dataset before a step.
    """

    categories: ClassVar[int]

    def betas(self, step: int) -> tuple[float, ...]:
        """Return the weight of the KL of each dimension.

        Parameters
        ----------
        step : int
            Number of steps already done.

        Returns
        -------
        tuple of float
            β of each of the `latent_dim` dimensions.
        """
        raise NotImplementedError

    def phase(self, step: int) -> Hashable:
        """Return a hashable key of the objective at a step.

        Steps with equal keys have the same objective, and can share a CUDA graph.

        Parameters
        ----------
        step : int
            Number of steps already done.

        Returns
        -------
        hashable
            By default the β of every dimension.
        """
        return self.betas(step)

    def discrete_is_open(self, step: int) -> bool:
        """Return whether the objective uses the discrete code at a step.

        Parameters
        ----------
        step : int
            Number of steps already done.

        Returns
        -------
        bool
            By default whether the method has a discrete code.
        """
        return self.categories > 0

    def begins_stage(self, step: int) -> bool:
        """Return whether a stage begins: a KL weight changes, or the discrete code opens.

        Parameters
        ----------
        step : int
            Number of steps already done.

        Returns
        -------
        bool
            Whether the step is the first of a stage; False for step 0.
        """
        if step == 0:
            return False
        now, before = self.discrete_is_open(step), self.discrete_is_open(step - 1)
        return now != before or self.betas(step) != self.betas(step - 1)

    def resets_optimizer(self, step: int) -> bool:
        """Return whether Adam's moments are reset before a step.

        Parameters
        ----------
        step : int
            Number of steps already done.

        Returns
        -------
        bool
            By default False.
        """
        return False

    def lr_factor(self, step: int) -> float:
        """Return the factor of the learning rate of every parameter group.

        Parameters
        ----------
        step : int
            Number of steps already done.

        Returns
        -------
        float
            By default 1.
        """
        return 1.0

    def needs_survey(self, step: int) -> bool:
        """Return whether the method surveys the dataset before a step.

        Parameters
        ----------
        step : int
            Number of steps already done.

        Returns
        -------
        bool
            By default False.
        """
        return False

    def survey(self, parts: nn.ModuleDict, dataset: DatasetView) -> dict[str, Any]:
        """Survey the dataset: update the modules from a pass over all images.

        State that later steps need is stored in buffers of the modules, so that checkpoints
        include it.

        Parameters
        ----------
        parts : nn.ModuleDict
            The method's modules, modified in place.
        dataset : DatasetView
            Images, codes and random numbers.

        Returns
        -------
        dict from str to value
            Diagnostics for survey.json.
        """
        return {}

    def sample_batch(
        self, parts: nn.ModuleDict, index_b: Int[Tensor, " b"], generator: torch.Generator
    ) -> tuple[Int[Tensor, " b"], dict[str, Tensor]]:
        """Sample the images of a batch.

        Parameters
        ----------
        parts : nn.ModuleDict
            The method's modules.
        index_b : tensor of int, shape (b,)
            Indices sampled uniformly from the dataset.
        generator : torch.Generator
            Random numbers for other choices.

        Returns
        -------
        index_b : tensor of int, shape (b,)
            Indices of the batch; by default the uniform ones.
        extra : dict from str to tensor
            Further inputs that `losses` finds in its argument `noise`.
        """
        return index_b, {}
