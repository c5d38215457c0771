"""Flags that several commands share, and the checks that every flag passes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from unbraid.errors import ArgumentError

MAX_INTEGER = 2**63 - 1
# Limits of file systems, in bytes; of the path, some are left for the files in a directory.
MAX_NAME = 255
MAX_PATH = 4096 - 256
# Longer values are cut in error messages.
MAX_SHOWN = 60


def printable(text: str) -> str:
    """Return text that stays on one line of a terminal: escaped, and cut if it is long."""
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}…"


def integer(text: str, metavar: str = "N", **settings: Any) -> Parameter:
    """Return the settings of a flag that takes an integer."""
    return Parameter(help=text, metavar=metavar, converter=_to_integer, **settings)


def number(text: str, metavar: str = "X", **settings: Any) -> Parameter:
    """Return the settings of a flag that takes a real number."""
    return Parameter(help=text, metavar=metavar, converter=_to_float, **settings)


def check_value(kind: Any, value: Any) -> None:
    """Raise ValueError for a text or path that no file system accepts.

    It is the default validator of every flag.
    """
    for item in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(item, (str, Path)) and "\0" in str(item):
            raise ValueError("contains a null byte; give a text without it")
        if isinstance(item, Path):
            _check_length(item)


def check_path_in_text(kind: Any, value: Any) -> None:
    """Raise ValueError for a path that no file system accepts, in a flag that takes a text."""
    check_value(kind, value)
    if isinstance(value, str):
        _check_length(Path(re.sub(r"^(folder|array):|,size=\d*$", "", value)))


def use_threads(threads: int | None) -> None:
    """Set the number of CPU threads of PyTorch, unless it is None."""
    import torch

    if threads is not None:
        if threads < 1:
            raise ArgumentError(
                "threads", threads, "must be at least 1", "set `threads` to 1 or more"
            )
        torch.set_num_threads(min(threads, 2**15))


def _check_length(path: Path) -> None:
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    if longest > MAX_NAME:
        raise ValueError(
            f"a name in the path has {longest:,} bytes; give names of at most {MAX_NAME}"
        )
    total = len(os.fsencode(path.absolute()))
    if total > MAX_PATH:
        raise ValueError(f"the path has {total:,} bytes; give a path of at most {MAX_PATH:,}")


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


RunDirectory = Annotated[Path, Parameter(help="Run directory that unbraid train wrote")]
Threads = Annotated[int | None, integer("Number of CPU threads (default: one per core)")]
Precision = Annotated[
    Literal["fp32", "bf16"] | None,
    Parameter(help="Floating-point format of the encoder (default: the run's own)"),
]
DEVICE = "Device: cpu, cuda or cuda:N"
