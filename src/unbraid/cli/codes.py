"""`unbraid codes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from unbraid.cli.flags import Precision, RunDirectory, Threads, path, use_threads
from unbraid.cli.help import epilogue


def register(app: App) -> None:
    """Add the command."""
    app.command(codes, help_epilogue=epilogue("unbraid codes runs/first --format parquet"))


def codes(
    run: RunDirectory,
    /,
    *,
    file_format: Annotated[
        Literal["npz", "parquet"],
        Parameter(name="--format", metavar="FORMAT", help="Format of the file"),
    ] = "npz",
    to: Annotated[
        Path | None,
        path("File to write (default: codes.npz or codes.parquet in the run)"),
    ] = None,
    precision: Precision = None,
    threads: Threads = None,
) -> None:
    """Write the codes of all images as a table.

    Writes one row per image, in the dataset's order, with the columns mean_0 …, std_0 …, category
    and every factor by its name.
    """
    from unbraid.data import load
    from unbraid.export import columns
    from unbraid.runs import Run

    directory = Run(run)
    use_threads(threads)
    table = load(directory.read_config().data)
    print(columns.write(directory, table, file_format, to, precision=precision))
