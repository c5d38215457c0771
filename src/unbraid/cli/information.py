"""`unbraid information`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from unbraid.cli.flags import RunDirectory, Threads, integer, use_threads
from unbraid.cli.help import epilogue


def register(app: App) -> None:
    """Add the command."""
    app.command(information, help_epilogue=epilogue("unbraid information runs/first --stages"))


def information(
    run: RunDirectory,
    /,
    *,
    images: Annotated[
        int | None,
        integer(
            "Number of images sampled from the dataset; the cost grows quadratically (default:"
            " 10000, or all of a smaller dataset)"
        ),
    ] = None,
    seed: Annotated[int, integer("Seed for sampling the images", minimum=0)] = 0,
    stages: Annotated[
        bool,
        Parameter(
            help="Compute I(x; z_1 … z_i) at the end of every stage of a cascade too, and draw"
            " stages.png"
        ),
    ] = False,
    threads: Threads = None,
) -> None:
    """Split the KL of a run into I(x;z), TC(z) and marginal KLs.

    Estimates I(x;z), TC(z) and Σ KL(q(z_i) ‖ p(z_i)) in nats per image. Prints the terms with
    their residual to the KL, and writes information.json into the run directory.
    """
    from unbraid.data import load
    from unbraid.evaluation import information
    from unbraid.report import stage_figure
    from unbraid.runs import Run

    directory = Run(run)
    use_threads(threads)
    table = load(directory.read_config().data)
    report = information.measure(directory, table, images=images, seed=seed, stages=stages)
    print(information.as_text(report))
    print(f"written to {directory.information_file}")
    if stages:
        picture = directory.stage_figure
        stage_figure.draw(picture, report, f"{report.method}, {directory.path.name}")
        print(f"written to {picture}")
