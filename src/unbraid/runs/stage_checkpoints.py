"""Weights at the end of each stage, kept so that the effect of each stage can be measured.

`stages/step-….safetensors` in the run directory are checkpoints without optimiser state: training
cannot resume from them. A method without stages has none.
"""

from __future__ import annotations

from torch import nn

from unbraid.data.images import ImageTable
from unbraid.runs import checkpoint
from unbraid.runs.checkpoint import Checkpoint
from unbraid.runs.encode import Trained, load_trained
from unbraid.runs.run import Config, Run


def save_stage(run: Run, config: Config, step: int, parts: nn.ModuleDict) -> None:
    """Save the weights at the end of a stage; UserError if the disk refuses."""
    weights = {f"parts.{name}": weight for name, weight in parts.state_dict().items()}
    path = run.stages_folder / f"step-{step:08}.safetensors"
    checkpoint.save(path, Checkpoint(step, weights), config.identity())


def load_stages(run: Run, table: ImageTable) -> list[Trained]:
    """The ends of stages in order, then the last checkpoint; UserError if one is unusable."""
    last = load_trained(run, table)
    files = sorted(run.stages_folder.glob("step-*.safetensors"))
    ends = [load_trained(run, table, file=file) for file in files]
    return [*(end for end in ends if end.step < last.step), last]
