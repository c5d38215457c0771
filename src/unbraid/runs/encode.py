"""Encode a dataset once with a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from unbraid.codes import Codes
from unbraid.data.images import ImageTable
from unbraid.runs import checkpoint
from unbraid.runs.precision import computing_in
from unbraid.runs.run import Config, Run
from unbraid.runs.weights import fresh_parts, parts_in

# As many as the caches hold: of images to encode, and of those decoded under every category.
ENCODED, CATEGORISED = 128, 32


class Trained(NamedTuple):
    """What a run has learned by its last checkpoint."""

    config: Config
    parts: nn.ModuleDict
    step: int


def load_trained(
    run: Run, table: ImageTable, device: str = "cpu", *, file: Path | None = None
) -> Trained:
    """A run's last checkpoint, or another `file` of it.

    UserError if it cannot be used, or if the run was trained on other images than the table's.
    """
    config = run.read_config().with_fingerprint_of(table)
    saved = checkpoint.read(file or run.checkpoint_file, config.identity())
    parts = fresh_parts(config, table.shape)
    # Kept weights may lack what only training needs; it stays as it was drawn, and unused.
    unused = {
        n: w for n, w in parts.state_dict().items() if _part(n) in config.method.training_only
    }
    parts.load_state_dict({**unused, **parts_in(saved)})
    return Trained(config, parts.to(device).eval(), saved.step)


def _part(name: str) -> str:
    return name.partition(".")[0]


@torch.no_grad()
def encode(
    trained: Trained,
    table: ImageTable,
    *,
    precision: str = "fp32",
    index: np.ndarray | None = None,
    discrete: bool = True,
) -> Codes:
    """The codes of all images, or of those at `index`; without the discrete part if not `discrete`.

    A discrete code is the method's word (`predict_category`); a code that is not random has no std.
    """
    method, parts = trained.config.method, trained.parts
    index = np.arange(len(table)) if index is None else index
    device = next(parts.parameters()).device
    mean = np.empty((len(index), method.latent_dim), np.float32)
    std: np.ndarray | None = np.empty_like(mean)
    category = np.empty(len(index), np.int64) if discrete and method.categories else None
    with (
        tqdm(total=len(index), desc="encoding", unit="image", unit_scale=True) as bar,
        computing_in(precision, device),
    ):
        for start in range(0, len(index), ENCODED):
            part = slice(start, start + ENCODED)
            x = torch.from_numpy(table.images(index[part])).to(device).float()
            mean_bz, std_bz = method.posterior(parts, x)
            mean[part] = mean_bz.cpu().numpy()
            if std is None or std_bz is None:
                std = None
            else:
                std[part] = std_bz.cpu().numpy()
            if category is not None:
                pieces = zip(x.split(CATEGORISED), mean_bz.split(CATEGORISED), strict=True)
                found = [method.predict_category(parts, *piece) for piece in pieces]
                category[part] = torch.cat(found).cpu().numpy()
            bar.update(len(x))
    return Codes(mean, std, category, method.categories)
