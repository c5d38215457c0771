"""Encoding of a dataset by a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import nn
from tqdm import tqdm

from unbraid.codes import Codes
from unbraid.data.images import ImageTable
from unbraid.runs import checkpoint
from unbraid.runs.config import Config
from unbraid.runs.precision import computing_in
from unbraid.runs.run import Run
from unbraid.runs.weights import initial_parts, weights_in

# Numbers of images to encode at once, and to decode at once under every category. The activations
# fit into the caches of a processor.
ENCODE_BATCH, CATEGORY_BATCH = 128, 32


class Trained(NamedTuple):
    """Networks of a run at a checkpoint.

    Parameters
    ----------
    config : Config
        Configuration of the run.
    parts : nn.ModuleDict
        Networks by name.
    step : int
        Step of the checkpoint.
    """

    config: Config
    parts: nn.ModuleDict
    step: int


def load_trained(
    run: Run, table: ImageTable, device: str = "cpu", *, file: Path | None = None
) -> Trained:
    """Load the networks of a run.

    Parameters
    ----------
    run : Run
        Run directory.
    table : ImageTable
        Dataset of the run.
    device : str, optional
        PyTorch device, default "cpu".
    file : Path, optional
        Checkpoint file, by default the latest checkpoint.

    Returns
    -------
    Trained
        Networks in evaluation mode.

    Raises
    ------
    UserError
        If the checkpoint is not valid, or if the run was trained on other images.
    """
    config = run.read_config().with_fingerprint_of(table)
    saved = checkpoint.read(file or run.checkpoint_file, config.identity())
    parts = initial_parts(config, table.shape)
    # Exported weights may lack the modules used only in training, which keep their initial weights.
    training_only = config.method.training_only
    unused = {n: w for n, w in parts.state_dict().items() if n.partition(".")[0] in training_only}
    parts.load_state_dict({**unused, **weights_in(saved)})
    return Trained(config, parts.to(device).eval(), saved.step)


@torch.no_grad()
def encode(
    trained: Trained,
    table: ImageTable,
    *,
    precision: str = "fp32",
    index: Int[np.ndarray, " n"] | None = None,
    discrete: bool = True,
) -> Codes:
    """Encode images.

    Parameters
    ----------
    trained : Trained
        Networks of a run.
    table : ImageTable
        Dataset of the run.
    precision : {"fp32", "bf16"}, optional
        Precision of the networks, default "fp32".
    index : array of int, shape (n,), optional
        Items to encode, by default all.
    discrete : bool, optional
        Whether to compute the discrete code too, default True.

    Returns
    -------
    Codes
        Mean and standard deviation of every continuous dimension, and the category if the method
        has a discrete code (`Method.predict_category`). Deterministic codes have no standard
        deviation.
    """
    method, parts = trained.config.method, trained.parts
    index = np.arange(len(table)) if index is None else index
    device = next(parts.parameters()).device
    mean = np.empty((len(index), method.latent_dim), np.float32)
    std: np.ndarray | None = np.empty_like(mean)
    category = np.empty(len(index), np.int64) if discrete and method.categories else None
    with (
        tqdm(total=len(index), desc="encoding", unit="image", unit_scale=True) as progress_bar,
        computing_in(precision, device),
    ):
        for start in range(0, len(index), ENCODE_BATCH):
            batch = slice(start, start + ENCODE_BATCH)
            x = torch.from_numpy(table.images(index[batch])).to(device).float()
            mean_bz, std_bz = method.posterior(parts, x)
            mean[batch] = mean_bz.cpu().numpy()
            if std is None or std_bz is None:
                std = None
            else:
                std[batch] = std_bz.cpu().numpy()
            if category is not None:
                pieces = zip(x.split(CATEGORY_BATCH), mean_bz.split(CATEGORY_BATCH), strict=True)
                categories = [method.predict_category(parts, *piece) for piece in pieces]
                category[batch] = torch.cat(categories).cpu().numpy()
            progress_bar.update(len(x))
    return Codes(mean, std, category, method.categories)
