"""Copy the results of one run to results/: scores, thinned log, small figures, provenance."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from PIL import Image

from benchmarks.step import machine
from unbraid.runs import Run
from unbraid.studies.archive import thinned

# Enough for grey images and lines in a few colours, in a third of the bytes.
COLOURS = 64


def archive_run(run: Run, to: Path, command: list[str]) -> None:
    """Copy what was measured on a run, with the command that trained it."""
    to.mkdir(parents=True, exist_ok=True)
    files = (run.config_file, run.scores_file, run.information_file, run.survey_file)
    for file in files:
        if file.exists():
            shutil.copy(file, to / file.name)
    records = [json.dumps(record) + "\n" for record in thinned(run.read_log())]
    (to / run.log_file.name).write_text("".join(records))
    for figure in (run.traversal_figure, run.cascade_figure):
        if figure.exists():
            reduce_colours(figure, to / figure.name)
    provenance = {
        "command": "unbraid " + " ".join(command),
        "machine": machine(),
        "sessions": json.loads(run.provenance_file.read_text()),
    }
    (to / run.provenance_file.name).write_text(json.dumps(provenance, indent=2) + "\n")


def reduce_colours(picture: Path, to: Path) -> None:
    """Write a PNG with `COLOURS` colours."""
    with Image.open(picture) as image:
        image.convert("RGB").quantize(COLOURS).save(to, optimize=True)
