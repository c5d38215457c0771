"""One's own images: a folder of picture files, flat or nested, decoded once into the cache."""

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
from unbraid.data.custom import LARGEST, SMALLEST, USUAL, CustomDataset
from unbraid.data.factors import FactorTable
from unbraid.data.image_files import Header, UnreadableError, decode, endings, header
from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.files import written_atomically

Found = TypeVar("Found")
BLOCK = 256
# Goes up when the same files give other pixels.
DECODER = 1


class Plan(NamedTuple):
    """To what every image of a folder is brought."""

    height: int
    width: int
    grey: bool
    why: str


def load(own: CustomDataset) -> ImageTable:
    """The folder's images, decoded at the first call and whenever a file is another.

    One size: `own.size` squared; or that of all, if they have one, of 28 to 256 a side; or 64×64.
    Grey if all are, else colour. The subfolder of an image is its factor `folder`, if there are
    several. UserError if no image can be read.
    """
    files, others = _files(own)
    listing = _listing(own, files)
    path = own.stored
    with cache.lock(path.stem):
        if not _made_of(path, listing):
            _make(own, files, others, listing)
        return stored.read(path, own.name, f"make it again: delete {path} first")


def report(own: CustomDataset) -> str:
    """What was made of the folder, in a few lines."""
    facts = cache.facts_of(own.stored)
    skipped = facts["skipped"]
    lines = [
        f"{own.path}: {facts['images']:,} images, {facts['plan']}",
        f"labels: {_told(facts)}",
    ]
    if skipped:
        lines.append(f"broken files skipped: {len(skipped):,}, listed in {_skipped_file(own)}:")
        lines += [f"  {name}: {why}" for name, why in skipped[:10]]
    if facts["others"]:
        lines.append(f"files that are no images left out: {facts['others']:,}")
    return "\n".join([*lines, f"in {own.stored}"])


def _told(facts: dict[str, Any]) -> str:
    if not facts.get("labels"):
        return "none, as all lie in one folder"
    folders = facts["folders"]
    shown = ", ".join(folders[:10]) + (", …" if len(folders) > 10 else "")
    return f"the factor folder of {len(folders)} values ({shown})"


def _files(own: CustomDataset) -> tuple[list[Path], int]:
    """Every picture file in a fixed order, by its ending, and how many other files there are."""
    if not own.path.is_dir():
        raise UserError(f"{own.name}: no such folder; give the path of a folder of images")
    known = endings()
    files, others = [], 0
    for folder, _, names in os.walk(own.path):
        for file in (Path(folder) / name for name in names if not name.startswith(".")):
            if file.suffix.lower() in known:
                files.append(file)
            else:
                others += 1
    if not files:
        raise UserError(f"{own.name}: no image in it; give a folder of PNG, JPEG or the like")
    return sorted(files, key=lambda file: file.relative_to(own.path).as_posix()), others


def _listing(own: CustomDataset, files: Sequence[Path]) -> str:
    """A digest of names, sizes and times: while it stays, nothing is decoded again."""
    digest = hashlib.sha256(f"{DECODER} {own.size}".encode())
    for file in files:
        line: list[str | int] = [file.relative_to(own.path).as_posix()]
        # A link to nothing is a broken file like any other.
        with contextlib.suppress(OSError):
            facts = file.stat()
            line += [facts.st_size, facts.st_mtime_ns]
        digest.update(json.dumps(line).encode())
    return digest.hexdigest()


def _made_of(path: Path, listing: str) -> bool:
    try:
        return path.exists() and cache.facts_of(path)["listing"] == listing
    except (OSError, ValueError, KeyError):
        return False


def _make(own: CustomDataset, files: list[Path], others: int, listing: str) -> None:
    """Look at every file, plan, decode; broken ones are noted and left out."""
    skipped: dict[str, str] = {}
    kept: list[Path] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(_readable(own, pool, header, files, "looking at images", skipped))
        if not found:
            first, why = next(iter(skipped.items()))
            raise UserError(
                f"{own.name}: none of its {len(files):,} images can be read ({first}: {why}); give"
                " pictures that open elsewhere"
            )
        plan = _plan(own, [*found.values()])
        facts = {"source": own.name, "listing": listing, "plan": plan.why, "others": others}

        def one(file: Path) -> UInt8[np.ndarray, "c h w"]:
            return decode(file, plan.height, plan.width, grey=plan.grey)

        def blocks() -> Iterator[UInt8[np.ndarray, "b c h w"]]:
            images: list[np.ndarray] = []
            for file, image in _readable(own, pool, one, [*found], "decoding images", skipped):
                images.append(image)
                kept.append(file)
                if len(images) == BLOCK:
                    yield np.stack(images)
                    images.clear()
            if images:
                yield np.stack(images)
            facts["skipped"] = sorted(skipped.items())
            facts["folders"] = sorted({_folder(own, file) for file in kept})

        stored.save(own.stored, blocks(), facts, labels=lambda: _labels(own, kept))
    with written_atomically(_skipped_file(own)) as file:
        file.write("".join(f"{n}\t{why}\n" for n, why in sorted(skipped.items())).encode())


def _readable(
    own: CustomDataset,
    pool: ThreadPoolExecutor,
    work: Callable[[Path], Found],
    files: Sequence[Path],
    what: str,
    skipped: dict[str, str],
) -> Iterator[tuple[Path, Found]]:
    """What `work` gives for each file, in their order; why it failed goes to `skipped`."""

    def attempt(file: Path) -> Found | UnreadableError:
        try:
            return work(file)
        except UnreadableError as error:
            return error

    with tqdm(total=len(files), desc=what, unit="image") as bar:
        for start in range(0, len(files), BLOCK):
            part = files[start : start + BLOCK]
            for file, found in zip(part, pool.map(attempt, part), strict=True):
                bar.update()
                if isinstance(found, UnreadableError):
                    skipped[file.relative_to(own.path).as_posix()] = str(found)
                else:
                    yield file, found


def _plan(own: CustomDataset, headers: list[Header]) -> Plan:
    sizes = sorted({(found.height, found.width) for found in headers})
    grey = all(found.grey for found in headers)
    colour = "grey" if grey else "colour"
    if len(sizes) == 1:
        had = f"{sizes[0][0]}×{sizes[0][1]}"
        if own.size is None and all(SMALLEST <= side <= LARGEST for side in sizes[0]):
            return Plan(*sizes[0], grey, f"{colour}, {had} as they are")
    else:
        had = (
            f"of {len(sizes)} sizes ({sizes[0][0]}×{sizes[0][1]} to {sizes[-1][0]}×{sizes[-1][1]})"
        )
    side = own.size or USUAL
    cut = "" if all(h == w for h, w in sizes) else "cut square around the centre and "
    ask = "" if own.size else "; another side: folder:PATH,size=N"
    return Plan(side, side, grey, f"{colour}, {had}, {cut}resized to {side}×{side}{ask}")


def _labels(own: CustomDataset, files: list[Path]) -> FactorTable:
    names, value = np.unique([_folder(own, file) for file in files], return_inverse=True)
    if len(names) < 2:
        return FactorTable.none(len(files))
    return FactorTable(("folder",), value.astype(np.int64)[:, None], "folder")


def _folder(own: CustomDataset, file: Path) -> str:
    return file.parent.relative_to(own.path).as_posix()


def _skipped_file(own: CustomDataset) -> Path:
    return own.stored.with_suffix(".skipped.tsv")
