"""Custom datasets from a folder of image files, flat or nested, decoded once into the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from unbraid.data import cache, stored
from unbraid.data.custom import DEFAULT_SIDE, MAX_SIDE, MIN_SIDE, CustomDataset
from unbraid.data.factors import FactorTable
from unbraid.data.image_files import Header, UnreadableError, decode, extensions, read_header
from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.files import written_atomically

Result = TypeVar("Result")
BLOCK = 256
# Increase it whenever a change of the code decodes the same files to other pixels.
DECODER_VERSION = 1


class Plan(NamedTuple):
    """Common size and colour of the images of a folder.

    Parameters
    ----------
    height, width : int
        Size in pixels.
    grey : bool
        Whether images have one channel instead of three.
    description : str
        How files are converted, for the user.
    """

    height: int
    width: int
    grey: bool
    description: str


def load(custom: CustomDataset) -> ImageTable:
    """Load the images of a folder, which are decoded into the cache at the first call.

    All are decoded again if the name, size or modification time of a file has changed.
    With a `size`, every image is cropped around its centre and resized to size×size pixels. Without
    one, images keep their size if all have the same, with sides of 28 to 256 pixels; otherwise they
    are cropped and resized to 64×64. They are grey if all files are grey, else in colour. If images
    are in several subfolders, the subfolder is the factor `folder`.

    Parameters
    ----------
    custom : CustomDataset
        Parsed name of the dataset.

    Returns
    -------
    ImageTable
        The images and their factors.

    Raises
    ------
    UserError
        If the folder does not exist, or if no image in it can be read.
    UserError or StorageError
        If the cache cannot be written.
    """
    files, num_others = _files(custom)
    listing = _listing(custom, files)
    path = custom.table_path
    with cache.table_lock(path.stem):
        if not _is_current(path, listing):
            _store(custom, files, num_others, listing)
        return stored.read(path, custom.name, f"delete {path} to decode the images again")


def describe(custom: CustomDataset) -> str:
    """Describe a loaded folder in a few lines.

    Parameters
    ----------
    custom : CustomDataset
        Parsed name of the dataset.

    Returns
    -------
    str
        Number, size and labels of the images, skipped files, and the file in the cache.
    """
    metadata = cache.read_metadata(custom.table_path)
    skipped = metadata["skipped"]
    lines = [
        f"{custom.path}: {metadata['images']:,} images, {metadata['plan']}",
        f"labels: {_describe_labels(metadata)}",
    ]
    if skipped:
        lines.append(
            f"skipped {len(skipped):,} unreadable files, listed in {_skipped_file(custom)}:"
        )
        lines += [f"  {name}: {reason}" for name, reason in skipped[:10]]
    if metadata["others"]:
        lines.append(f"ignored {metadata['others']:,} files that are not images")
    return "\n".join([*lines, f"stored in {custom.table_path}"])


def _describe_labels(metadata: dict[str, Any]) -> str:
    if not metadata.get("labels"):
        return "none, as all images are in one folder"
    folders = metadata["folders"]
    shown = ", ".join(folders[:10]) + (", …" if len(folders) > 10 else "")
    return f"the factor folder with {len(folders)} values ({shown})"


def _files(custom: CustomDataset) -> tuple[list[Path], int]:
    """Return the image files, recognised by extension and sorted, and the number of other files."""
    if not custom.path.is_dir():
        raise UserError(
            f"{custom.name}: no such folder; set `data` to folder:PATH with an existing folder"
        )
    supported = extensions()
    files, num_others = [], 0
    for folder, _, names in os.walk(custom.path):
        for file in (Path(folder) / name for name in names if not name.startswith(".")):
            if file.suffix.lower() in supported:
                files.append(file)
            else:
                num_others += 1
    if not files:
        raise UserError(
            f"{custom.name}: must contain image files; add PNG, JPEG or other images to the folder"
        )
    return sorted(files, key=lambda file: file.relative_to(custom.path).as_posix()), num_others


def _listing(custom: CustomDataset, files: Sequence[Path]) -> str:
    """Return a digest of the files' names, sizes and modification times."""
    digest = hashlib.sha256(f"{DECODER_VERSION} {custom.size}".encode())
    for file in files:
        entry: list[str | int] = [file.relative_to(custom.path).as_posix()]
        # A dangling link is skipped later, like any unreadable file.
        with contextlib.suppress(OSError):
            status = file.stat()
            entry += [status.st_size, status.st_mtime_ns]
        digest.update(json.dumps(entry).encode())
    return digest.hexdigest()


def _is_current(path: Path, listing: str) -> bool:
    try:
        return path.exists() and cache.read_metadata(path)["listing"] == listing
    except (OSError, ValueError, KeyError):
        return False


def _store(custom: CustomDataset, files: list[Path], num_others: int, listing: str) -> None:
    """Decode all files into the cache, and list those that cannot be read."""
    skipped: dict[str, str] = {}
    decoded: list[Path] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        headers = dict(_readable(custom, pool, read_header, files, "reading headers", skipped))
        if not headers:
            first, reason = next(iter(skipped.items()))
            raise UserError(
                f"{custom.name}: none of its {len(files):,} images can be read ({first}: {reason});"
                " replace them by readable images"
            )
        plan = _plan(custom, [*headers.values()])
        metadata = {
            "source": custom.name,
            "listing": listing,
            "plan": plan.description,
            "others": num_others,
        }

        def decode_file(file: Path) -> UInt8[np.ndarray, "c h w"]:
            return decode(file, plan.height, plan.width, grey=plan.grey)

        def blocks() -> Iterator[UInt8[np.ndarray, "b c h w"]]:
            block: list[np.ndarray] = []
            for file, image in _readable(
                custom, pool, decode_file, [*headers], "decoding images", skipped
            ):
                block.append(image)
                decoded.append(file)
                if len(block) == BLOCK:
                    yield np.stack(block)
                    block.clear()
            if block:
                yield np.stack(block)
            metadata["skipped"] = sorted(skipped.items())
            metadata["folders"] = sorted({_folder(custom, file) for file in decoded})

        stored.save(custom.table_path, blocks(), metadata, labels=lambda: _labels(custom, decoded))
    with written_atomically(_skipped_file(custom)) as file:
        file.write("".join(f"{n}\t{reason}\n" for n, reason in sorted(skipped.items())).encode())


def _readable(
    custom: CustomDataset,
    pool: ThreadPoolExecutor,
    read: Callable[[Path], Result],
    files: Sequence[Path],
    desc: str,
    skipped: dict[str, str],
) -> Iterator[tuple[Path, Result]]:
    """Yield the readable files in order with their results; add the others to `skipped`."""

    def attempt(file: Path) -> Result | UnreadableError:
        try:
            return read(file)
        except UnreadableError as error:
            return error

    with tqdm(total=len(files), desc=desc, unit="image") as bar:
        for start in range(0, len(files), BLOCK):
            block = files[start : start + BLOCK]
            for file, result in zip(block, pool.map(attempt, block), strict=True):
                bar.update()
                if isinstance(result, UnreadableError):
                    skipped[file.relative_to(custom.path).as_posix()] = str(result)
                else:
                    yield file, result


def _plan(custom: CustomDataset, headers: list[Header]) -> Plan:
    sizes = sorted({(header.height, header.width) for header in headers})
    grey = all(header.grey for header in headers)
    colour = "grey" if grey else "colour"
    smallest, largest = (f"{height}×{width}" for height, width in (sizes[0], sizes[-1]))
    if len(sizes) > 1:
        original = f"{len(sizes)} sizes ({smallest} to {largest})"
    else:
        original = smallest
        if custom.size is None and all(MIN_SIDE <= side <= MAX_SIDE for side in sizes[0]):
            return Plan(*sizes[0], grey, f"{colour}, {original} (original size)")
    side = custom.size or DEFAULT_SIDE
    crop = "" if all(h == w for h, w in sizes) else "cropped to a centred square and "
    hint = "" if custom.size else "; for another side use folder:PATH,size=N"
    description = f"{colour}, {original}, {crop}resized to {side}×{side}{hint}"
    return Plan(side, side, grey, description)


def _labels(custom: CustomDataset, files: list[Path]) -> FactorTable:
    names, values = np.unique([_folder(custom, file) for file in files], return_inverse=True)
    if len(names) < 2:
        return FactorTable.none(len(files))
    return FactorTable(("folder",), values.astype(np.int64)[:, None], "folder")


def _folder(custom: CustomDataset, file: Path) -> str:
    return file.parent.relative_to(custom.path).as_posix()


def _skipped_file(custom: CustomDataset) -> Path:
    return custom.table_path.with_suffix(".skipped.tsv")
