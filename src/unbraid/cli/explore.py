"""The flags of `unbraid explore`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unbraid.cli import commands
from unbraid.cli.parser import action

EPILOG = """\
What is on the page: a slider for each continuous dimension, named by its KL and by the factor that
it tracks, as in z2 · 3.6 nats · posX; buttons for the discrete code; the picture that the decoder
makes of them, as they move. Start from an image of the dataset, by its factors or at random, or
upload one of your own. Below, a traversal of the dimension you choose, its values against every
factor, and what is shown as PNG and GIF. Two runs stand side by side, with matching dimensions.

The page answers to this machine only, unless --host says otherwise, and needs no network."""


def add_explore(group: Any) -> None:
    """`unbraid explore`."""
    parser = action(
        group,
        "explore",
        commands.explore,
        "move a run's code on a page, see the picture change",
        "Open a page on which a run's code is moved and its picture seen; needs the extra explore.",
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="a run directory; two are shown side by side, of more each side chooses one",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to answer at, default 127.0.0.1: this machine only; 0.0.0.0 lets others in,"
        " without a password",
    )
    parser.add_argument("--port", type=int, help="default the first free one from 7860")
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    parser.add_argument("--threads", type=int, help="CPU threads, default every core")
