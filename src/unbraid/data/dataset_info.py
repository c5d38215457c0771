"""Published datasets: what is known of each, and how its official files become a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from unbraid.data import cache, stored
from unbraid.data.downloads import RemoteFile, fetch_files
from unbraid.data.factors import FactorSpace, FactorTable
from unbraid.data.images import ImageTable
from unbraid.errors import UserError

Blocks = Iterator[UInt8[np.ndarray, "b c h w"]]


@dataclass(frozen=True)
class ParsedFiles:
    """Content of official files while they are read.

    Parameters
    ----------
    blocks : iterator of uint8 arrays of shape (b, c, h, w)
        Images in order.
    labels : callable, optional
        Function that returns the labels, called after the last block. Default: the dataset is a
        grid of factors.
    """

    blocks: Blocks
    labels: Callable[[], FactorTable] | None = None


@dataclass(frozen=True)
class DatasetInfo:
    """A published dataset: its files, sizes and licence, and the reader of its official format.

    Parameters
    ----------
    name : str
        Name of the dataset in unbraid.
    title : str
        Its usual name.
    homepage : str
        Address of its homepage.
    licence : str
        Licence of the images.
    files : tuple of RemoteFile
        The official files.
    images : int
        Number of images.
    shape : tuple of int
        Channels, height and width of the images in unbraid.
    read : callable
        Function of the DatasetInfo and of the official files by their name that returns
        ParsedFiles; it raises UserError if the layout is not the official one.
    factors : FactorSpace, optional
        Grid of factors. Default: the labels are in the files.
    labels : tuple of str
        Names of the labels in the files, if there is no grid.
    preprocessing : str
        How the images differ from the official ones, for example "resized from 96×96 to 64×64".
    to_verify : str
        What must be verified at the first download of the real files: the readers have only been
        tested on small files in the same formats.
    """

    name: str
    title: str
    homepage: str
    licence: str
    files: tuple[RemoteFile, ...]
    images: int
    shape: tuple[int, int, int]
    read: Callable[[DatasetInfo, Mapping[str, Path]], ParsedFiles]
    factors: FactorSpace | None = None
    labels: tuple[str, ...] = ()
    preprocessing: str = "as in the official files"
    to_verify: str = "nothing beyond the digests"

    @property
    def table_path(self) -> Path:
        """File of the table in the cache."""
        return cache.cache_dir() / f"{self.name}.bits"

    def load(self) -> ImageTable:
        """Load the table from the cache after verifying it.

        Returns
        -------
        ImageTable
            The images and their factors.

        Raises
        ------
        UserError
            If the dataset has not been downloaded, or if its table is damaged.
        """
        if not self.table_path.exists():
            raise UserError(
                f"{self.name}: not downloaded yet; download it first with: unbraid data {self.name}"
            )
        remedy = f"make the table again with: unbraid data {self.name} --again"
        return stored.read(self.table_path, self.name, remedy, self.factors)

    def prepare(self, local_path: Path | None = None, *, again: bool = False) -> str:
        """Make the table in the cache from official files.

        Parameters
        ----------
        local_path : Path, optional
            Folder with the official files, or the file itself if there is only one. Default:
            download them, unless the table exists.
        again : bool, default False
            Whether to make the table even if it exists.

        Returns
        -------
        str
            Description of the table, with its licence, in a few lines.

        Raises
        ------
        UserError
            If a file cannot be downloaded, is not the official one, or has an unexpected layout.
        """
        with cache.table_lock(self.name):
            if again or local_path is not None or not self.table_path.exists():
                files = fetch_files(self.name, self.files, local_path)
                parsed = self.read(self, files)
                metadata = {"source": self.name, "licence": self.licence, "homepage": self.homepage}
                stored.save(
                    self.table_path, self._validated(parsed.blocks), metadata, labels=parsed.labels
                )
        return self.describe()

    def describe(self) -> str:
        """Describe the table in the cache in a few lines.

        Returns
        -------
        str
            Number and size of the images, factors, licence and file.
        """
        table = self.load()
        c, h, w = table.shape
        names, sizes = table.factors.names, table.factors.sizes
        factors = ", ".join(f"{name} {size}" for name, size in zip(names, sizes, strict=True))
        if len(names) > 10:
            factors = f"{len(names)} labels"
        return (
            f"{self.title}: {len(table):,} images of {c}×{h}×{w}, {self.preprocessing}\n"
            f"factors: {factors}\n"
            f"licence: {self.licence}; see {self.homepage}\nstored in {self.table_path}"
        )

    def layout_error(self, reason: str) -> UserError:
        """Return the error that files do not have the official layout.

        Parameters
        ----------
        reason : str
            What differs.

        Returns
        -------
        UserError
            The error, to be raised by a reader.
        """
        return UserError(
            f"{self.name}: not the official release ({reason}); download it from {self.homepage}"
        )

    def _validated(self, blocks: Blocks) -> Blocks:
        total = 0
        for block in blocks:
            if block.shape[1:] != self.shape:
                raise self.layout_error(f"images of {block.shape[1:]}, expected {self.shape}")
            total += len(block)
            yield block
        if total != self.images:
            raise self.layout_error(f"{total:,} images, expected {self.images:,}")
