"""Weights at the end of every stage of training, for measuring the effect of each stage.

They are checkpoints without optimiser state, from which training cannot be resumed. Methods
without stages have none.
"""

from __future__ import annotations

from torch import nn

from unbraid.data.images import ImageTable
from unbraid.runs import checkpoint
from unbraid.runs.checkpoint import Checkpoint
from unbraid.runs.config import Config
from unbraid.runs.encode import Trained, load_trained
from unbraid.runs.run import Run


def save_stage(run: Run, config: Config, step: int, parts: nn.ModuleDict) -> None:
    """Save the weights at the end of a stage.

    Parameters
    ----------
    run : Run
        Run directory.
    config : Config
        Configuration of the run.
    step : int
        Number of steps done.
    parts : nn.ModuleDict
        Networks of the run.

    Raises
    ------
    UserError or StorageError
        If the file cannot be written.
    """
    weights = {f"parts.{name}": weight for name, weight in parts.state_dict().items()}
    path = run.stages_folder / f"step-{step:08}.safetensors"
    checkpoint.save(path, Checkpoint(step, weights), config.identity())


def load_stages(run: Run, table: ImageTable) -> list[Trained]:
    """Load the networks at the end of every stage.

    Parameters
    ----------
    run : Run
        Run directory.
    table : ImageTable
        Dataset of the run.

    Returns
    -------
    list of Trained
        Networks at the end of each stage in order, then those of the latest checkpoint.

    Raises
    ------
    UserError
        If one of the checkpoints is not valid.
    """
    latest = load_trained(run, table)
    files = sorted(run.stages_folder.glob("step-*.safetensors"))
    stages = [load_trained(run, table, file=file) for file in files]
    return [*(stage for stage in stages if stage.step < latest.step), latest]
