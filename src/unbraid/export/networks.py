"""A run's encoder and decoder as functions of named tensors, as its method uses its parts."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbraid.runs.encode import Trained


class Encoder(nn.Module):
    """Images in [0, 1] to the posterior mean, its std, and the category.

    There is no std for a deterministic encoder and no category without a discrete code. Whatever
    the method adds to its parts is included: QLAE's codebook, or CascadeVAE's decoder, which finds
    the category that reconstructs best.
    """

    def __init__(self, trained: Trained, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.method, self.parts = trained.config.method, trained.parts
        with torch.no_grad():
            std_bz = self.method.posterior(self.parts, torch.zeros(1, *shape))[1]
        discrete = self.method.categories > 0
        self.input_names = ["x"]
        self.output_names = ["mean", *["std"] * (std_bz is not None), *["category"] * discrete]
        # Two values of a codebook, or two categories, may be equally good up to rounding.
        self.may_tie = discrete or std_bz is None

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        """Encode a batch."""
        mean_bz, std_bz = self.method.posterior(self.parts, x)
        outputs = [mean_bz] if std_bz is None else [mean_bz, std_bz]
        if self.method.categories:
            outputs.append(self.method.predict_category(self.parts, x, mean_bz))
        return tuple(outputs)


class Decoder(nn.Module):
    """Codes to pixel probabilities; d is a vector over the categories, one-hot or relaxed."""

    may_tie = False

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.method, self.parts = trained.config.method, trained.parts
        self.input_names = ["z", *["d"] * (self.method.categories > 0)]
        self.output_names = ["pixels"]

    def forward(self, z: Float[Tensor, "b z"], d: Float[Tensor, "b k"] | None = None) -> Tensor:
        """Decode a batch."""
        d = z.new_zeros(z.shape[0], 0) if d is None else d
        return self.method.pixels(self.parts, z, d)
