"""Registries whose entries are imported when they are first used."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Generic, TypeVar

Entry = TypeVar("Entry")


class LazyRegistry(MutableMapping[str, Entry], Generic[Entry]):
    """Mapping from names to objects, each imported at its first lookup.

    Listing the names and their summaries imports nothing, so `unbraid --help` starts fast.

    Parameters
    ----------
    entries : mapping from str to str or (str, str)
        Import path, as "package.module:attribute" or "package.module"; or an import path and a
        one-line summary.

    Examples
    --------
    >>> registry = LazyRegistry({"square root": ("math:sqrt", "The positive root.")})
    >>> registry.summary("square root")
    'The positive root.'
    >>> registry["square root"](9.0)
    3.0
    >>> registry["length"] = len
    >>> list(registry)
    ['square root', 'length']
    """

    def __init__(self, entries: Mapping[str, str | tuple[str, str]]) -> None:
        self._paths: dict[str, str] = {}
        self._summaries: dict[str, str] = {}
        self._objects: dict[str, Any] = {}
        for name, entry in entries.items():
            self._objects[name] = None
            if isinstance(entry, str):
                self._paths[name] = entry
            else:
                self._paths[name], self._summaries[name] = entry

    def __getitem__(self, name: str) -> Entry:
        if self._objects[name] is None:
            self._objects[name] = pkgutil.resolve_name(self._paths[name])
        return self._objects[name]

    def __setitem__(self, name: str, entry: Entry) -> None:
        self._objects[name] = entry
        self._summaries.pop(name, None)

    def __delitem__(self, name: str) -> None:
        del self._objects[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def __contains__(self, name: object) -> bool:
        # The mixin's method would look the entry up, which imports it.
        return name in self._objects

    def __len__(self) -> int:
        return len(self._objects)

    def summary(self, name: str) -> str:
        """Return the one-line summary of an entry.

        Parameters
        ----------
        name : str
            Name of the entry.

        Returns
        -------
        str
            The summary that was registered; else the first line of the entry's docstring.
        """
        if name in self._summaries:
            return self._summaries[name]
        return (inspect.getdoc(self[name]) or "").partition("\n")[0]
