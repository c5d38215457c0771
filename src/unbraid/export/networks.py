"""A run's encoder and decoder as functions of named tensors, the way its method uses its parts."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbraid.runs.encode import Trained


class Encoder(nn.Module):
    """Images (0 to 1) to a mean, a std unless the code is a point, and a category if there is one.

    Whatever the method makes of its parts is in it: QLAE's codebook, CascadeVAE's decodings under
    every category, of which the best is the category.
    """

    def __init__(self, trained: Trained, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.method, self.parts = trained.config.method, trained.parts
        with torch.no_grad():
            std_bz = self.method.posterior(self.parts, torch.zeros(1, *shape))[1]
        discrete = self.method.categories > 0
        self.takes = ["x"]
        self.gives = ["mean", *["std"] * (std_bz is not None), *["category"] * discrete]
        # The nearest of a codebook's values, or the best category, is a choice that may tie.
        self.chooses = discrete or std_bz is None

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        mean_bz, std_bz = self.method.posterior(self.parts, x)
        found = [mean_bz] if std_bz is None else [mean_bz, std_bz]
        if self.method.categories:
            found.append(self.method.predict_category(self.parts, x, mean_bz))
        return tuple(found)


class Decoder(nn.Module):
    """Codes to pixel probabilities; d is a vector over the categories, one-hot or relaxed."""

    chooses = False

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.method, self.parts = trained.config.method, trained.parts
        self.takes = ["z", *["d"] * (self.method.categories > 0)]
        self.gives = ["pixels"]

    def forward(self, z: Float[Tensor, "b z"], d: Float[Tensor, "b k"] | None = None) -> Tensor:
        d = z.new_zeros(z.shape[0], 0) if d is None else d
        return self.method.pixels(self.parts, z, d)
