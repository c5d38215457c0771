"""`unbraid data`: one command per dataset.

Annotations are evaluated here, as cyclopts reads those of functions that are made for a dataset.
"""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from unbraid.cli.flags import integer, path, path_or_name
from unbraid.cli.help import epilogue
from unbraid.data import DATASETS, PUBLISHED

DATA_HELP = (
    "Dataset: a name (see unbraid data --help); folder:PATH or folder:PATH,size=N for a folder of"
    " image files; array:FILE.npz for an archive with images and, optionally, factors"
)
VARIANTS = ("colour", "noisy", "scream")
CUSTOM = {
    "folder": "Folder of your own image files, for --data folder:PATH",
    "array": "NumPy archive of your own images, for --data array:FILE.npz",
}
CUSTOM_EPILOGUE = (
    "unbraid train --data does the same work when it is first given the path; this command does it"
    " ahead of time and reports how the images were read."
)
Again = Annotated[bool, Parameter(help="Prepare the dataset again even if it is in the cache")]


def register(app: App) -> None:
    """Add the command of each dataset; a module is imported when its command is chosen."""
    group = App(
        name="data",
        help="Prepare a dataset in the cache ($UNBRAID_CACHE, or the user's cache directory).",
        usage="unbraid data DATASET [OPTIONS]",
        help_epilogue=epilogue("unbraid data shapes3d"),
        group_commands=Group("Datasets"),
    )
    names = ["dsprites", *(f"dsprites-{kind}" for kind in VARIANTS), *PUBLISHED]
    summaries = {name: DATASETS.summary(name) for name in names} | CUSTOM
    for position, (name, summary) in enumerate(summaries.items()):
        path = f"unbraid.cli.data:command_{name}"
        group.command(path, name=name, help=summary, sort_key=position)
    app.command(group)


def __getattr__(name: str) -> App:
    dataset = name.removeprefix("command_")
    if name != dataset:
        if dataset == "dsprites":
            return _command(dataset, _dsprites, "unbraid data dsprites")
        if dataset.removeprefix("dsprites-") in VARIANTS:
            return _variant(dataset)
        if dataset in CUSTOM:
            return _custom(dataset)
        if dataset in PUBLISHED:
            return _published(dataset)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _dsprites(
    *,
    official: Annotated[
        Path | None,
        path(
            "Official .npz or .hdf5 file: compares every image with the rendered one, and"
            " uses the official images from then on (default: render them)",
        ),
    ] = None,
    again: Again = False,
) -> None:
    from unbraid.data.datasets import dsprites, dsprites_official

    if official:
        print(dsprites_official.prepare(official))
    else:
        print(dsprites.prepare(again=again))


def _variant(name: str) -> App:
    kind = name.removeprefix("dsprites-")

    def prepare(picture: Path | None) -> None:
        from unbraid.data.datasets import dsprites_variants

        print(dsprites_variants.prepare(kind, picture))

    def without_picture() -> None:
        prepare(None)

    def with_picture(
        *,
        picture: Annotated[
            Path | None,
            path("Image file for the background (default: the one given before)"),
        ] = None,
    ) -> None:
        prepare(picture)

    if kind == "scream":
        return _command(name, with_picture, f"unbraid data {name} --picture scream.jpg")
    return _command(name, without_picture, f"unbraid data {name}")


def _published(name: str) -> App:
    info = PUBLISHED[name]

    def prepare(
        *,
        local_path: Annotated[
            Path | None,
            path(
                "Official files that you downloaded: their directory, or the only file (default:"
                " download them)",
                "PATH",
            ),
        ] = None,
        again: Again = False,
    ) -> None:
        print(info.prepare(local_path, again=again))

    shape = "×".join(map(str, info.shape))
    details = (
        f"{info.images:,} images of {shape}: {info.preprocessing}. Official files:"
        f" {', '.join(file.name for file in info.files)}. Licence: {info.licence}. See"
        f" {info.homepage}."
    )
    return _command(name, prepare, f"unbraid data {name}", details)


def _custom(kind: str) -> App:
    from unbraid.data.custom import MAX_SIDE, MIN_SIDE

    def folder(
        path: Annotated[
            str,
            path_or_name("Folder, flat or with subfolders", "PATH"),
        ],
        /,
        *,
        size: Annotated[
            int | None,
            integer(
                f"Side to crop and resize images to, {MIN_SIDE} to {MAX_SIDE} pixels, as"
                " folder:PATH,size=N does (default: chosen from the images)"
            ),
        ] = None,
    ) -> None:
        _prepare_custom(f"folder:{path}" + ("" if size is None else f",size={size}"))

    def array(
        path: Annotated[
            str,
            path_or_name("File .npz with images and, optionally, factors", "FILE", name="file"),
        ],
        /,
    ) -> None:
        _prepare_custom(f"array:{path}")

    if kind == "folder":
        return _command(kind, folder, "unbraid data folder photos --size 96", CUSTOM_EPILOGUE)
    return _command(kind, array, "unbraid data array images.npz", CUSTOM_EPILOGUE)


def _prepare_custom(name: str) -> None:
    from unbraid.data import describe, load

    load(name)
    print(describe(name))


def _command(name: str, function: Any, example: str, *details: str) -> App:
    app = App(name=name, help_epilogue=epilogue(example, *details))
    app.default(function)
    return app
