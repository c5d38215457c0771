"""`unbraid compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App

from unbraid.cli.flags import RunDirectory, path
from unbraid.cli.help import epilogue
from unbraid.cli.traverse import Columns, Extent, Seed


def register(app: App) -> None:
    """Add the command."""
    app.command(compare, help_epilogue=epilogue("unbraid compare runs/first runs/second"))


def compare(
    left: RunDirectory,
    right: Annotated[Path, path("Another run directory, of the same dataset", "DIR")],
    /,
    *,
    out: Annotated[
        Path | None,
        path("Image to write (default: compare.png in the first run)"),
    ] = None,
    extent: Extent = 2.0,
    columns: Columns = 11,
    seed: Seed = 0,
) -> None:
    """Draw two runs side by side.

    Draws the traversals of two runs of one dataset for the same images, with matching dimensions
    in the same row.
    """
    from unbraid.data import load
    from unbraid.report import compare
    from unbraid.runs import Run
    from unbraid.runs.encode import load_trained

    runs = [Run(path) for path in (left, right)]
    tables = [load(run.read_config().data) for run in runs]
    first, second = [load_trained(run, t) for run, t in zip(runs, tables, strict=True)]
    compared = compare.compare(first, second, tables[0], extent=extent, columns=columns, seed=seed)
    picture = out or runs[0].comparison_figure
    compare.draw(picture, compared)
    print(f"written to {picture}")
