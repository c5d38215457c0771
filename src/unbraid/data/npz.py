"""Arrays of an .npz archive, read in blocks that need not fit into memory together."""

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

BYTES_PER_BLOCK = 1 << 24


class Header(NamedTuple):
    """Shape and type of an array in an archive.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : numpy.dtype
        Type of its values.
    """

    shape: tuple[int, ...]
    dtype: np.dtype


def read_headers(archive: Path) -> dict[str, Header]:
    """Read shape and type of every array of an archive.

    Parameters
    ----------
    archive : Path
        The .npz file.

    Returns
    -------
    dict of str to Header
        Header of every array, by its name.

    Raises
    ------
    UserError
        If the file is not an .npz archive, or is truncated.
    """
    try:
        with zipfile.ZipFile(archive) as members:
            headers = {}
            for name in members.namelist():
                with members.open(name) as file:
                    headers[name.removesuffix(".npy")] = _read_header(file)
            return headers
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(
            f"{archive}: not a readable .npz archive ({_reason(error)}); write it with numpy.savez"
        ) from error


def read_array(archive: Path, name: str) -> Shaped[np.ndarray, "..."]:
    """Read a whole array.

    Parameters
    ----------
    archive : Path
        The .npz file.
    name : str
        Name of the array.

    Returns
    -------
    array
        The array.

    Raises
    ------
    UserError
        If the array is damaged or contains Python objects.
    """
    try:
        with np.load(archive, allow_pickle=False) as arrays:
            return arrays[name]
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(
            f"{archive}: the array {name} cannot be read ({_reason(error)}); write it as plain"
            " numbers or strings"
        ) from error


def read_blocks(archive: Path, name: str, desc: str) -> Iterator[Shaped[np.ndarray, "..."]]:
    """Read an array in blocks of rows, with a progress bar.

    Parameters
    ----------
    archive : Path
        The .npz file.
    name : str
        Name of the array.
    desc : str
        Text before the progress bar.

    Yields
    ------
    array
        The next rows of the array.

    Raises
    ------
    UserError
        If the array is truncated or damaged.
    """
    with contextlib.ExitStack() as stack:
        try:
            members = stack.enter_context(zipfile.ZipFile(archive))
            file = stack.enter_context(members.open(f"{name}.npy"))
            shape, dtype = _read_header(file)
            bytes_per_row = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
            block = max(1, BYTES_PER_BLOCK // max(1, bytes_per_row))
            bar = stack.enter_context(tqdm(total=shape[0], desc=desc, unit="image"))
            for start in range(0, shape[0], block):
                rows = min(block, shape[0] - start)
                data = file.read(rows * bytes_per_row)
                if len(data) < rows * bytes_per_row:
                    raise EOFError(f"fewer than {shape[0]:,} rows")
                yield np.frombuffer(data, dtype).reshape(rows, *shape[1:])
                bar.update(rows)
        except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(
                f"{archive}: the array {name} is truncated or damaged ({_reason(error)});"
                " replace the file with an intact copy"
            ) from error


def _read_header(file: io.BufferedIOBase | IO[bytes]) -> Header:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(file)
    if fortran_order and len(shape) > 1:
        raise ValueError("an array is in Fortran order; save it with numpy.ascontiguousarray")
    return Header(shape, dtype)


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
