"""The command line as a tree of commands, built anew for every call."""

from __future__ import annotations

from typing import Any

from cyclopts import App, Group, Parameter

from unbraid import __version__
from unbraid.cli import (
    codes,
    compare,
    completion,
    data,
    evaluate,
    explore,
    export,
    information,
    metrics,
    report,
    study,
    train,
    traverse,
)
from unbraid.cli.help import HelpFormatter, epilogue

# In the order of the help.
COMMANDS = (
    *(data, train, evaluate, metrics, traverse, information, compare),
    *(explore, export, codes, study, report, completion),
)


def build(formatter: Any = None) -> App:
    """Return the command `unbraid`, with the methods and datasets that are registered now.

    Parameters
    ----------
    formatter : HelpFormatter of cyclopts, optional
        Layout of --help, by default that of `unbraid.cli.help`.

    Returns
    -------
    App
        The commands.
    """
    app = App(
        name="unbraid",
        help="Train and evaluate disentangled representations of images.",
        help_epilogue=epilogue("unbraid train cascade-vae --preset quick --out runs/first"),
        version=f"unbraid {__version__}",
        help_format="plaintext",
        help_formatter=formatter or HelpFormatter(),
        group_commands=Group("Commands"),
        group_parameters=Group.create_default_parameters("Options"),
        default_parameter=Parameter(negative=(), allow_repeating=True),
        # `@FILE` and other extras of the library are not part of this command line.
        argfile_prefix=None,
    )
    for position, module in enumerate(COMMANDS):
        module.register(app)
        app[module.__name__.rpartition(".")[2]].sort_key = position
    return app
