"""`unbraid evaluate`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from unbraid.cli.flags import DEVICE, Precision, RunDirectory, Threads, integer, use_threads
from unbraid.cli.help import epilogue


def register(app: App) -> None:
    """Add the command."""
    app.command(
        evaluate,
        help_epilogue=epilogue("unbraid evaluate runs/first --metrics mig,dci --images 50000"),
    )


def evaluate(
    run: RunDirectory,
    /,
    *,
    metrics: Annotated[
        str | None,
        Parameter(
            metavar="NAMES",
            help="Comma-separated names of metrics, or all; unbraid metrics lists them (default:"
            " factor-vae,classification)",
        ),
    ] = None,
    repeats: Annotated[
        int,
        integer("Number of independent samples of items and votes; more than one gives a 95 % CI"),
    ] = 1,
    seed: Annotated[int, integer("Seed for sampling items and votes", minimum=0)] = 0,
    images: Annotated[
        int | None,
        integer(
            "Number of images for a quick estimate, written to scores-N.json (default: all images)"
        ),
    ] = None,
    precision: Precision = None,
    device: Annotated[
        str, Parameter(metavar="DEVICE", help=f"{DEVICE}; used for encoding")
    ] = "cpu",
    threads: Threads = None,
) -> None:
    """Score a run with one or several metrics.

    Computes each metric for the last checkpoint and all images, under each of its protocols
    (published ways to compute it). Prints the scores and writes them to scores.json in the run
    directory; resumes if interrupted.
    """
    from unbraid.data import load
    from unbraid.evaluation import scores
    from unbraid.metrics.suite import parse_names
    from unbraid.runs import Run

    parse_names(metrics)
    directory = Run(run)
    use_threads(threads)
    table = load(directory.read_config().data)
    evaluation = scores.evaluate(
        directory,
        table,
        metrics=metrics,
        repeats=repeats,
        seed=seed,
        precision=precision,
        images=images,
        device=device,
    )
    print(scores.as_text(evaluation))
    print(f"written to {scores.scores_file(directory, table, evaluation.images)}")
