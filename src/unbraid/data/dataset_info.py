"""What is known of a published dataset before its first download: a record, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from unbraid.data import cache, stored
from unbraid.data.downloads import RemoteFile, obtain
from unbraid.data.factors import Factors, FactorSpace, FactorTable
from unbraid.data.images import ImageTable
from unbraid.errors import UserError

Blocks = Iterator[UInt8[np.ndarray, "b c h w"]]


@dataclass(frozen=True)
class Reading:
    """An official format while it is read: images block by block, then, without a grid, labels."""

    blocks: Blocks
    labels: Callable[[], FactorTable] | None = None


@dataclass(frozen=True)
class DatasetInfo:
    """A published dataset: files, sizes, licence, and how its official format is read.

    `shape` is that of our images (c, h, w), `images` their number. `factors` is the grid, None
    where the values come with the files, under the names `labels`. `read(facts, files)` takes the
    official files by their name and raises UserError where their layout is another. `made` is how
    our images differ from the official ones, `check` what a first real download must check: none
    of this has been tried against the real files.
    """

    name: str
    title: str
    homepage: str
    licence: str
    files: tuple[RemoteFile, ...]
    images: int
    shape: tuple[int, int, int]
    read: Callable[[DatasetInfo, Mapping[str, Path]], Reading]
    factors: FactorSpace | None = None
    labels: tuple[str, ...] = ()
    made: str = "the official images as they are"
    check: str = "nothing beyond the digests"

    @property
    def stored(self) -> Path:
        """Where the table is in the cache."""
        return cache.cache_dir() / f"{self.name}.bits"

    def load(self) -> ImageTable:
        """The table, verified; UserError if it was never prepared, or was damaged."""
        if not self.stored.exists():
            raise UserError(
                f"{self.name}: it is not in the cache; get it first: unbraid data {self.name}"
            )
        remedy = f"make it again: unbraid data {self.name} --again"
        return stored.read(self.stored, self.name, remedy, self.factors)

    def prepare(self, local: Path | None = None, *, again: bool = False) -> str:
        """Have the table in the cache, from official files at `local` or downloaded ones.

        Says, in a few lines, where it is and under which licence. UserError if a file cannot be
        had, is not the official one, or holds something else than it should.
        """
        with cache.lock(self.name):
            if again or local is not None or not self.stored.exists():
                files = obtain(self.name, self.files, local)
                reading = self.read(self, files)
                about = {"source": self.name, "licence": self.licence, "homepage": self.homepage}
                stored.save(
                    self.stored, self._checked(reading.blocks), about, labels=reading.labels
                )
        return self.report()

    def report(self) -> str:
        """What is in the cache, in a few lines."""
        table = self.load()
        c, h, w = table.shape
        factors: Factors = table.factors
        sizes = zip(factors.names, factors.sizes, strict=True)
        listed = ", ".join(f"{name} {size}" for name, size in sizes)
        shown = listed if len(factors.names) <= 10 else f"{len(factors.names)} labels"
        return (
            f"{self.title}: {len(table):,} images of {c}×{h}×{w}, {self.made}\n"
            f"factors: {shown}\n"
            f"licence: {self.licence}; see {self.homepage}\nin {self.stored}"
        )

    def _checked(self, blocks: Blocks) -> Blocks:
        number = 0
        for block in blocks:
            if block.shape[1:] != self.shape:
                raise self.other(f"images of {block.shape[1:]}, not {self.shape}")
            number += len(block)
            yield block
        if number != self.images:
            raise self.other(f"{number:,} images, not {self.images:,}")

    def other(self, found: str) -> UserError:
        """The mistake that files are not laid out as the official ones."""
        return UserError(
            f"{self.name}: {found}, so it is not the official release; get it from {self.homepage}"
        )
