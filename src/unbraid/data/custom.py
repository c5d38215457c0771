"""The name of one's own data: folder:PATH, folder:PATH,size=N or array:FILE.npz."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from unbraid.data import cache
from unbraid.errors import UserError

# Sides that networks are made for, and the one that images of several sizes are brought to.
SMALLEST, LARGEST, USUAL = 28, 256, 64
KINDS = ("folder", "array")


@dataclass(frozen=True)
class CustomDataset:
    """One's own data: a kind, an absolute path and, of a folder, the side to resize to."""

    kind: str
    path: Path
    size: int | None = None

    @property
    def name(self) -> str:
        """The name that `parse` takes, wherever it is called."""
        size = "" if self.size is None else f",size={self.size}"
        return f"{self.kind}:{self.path}{size}"

    @property
    def stored(self) -> Path:
        """Where its table is in the cache."""
        plain = re.sub(r"[^A-Za-z0-9-]+", "-", self.path.name).strip("-")[:40]
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:12]
        return cache.cache_dir() / f"{self.kind}-{plain}-{digest}.bits"


def parse(name: str) -> CustomDataset | None:
    """The data that a name stands for, None if it is no path; UserError for a wrong size."""
    kind, colon, rest = name.partition(":")
    if not colon or kind not in KINDS:
        return None
    rest, found, size = rest.rpartition(",size=") if kind == "folder" else ("", "", rest)
    if not found:
        rest, size = size, ""
    if not rest:
        raise UserError(f"data {name!r}: no path in it; give {kind}:PATH")
    if found and not (size.isascii() and size.isdigit() and SMALLEST <= int(size) <= LARGEST):
        raise UserError(
            f"data {name!r}: size={size}: networks take sides of {SMALLEST} to {LARGEST} pixels;"
            f" give ,size={USUAL} or another in there"
        )
    path = Path(rest).expanduser().absolute()
    return CustomDataset(kind, path, int(size) if found else None)
