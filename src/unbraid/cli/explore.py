"""`unbraid explore`."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from unbraid.cli.flags import Threads, integer, path, use_threads
from unbraid.cli.help import epilogue
from unbraid.errors import ArgumentError

PAGE = (
    "The page has a slider for each continuous dimension, labelled with its KL and the factor that"
    " it tracks, such as z2 · 3.6 nats · posX; buttons for the discrete code; and the decoded"
    " image. Start from an image of the dataset, chosen by its factors or at random, or"
    " upload your own. Below are a traversal of the chosen dimension, its values against every"
    " factor, and PNG and GIF downloads. Two runs are shown side by side with matching dimensions."
)
ACCESS = (
    "The page needs no network and, without --host, is reachable from this machine only. It needs"
    " the extra: pip install 'unbraid[explore]'."
)


def register(app: App) -> None:
    """Add the command."""
    app.command(
        explore,
        usage="unbraid explore RUN [RUN …] [OPTIONS]",
        help_epilogue=epilogue("unbraid explore runs/first --open", PAGE, ACCESS),
    )


def explore(
    runs: Annotated[
        list[Path],
        path(
            "Run directories; two are shown side by side; with more, each side has a menu of runs",
            "DIR",
            name="run",
        ),
    ],
    /,
    *,
    host: Annotated[
        str,
        Parameter(
            metavar="ADDRESS",
            help="Address to serve at; the default allows this machine only, 0.0.0.0 allows"
            " everyone, without a password",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int | None, integer("Port to serve at (default: the first free one from 7860)")
    ] = None,
    browser: Annotated[bool, Parameter(name="--open", help="Open the page in a browser")] = False,
    threads: Threads = None,
) -> None:
    """Serve a page to explore a run's code.

    Moves the code of a run with sliders and shows the decoded image.
    """
    from unbraid.explore import opened_run

    _check_host(host)
    use_threads(threads)
    opened_run.common_dataset(runs)
    # Imported last, as it loads Gradio for seconds: a wrong path is reported before.
    from unbraid.explore import app

    app.serve(runs, host=host, port=port, browser=browser)


def _check_host(host: str) -> None:
    """Raise an error for a host that the server would wait for, or an empty one, which is all."""
    remedy = "set `host` to an address of this machine, as 127.0.0.1, or omit it"
    if not host.strip():
        raise ArgumentError("host", host, "is empty", remedy)
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        raise ArgumentError("host", host, "is not a known address", remedy) from error
