"""Weights at the ends of stages, kept so that what each stage did can be measured.

`stages/step-….safetensors` in the run directory are checkpoints without optimisers: a run cannot be
continued from them. A method without stages keeps none.
"""

from __future__ import annotations

from unbraid.data.images import ImageTable
from unbraid.engine import checkpoint
from unbraid.engine.checkpoint import Checkpoint
from unbraid.engine.encode import Trained, load_trained
from unbraid.engine.run import Run
from unbraid.engine.state import State


def keep(run: Run, state: State) -> None:
    """Save the weights if the next step begins another stage.

    UserError if the disk refuses, DivergedError if a weight is not finite.
    """
    if not state.config.method.begins_stage(state.step):
        return
    state.require_finite_weights()
    weights = {f"parts.{name}": weight for name, weight in state.parts.state_dict().items()}
    path = run.path / "stages" / f"step-{state.step:08}.safetensors"
    checkpoint.save(path, Checkpoint(state.step, weights), state.config.identity())


def load_stages(run: Run, table: ImageTable) -> list[Trained]:
    """The ends of stages in order, then the last checkpoint; UserError if one is unusable."""
    last = load_trained(run, table)
    files = sorted((run.path / "stages").glob("step-*.safetensors"))
    ends = [load_trained(run, table, file=file) for file in files]
    return [*(end for end in ends if end.step < last.step), last]
