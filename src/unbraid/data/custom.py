"""Names of custom datasets: folder:PATH, folder:PATH,size=N or array:FILE.npz."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from unbraid.data import cache
from unbraid.errors import ArgumentError

# Sides of an image, in pixels, that the networks support; images of several sizes are resized to
# the default.
MIN_SIDE, MAX_SIDE, DEFAULT_SIDE = 28, 256, 64
KINDS = ("folder", "array")


@dataclass(frozen=True)
class CustomDataset:
    """Images of the user's own: a folder of image files, or an archive of arrays.

    Parameters
    ----------
    kind : {"folder", "array"}
        Kind of the source.
    path : Path
        Absolute path of the folder or archive.
    size : int, optional
        Side to resize the images of a folder to, in pixels. Default: see `folder.load`.

    Examples
    --------
    >>> CustomDataset("folder", Path("/data/photos"), 96).name
    'folder:/data/photos,size=96'
    """

    kind: str
    path: Path
    size: int | None = None

    @property
    def name(self) -> str:
        """Name that `parse` reads, the same from every working directory."""
        size = "" if self.size is None else f",size={self.size}"
        return f"{self.kind}:{self.path}{size}"

    @property
    def table_path(self) -> Path:
        """File of the table in the cache."""
        readable = re.sub(r"[^A-Za-z0-9-]+", "-", self.path.name).strip("-")[:40]
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:12]
        return cache.cache_dir() / f"{self.kind}-{readable}-{digest}.bits"


def parse(name: str) -> CustomDataset | None:
    """Parse the name of a custom dataset.

    Parameters
    ----------
    name : str
        Name of any dataset.

    Returns
    -------
    CustomDataset or None
        None if the name is not that of a custom dataset.

    Raises
    ------
    ArgumentError
        If the path is missing, or if the size is not between 28 and 256 pixels.

    Examples
    --------
    >>> parse("folder:/data/photos,size=96").size
    96
    >>> parse("dsprites") is None
    True
    """
    kind, colon, path = name.partition(":")
    if not colon or kind not in KINDS:
        return None
    size = None
    if kind == "folder" and ",size=" in path:
        path, _, size = path.rpartition(",size=")
    if not path:
        raise ArgumentError("data", name, "the path is missing", f"set `data` to {kind}:PATH")
    if size is not None and not _is_side(size):
        raise ArgumentError(
            "data",
            name,
            f"the size must be between {MIN_SIDE} and {MAX_SIDE} pixels",
            f"set `data` to folder:{path},size={DEFAULT_SIDE} or another size in this range",
        )
    absolute = Path(path).expanduser().absolute()
    return CustomDataset(kind, absolute, None if size is None else int(size))


def _is_side(size: str) -> bool:
    return size.isascii() and size.isdigit() and MIN_SIDE <= int(size) <= MAX_SIDE
