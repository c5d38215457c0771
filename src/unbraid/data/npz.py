"""Arrays of an .npz, read a part at a time: the whole need not fit into memory."""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from jaxtyping import Shaped
from tqdm import tqdm

from unbraid.errors import UserError

BYTES_A_BLOCK = 1 << 24


class Header(NamedTuple):
    """Shape and type of an array in an archive."""

    shape: tuple[int, ...]
    dtype: np.dtype


def headers(archive: Path) -> dict[str, Header]:
    """Every array of an .npz by its name; UserError if it is none, or is cut short."""
    try:
        with zipfile.ZipFile(archive) as members:
            found = {}
            for name in members.namelist():
                with members.open(name) as file:
                    found[name.removesuffix(".npy")] = _header(file)
            return found
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(
            f"{archive}: no .npz of arrays can be read from it ({_reason(error)}); write it with"
            " numpy.savez"
        ) from error


def array(archive: Path, name: str) -> Shaped[np.ndarray, "..."]:
    """A whole array; UserError if it holds objects or is broken."""
    try:
        with np.load(archive, allow_pickle=False) as arrays:
            return arrays[name]
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(
            f"{archive}: {name} cannot be read ({_reason(error)}); write it again as plain numbers"
        ) from error


def blocks(archive: Path, name: str, what: str) -> Iterator[Shaped[np.ndarray, "..."]]:
    """An array's rows, some at a time, with a progress bar; UserError if it is cut short."""
    with contextlib.ExitStack() as stack:
        try:
            members = stack.enter_context(zipfile.ZipFile(archive))
            file = stack.enter_context(members.open(f"{name}.npy"))
            shape, dtype = _header(file)
            row = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
            rows = max(1, BYTES_A_BLOCK // max(1, row))
            bar = stack.enter_context(tqdm(total=shape[0], desc=what, unit="image"))
            for start in range(0, shape[0], rows):
                number = min(rows, shape[0] - start)
                data = file.read(number * row)
                if len(data) < number * row:
                    raise EOFError(f"{start:,} whole rows of {shape[0]:,}")
                yield np.frombuffer(data, dtype).reshape(number, *shape[1:])
                bar.update(number)
        except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(
                f"{archive}: {name} is cut short or damaged ({_reason(error)}); get it again"
            ) from error


def _header(file: io.BufferedIOBase | IO[bytes]) -> Header:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    if fortran and len(shape) > 1:
        raise ValueError("columns first; save a C-contiguous array")
    return Header(shape, dtype)


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
