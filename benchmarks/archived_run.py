"""Copy the results of one run to results/: scores, thinned log, small figures, provenance."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from PIL import Image

from benchmarks.step import machine
from unbraid.runs import Run
from unbraid.studies.archive import copy_log

# Number of colours, and the method that selects them: MEDIANCUT, by frequency, for grey images;
# MAXCOVERAGE for thin lines, whose rare colours MEDIANCUT would merge.
GREYS = (16, Image.Quantize.MEDIANCUT)
COLOURS = (64, Image.Quantize.MAXCOVERAGE)


def archive_run(run: Run, to: Path, command: list[str]) -> None:
    """Copy the results of a run, with the command that trained it."""
    to.mkdir(parents=True, exist_ok=True)
    files = (run.config_file, run.scores_file, run.information_file, run.survey_file)
    for file in files:
        if file.exists():
            shutil.copy(file, to / file.name)
    copy_log(run, Run(to))
    for figure, palette in ((run.traversal_figure, GREYS), (run.cascade_figure, COLOURS)):
        if figure.exists():
            reduce_colours(figure, to / figure.name, *palette)
    provenance = {
        "command": "unbraid " + " ".join(command),
        "machine": machine(),
        "sessions": json.loads(run.provenance_file.read_text()),
    }
    (to / run.provenance_file.name).write_text(json.dumps(provenance, indent=2) + "\n")


def reduce_colours(picture: Path, to: Path, colours: int, method: Image.Quantize) -> None:
    """Write a PNG with at most `colours` colours."""
    with Image.open(picture) as image:
        reduced = image.convert("RGB").quantize(colours, method)
    reduced.save(to, optimize=True)
