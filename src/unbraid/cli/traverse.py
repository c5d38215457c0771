"""`unbraid traverse`, and the flags of all commands that draw traversals."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App

from unbraid.cli.flags import RunDirectory, integer, number
from unbraid.cli.help import epilogue

Extent = Annotated[
    float, number("Largest absolute value of a dimension, in standard deviations of the prior")
]
Columns = Annotated[int, integer("Number of images per row")]
Seed = Annotated[int, integer("Seed for sampling the images shown", minimum=0)]


def register(app: App) -> None:
    """Add the command."""
    app.command(traverse, help_epilogue=epilogue("unbraid traverse runs/first --columns 7"))


def traverse(
    run: RunDirectory, /, *, extent: Extent = 2.0, columns: Columns = 11, seed: Seed = 0
) -> None:
    """Draw latent traversals of a run.

    Varies each dimension of the code of an image while the others are fixed, and writes
    traversal.png and traversal.gif into the run directory.
    """
    from unbraid.data import load
    from unbraid.report import traversal
    from unbraid.runs import Run
    from unbraid.runs.encode import load_trained

    directory = Run(run)
    table = load(directory.read_config().data)
    trained = load_trained(directory, table)
    drawn = traversal.traverse(trained, table, extent=extent, columns=columns, seed=seed)
    png, gif = directory.traversal_figure, directory.traversal_animation
    title = f"{trained.config.method.title}, {directory.path.name}, step {trained.step:,}"
    traversal.draw_png(png, drawn, title)
    traversal.draw_gif(gif, drawn)
    print(f"written to {png} and {gif}")
