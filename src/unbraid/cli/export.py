"""`unbraid export`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from unbraid.cli.flags import RunDirectory
from unbraid.cli.help import epilogue
from unbraid.errors import UserError


def register(app: App) -> None:
    """Add the command."""
    app.command(export, help_epilogue=epilogue("unbraid export runs/first --onnx"))


def export(
    run: RunDirectory,
    /,
    *,
    onnx: Annotated[bool, Parameter(help="Write ONNX files, the only format so far")],
) -> None:
    """Write a run's encoder and decoder as ONNX files.

    Writes encoder.onnx (x to mean, std and category) and decoder.onnx (z and d to pixels) into the
    run directory, and checks with ONNX Runtime that their outputs are within 1e-4 of PyTorch's.
    """
    from unbraid.data import load
    from unbraid.export.onnx_files import export
    from unbraid.runs import Run

    if not onnx:
        raise UserError("--onnx: required; ONNX is the only format so far")
    directory = Run(run)
    print(export(directory, load(directory.read_config().data)))
