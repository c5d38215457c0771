"""A dataset on a GPU, from which the batches of all members are made there."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from unbraid.data.images import ImageTable


class DeviceDataset:
    """A dataset's bits or bytes on the device, and batches of its images made there."""

    def __init__(
        self, table: ImageTable, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self.items, self.shape, self.device = len(table), table.shape, device
        self._dtype = dtype
        self._depth = 8 if table.generated_on_access else table.depth
        stored = _painted(table) if table.generated_on_access else np.asarray(table.bits)
        self._bits = torch.tensor(stored, device=device)
        self._shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)

    def images(self, index: Tensor) -> Tensor:
        """The images of these items, 0 to 1."""
        stored = self._bits[index]
        if self._depth == 8:
            return stored.to(self._dtype).div_(255).unflatten(-1, self.shape)
        bits = (stored[..., None] >> self._shifts & 1).flatten(-2)
        return bits[..., : math.prod(self.shape)].unflatten(-1, self.shape).to(self._dtype)


def _painted(table: ImageTable) -> np.ndarray:
    """Every image of a table that stores none, a byte a value: 9 GB of dSprites in colour."""
    stored = np.empty((len(table), math.prod(table.shape)), np.uint8)
    for start in tqdm(range(0, len(table), 4096), desc=f"painting {table.name}", unit="block"):
        index = np.arange(start, min(start + 4096, len(table)))
        stored[index] = np.round(table.images(index) * 255).reshape(len(index), -1)
    return stored
