"""How a method encodes images and decodes codes."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


class Coder:
    """Encoding and decoding with a method's modules; by default those of a VAE."""

    categories: ClassVar[int]

    def posterior(
        self, parts: nn.ModuleDict, x: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"] | None]:
        """Encode images.

        Parameters
        ----------
        parts : nn.ModuleDict
            The method's modules.
        x : tensor, shape (b, c, h, w)
            Images with values between 0 and 1.

        Returns
        -------
        mean_bz : tensor, shape (b, z)
            Posterior means.
        std_bz : tensor, shape (b, z), or None
            Posterior standard deviations; None if the code is deterministic.
        """
        mean_bz, std_bz = parts["encoder"](x)[:2]
        return mean_bz, std_bz

    def traversal_range(self, parts: nn.ModuleDict, extent: float) -> tuple[float, float]:
        """Return the range of a latent traversal.

        Parameters
        ----------
        parts : nn.ModuleDict
            The method's modules.
        extent : float
            Half of the range, in standard deviations of the prior.

        Returns
        -------
        (float, float)
            Smallest and largest value of z.
        """
        return -extent, extent

    def decode(
        self, parts: nn.ModuleDict, z_bz: Float[Tensor, "b z"], category_b: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """Decode codes to pixel probabilities.

        Parameters
        ----------
        parts : nn.ModuleDict
            The method's modules.
        z_bz : tensor, shape (b, z)
            Continuous codes.
        category_b : tensor of int, shape (b,)
            Categories; ignored if the method has no discrete code.

        Returns
        -------
        tensor, shape (b, c, h, w)
            Probability of each pixel.
        """
        d_bk = z_bz.new_zeros(len(z_bz), 0)
        if self.categories:
            d_bk = functional.one_hot(category_b, self.categories).to(z_bz.dtype)
        return self.pixels(parts, z_bz, d_bk)

    def pixels(
        self, parts: nn.ModuleDict, z_bz: Float[Tensor, "b z"], d_bk: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b c h w"]:
        """Decode codes whose discrete part is a vector.

        Parameters
        ----------
        parts : nn.ModuleDict
            The method's modules.
        z_bz : tensor, shape (b, z)
            Continuous codes.
        d_bk : tensor, shape (b, k)
            Discrete codes: one-hot or relaxed; k = 0 if the method has none.

        Returns
        -------
        tensor, shape (b, c, h, w)
            Probability of each pixel.
        """
        return parts["decoder"](torch.cat([z_bz, d_bk], dim=1)).sigmoid()

    def predict_category(
        self, parts: nn.ModuleDict, x: Float[Tensor, "b c h w"], mean_bz: Float[Tensor, "b z"]
    ) -> Int[Tensor, " b"]:
        """Predict the category of each image.

        Parameters
        ----------
        parts : nn.ModuleDict
            The method's modules.
        x : tensor, shape (b, c, h, w)
            Images with values between 0 and 1.
        mean_bz : tensor, shape (b, z)
            Posterior means of the images.

        Returns
        -------
        tensor of int, shape (b,)
            Categories; 0 if the method has no discrete code.
        """
        return torch.zeros(len(x), dtype=torch.int64, device=x.device)
