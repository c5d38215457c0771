"""Small binary images of three shapes, and training on them."""

import torch
from torch import Tensor

from unbraid.engine.state import State
from unbraid.methods import Method
from unbraid.runs import Budget, Config, noise


def shapes() -> tuple[Tensor, Tensor]:
    """Return 27 images (1, 16, 16) of an upright bar, a flat bar and two flat bars, and the shape.

    Each shape has 3 × 3 positions, one pixel apart.
    """
    images = torch.zeros(3, 3, 3, 1, 16, 16)
    for row in range(3):
        for column in range(3):
            images[0, row, column, 0, row + 1 : row + 13, column + 4 : column + 9] = 1
            images[1, row, column, 0, row + 4 : row + 9, column + 1 : column + 13] = 1
            images[2, row, column, 0, row + 1 : row + 5, column + 1 : column + 13] = 1
            images[2, row, column, 0, row + 9 : row + 13, column + 1 : column + 13] = 1
    return images.flatten(0, 2), torch.arange(3).repeat_interleave(9)


def train_on(
    images: Tensor, method: Method, *, steps: int, logged_steps: int = 0, batch_size: int = 32
) -> State:
    """Train with the engine's own batches and step; log means of the last `logged_steps` steps."""
    config = Config(method, "shapes", Budget(steps, batch_size), 0, "fp32")
    state = State(config, (1, 16, 16), torch.device("cpu"))
    while state.step < steps:
        if state.step == steps - logged_steps:
            state.mean_losses()
        state.advance(images[noise.batch_indices(0, state.step, len(images), batch_size)])
    return state
