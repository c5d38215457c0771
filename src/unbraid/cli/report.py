"""`unbraid report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App

from unbraid.cli.flags import path
from unbraid.cli.help import epilogue
from unbraid.cli.study import RunsDirectory, StudyFile


def register(app: App) -> None:
    """Add the command."""
    app.command(report, help_epilogue=epilogue("unbraid report table1-quick"))


def report(
    file: StudyFile,
    /,
    *,
    out: RunsDirectory = Path("runs/studies"),
    to: Annotated[
        Path | None,
        path("Page to write (default: STUDY.html in --out)"),
    ] = None,
) -> None:
    """Write a study's report as one HTML file.

    The page has the tables, every seed, learning curves, cascades, label-free criteria, traversals
    with sliders and provenance of the runs that are done. It needs no network.
    """
    from unbraid.report import page
    from unbraid.studies import store
    from unbraid.studies.study_file import read

    to = to or out / f"{Path(file).stem}.html"
    page.write(read(file), store.Store(out), to)
    print(f"written to {to}")
