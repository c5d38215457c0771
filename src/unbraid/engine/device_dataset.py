"""A dataset in the memory of a GPU."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from unbraid.data.images import ImageTable

ITEMS_PER_BLOCK = 4096


class DeviceDataset:
    """A dataset in the memory of a device, from which the batches of all members are made.

    Parameters
    ----------
    table : ImageTable
        The dataset. It is stored on the device as packed as in the table, one bit or one byte per
        value; images that are generated on access are stored as one byte per value.
    device : torch.device
        The device.
    dtype : torch.dtype, optional
        Type of the images, default float32.
    """

    def __init__(
        self, table: ImageTable, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self.items, self.shape, self.device = len(table), table.shape, device
        self._dtype = dtype
        self._depth = 8 if table.generated_on_access else table.depth
        stored = _generated(table) if table.generated_on_access else np.asarray(table.bits)
        self._bits = torch.tensor(stored, device=device)
        self._shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)

    def images(self, index: Tensor) -> Tensor:
        """Return the images of these items, with values from 0 to 1."""
        stored = self._bits[index]
        if self._depth == 8:
            return stored.to(self._dtype).div_(255).unflatten(-1, self.shape)
        bits = (stored[..., None] >> self._shifts & 1).flatten(-2)
        return bits[..., : math.prod(self.shape)].unflatten(-1, self.shape).to(self._dtype)


def _generated(table: ImageTable) -> np.ndarray:
    """Generate every image, one byte per value: 9 GB for dSprites in colour."""
    stored = np.empty((len(table), math.prod(table.shape)), np.uint8)
    starts = range(0, len(table), ITEMS_PER_BLOCK)
    for start in tqdm(starts, desc=f"generating {table.name}", unit="block"):
        index = np.arange(start, min(start + ITEMS_PER_BLOCK, len(table)))
        stored[index] = np.round(table.images(index) * 255).reshape(len(index), -1)
    return stored
