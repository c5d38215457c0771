"""`unbraid completion`."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from unbraid.cli.help import epilogue


def register(app: App) -> None:
    """Add the command."""
    app.command(
        completion,
        help_epilogue=epilogue("unbraid completion bash --install"),
    )


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Shell")],
    /,
    *,
    install: Annotated[
        bool,
        Parameter(
            help="Install the script for new shells: write it to your home directory and, for bash"
            " and zsh, load it in ~/.bashrc or ~/.zshrc"
        ),
    ] = False,
) -> None:
    """Print or install a script for shell completion.

    The script completes commands, flags and the values of flags.
    """
    from unbraid.cli.parser import build

    if install:
        print(f"written to {build().install_completion(shell=shell)}; open a new shell to use it")
    else:
        print(build().generate_completion(shell=shell))
