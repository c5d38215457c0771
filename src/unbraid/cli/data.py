"""The flags of `unbraid data`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unbraid.cli import commands
from unbraid.cli.parser import action
from unbraid.data import PUBLISHED
from unbraid.data.custom import LARGEST, SMALLEST

DATA = (
    "dataset by its name (see unbraid data --help); folder:PATH or folder:PATH,size=N, a folder of"
    " pictures; or array:FILE.npz with images and, if you have them, factors; default dsprites"
)
OWN = """\
Your own images need no command: give --data folder:PATH to unbraid train. This one does the same
work ahead of time and says what was made of them."""
VARIANTS = {
    "colour": "sprites in colours of their own, painted as they are asked for",
    "noisy": "sprites in noise, painted as they are asked for",
    "scream": "sprites before a picture of yours, painted as they are asked for",
}


def add_data(group: Any) -> None:
    """The command that makes datasets ready."""
    parser = group.add_parser(
        "data",
        help="make a dataset ready in the cache",
        description="Make a dataset ready in the cache ($UNBRAID_CACHE, or the user's).",
    )
    datasets = parser.add_subparsers(required=True, metavar="DATASET")
    _add_dsprites(datasets)
    for facts in PUBLISHED.values():
        one = action(
            datasets,
            facts.name,
            commands.data_published,
            f"{facts.title}, {facts.images:,} images of {'×'.join(map(str, facts.shape))}",
            f"Fetch {facts.title} ({', '.join(file.name for file in facts.files)}) and make it"
            f" ready: {facts.made}. Licence: {facts.licence}. See {facts.homepage}.",
        )
        one.add_argument(
            "--local-path",
            type=Path,
            metavar="PATH",
            help="the official files, downloaded by hand: their folder, or the only file",
        )
        one.add_argument("--again", action="store_true", help="make it even if it is there")
        one.set_defaults(dataset=facts.name)
    _add_own(datasets)


def _add_dsprites(datasets: Any) -> None:
    dsprites = action(
        datasets,
        "dsprites",
        commands.data_dsprites,
        "737,280 sprites, rendered exactly; no download",
        "Render dSprites (377 MB), or take the official archive.",
    )
    dsprites.add_argument(
        "--official",
        type=Path,
        metavar="FILE",
        help="the official .npz or .hdf5: check it, compare every picture with the renderer, and"
        " use the official ones from then on",
    )
    dsprites.add_argument("--again", action="store_true", help="render even if it is there")
    for kind, summary in VARIANTS.items():
        name = f"dsprites-{kind}"
        one = action(datasets, name, commands.data_variant, summary, f"Make {name} ready.")
        if kind == "scream":
            one.add_argument("--picture", type=Path, metavar="FILE", help="what lies behind them")
        one.set_defaults(kind=kind, picture=None)


def _add_own(datasets: Any) -> None:
    folder = action(
        datasets, "folder", commands.data_own, "a folder of pictures, for --data folder:PATH", OWN
    )
    folder.add_argument("path", metavar="PATH", help="the folder, flat or with subfolders")
    folder.add_argument(
        "--size",
        type=int,
        metavar="N",
        help=f"side to cut and resize to, {SMALLEST} to {LARGEST}, as folder:PATH,size=N does",
    )
    array = action(
        datasets, "array", commands.data_own, "an .npz of images, for --data array:FILE.npz", OWN
    )
    array.add_argument("path", metavar="FILE.npz", help="with images and, if there, factors")
    folder.set_defaults(kind="folder")
    array.set_defaults(kind="array", size=None)
