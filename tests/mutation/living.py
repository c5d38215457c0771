"""Living functions by their name in the source, and imports of a mutated source."""

from __future__ import annotations

import gc
import types
from collections import defaultdict
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any


def functions(code: types.CodeType) -> Iterator[tuple[str, types.CodeType]]:
    """Yield the qualified name and the code of every function in compiled code."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant.co_qualname, constant
            yield from functions(constant)


def serve(file: Path, mutated: bytes) -> None:
    """Let the import system read the mutated source, and no compiled file."""
    get_data, path_stats = SourceFileLoader.get_data, SourceFileLoader.path_stats

    def data(self: SourceFileLoader, path: str) -> bytes:
        return mutated if path == str(file) else get_data(self, path)

    def stats(self: SourceFileLoader, path: str) -> Any:
        if path == str(file):
            raise OSError
        return path_stats(self, path)

    SourceFileLoader.get_data = data
    SourceFileLoader.path_stats = stats


def living_functions(
    folder: str,
) -> dict[tuple[str, str], list[list[types.FunctionType]]]:
    """Group functions by file and name; those that share code, in the order of the file."""
    found: dict[tuple[str, str], dict[int, list[types.FunctionType]]] = {}
    for function in [o for o in gc.get_objects() if type(o) is types.FunctionType]:
        code = function.__code__
        if code.co_filename.startswith(folder):
            by_line = found.setdefault((code.co_filename, code.co_qualname), {})
            by_line.setdefault(code.co_firstlineno, []).append(function)
    living: dict[Any, list[list[types.FunctionType]]] = defaultdict(list)
    for key, by_line in found.items():
        living[key] = [by_line[line] for line in sorted(by_line)]
    return living
