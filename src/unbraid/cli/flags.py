"""Kinds of flags with their checks, and flags that several commands share."""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from unbraid.errors import ArgumentError

MAX_INTEGER = 2**63 - 1
# Limits of file systems, in bytes; 256 bytes of the path are reserved for files in a directory.
MAX_NAME = 255
MAX_PATH = 4096 - 256
MAX_THREADS = 1024
# Longer values are truncated in error messages.
MAX_SHOWN = 60


def printable(text: str) -> str:
    """Return text for one line of a terminal: escaped, truncated if long, in quotes if blank."""
    shown = text if text.isprintable() else ascii(text)[1:-1]
    if not shown.strip():
        shown = f"'{shown}'"
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}…"


def integer(
    text: str, metavar: str = "N", *, minimum: int | None = None, **settings: Any
) -> Parameter:
    """Return the settings of a flag whose value is an integer."""

    def convert(kind: Any, tokens: Sequence[Token]) -> int:
        value = _to_integer(kind, tokens)
        if minimum is not None and value < minimum:
            raise ValueError(f"must be at least {minimum}")
        return value

    return Parameter(help=text, metavar=metavar, converter=convert, **settings)


def number(text: str, metavar: str = "X", **settings: Any) -> Parameter:
    """Return the settings of a flag whose value is a real number."""
    return Parameter(help=text, metavar=metavar, converter=_to_float, **settings)


def path(text: str, metavar: str = "FILE", **settings: Any) -> Parameter:
    """Return the settings of a flag whose value is a path, or several.

    A path that no file system accepts is rejected before it is used.
    """
    return Parameter(help=text, metavar=metavar, converter=_to_path, **settings)


def path_or_name(text: str, metavar: str, **settings: Any) -> Parameter:
    """Return the settings of a flag whose value may contain a path."""
    return Parameter(help=text, metavar=metavar, converter=_to_text_with_path, **settings)


def use_threads(threads: int | None) -> None:
    """Set the number of CPU threads of PyTorch, unless it is None."""
    import torch

    if threads is not None:
        if not 1 <= threads <= MAX_THREADS:
            raise ArgumentError(
                "threads",
                threads,
                f"must be between 1 and {MAX_THREADS}",
                "set `threads` to the number of cores or less",
            )
        torch.set_num_threads(threads)


def _to_path(kind: Any, tokens: Sequence[Token]) -> Path | list[Path]:
    paths = [Path(_valid_path_text(token.value)) for token in tokens]
    return paths if typing.get_origin(kind) is list else paths[0]


def _to_text_with_path(kind: Any, tokens: Sequence[Token]) -> str:
    text = tokens[0].value
    if not text.strip():
        raise ValueError("is empty; give a name or a path")
    if named := re.sub(r"^(folder|array):|,size=\d*$", "", text):
        _valid_path_text(named)
    return text


def _valid_path_text(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; give a path")
    if "\0" in text:
        raise ValueError("contains a null byte; give a path without it")
    longest = max((len(os.fsencode(part)) for part in Path(text).parts), default=0)
    if longest > MAX_NAME:
        raise ValueError(
            f"a name in the path has {longest:,} bytes; give names of at most {MAX_NAME}"
        )
    try:
        total = len(os.fsencode(os.path.abspath(text)))
    except FileNotFoundError:  # the working directory was removed
        total = len(os.fsencode(text))
    if total > MAX_PATH:
        raise ValueError(f"the path has {total:,} bytes; give a path of at most {MAX_PATH:,}")
    return text


def _to_integer(kind: Any, tokens: Sequence[Token]) -> int:
    text = tokens[0].value.strip()
    digits = text.lstrip("+-")
    if digits.isdecimal() and len(digits) > 19:
        raise ValueError(f"has {len(digits):,} digits; give at most 18")
    return _converted(int, text, "must be an integer")


def _to_float(kind: Any, tokens: Sequence[Token]) -> float:
    return _converted(float, tokens[0].value, "must be a number")


def _converted(convert: Callable[[str], Any], text: str, rule: str) -> Any:
    try:
        value = convert(text)
    except ValueError:
        raise ValueError(rule) from None
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError(f"must be between {-MAX_INTEGER:,} and {MAX_INTEGER:,}")
    return value


RunDirectory = Annotated[Path, path("Run directory that unbraid train wrote", "DIR")]
Threads = Annotated[int | None, integer("Number of CPU threads (default: one per core)")]
Precision = Annotated[
    Literal["fp32", "bf16"] | None,
    Parameter(
        metavar="FORMAT", help="Floating-point format of the encoder (default: the run's own)"
    ),
]
DEVICE = "Device: cpu, cuda or cuda:N"
