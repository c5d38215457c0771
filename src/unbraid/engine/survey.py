"""A method's survey: a pass over the whole dataset between two steps."""

from __future__ import annotations

import json
from typing import Any

from unbraid.data.images import ImageTable
from unbraid.engine.state import State
from unbraid.files import written_atomically
from unbraid.methods.base import DatasetView
from unbraid.runs import noise
from unbraid.runs.encode import Trained, encode
from unbraid.runs.run import Run


def run_survey(run: Run, state: State, table: ImageTable) -> None:
    """Let the method survey the dataset, and write its report to survey.json."""
    report = survey(state, table)
    with written_atomically(run.survey_file) as file:
        file.write(json.dumps({"step": state.step, **report}, indent=2).encode())


def survey(state: State, table: ImageTable) -> dict[str, Any]:
    """Survey the dataset with the run's own precision and noise; return the method's report."""
    config = state.config
    trained = Trained(config, state.parts, state.step)
    dataset = DatasetView(
        table.images,
        lambda: encode(trained, table, precision=config.precision, discrete=False),
        noise.generator(config.seed, "survey", state.step),
    )
    return config.method.survey(state.parts, dataset)
