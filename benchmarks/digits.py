"""A CascadeVAE on a folder of one's own images: scikit-learn's digits, written out as PNGs.

Run as `python -m benchmarks.digits`; it writes results/digits/. The images come with scikit-learn,
so nothing is fetched: 1,797 grey pictures of 8×8 pixels and 16 levels, in a subfolder a digit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.step import machine

RESULTS = Path("results/digits")
# Chosen before any run, without the labels; results/digits/README.md says why.
HYPERPARAMETERS = ["--preset", "quick", "--categories", "10", "--warmup-stages", "1"]
HYPERPARAMETERS += ["--stage-steps", "500", "--steps", "2600"]
KEPT = ("config.toml", "log.jsonl", "scores.json", "cascade.png")


def write(folder: Path) -> None:
    """Every digit as a PNG, in a subfolder of its class."""
    digits: Any = load_digits()
    for number, (image, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        file = folder / str(digit) / f"{number:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.round(image * 255 / 16).astype(np.uint8)).save(file)


def keep_picture(out: Path) -> None:
    """The traversal, which is grey, without three channels of it."""
    with Image.open(out / "traversal.png") as picture:
        picture.convert("L").quantize(32).save(RESULTS / "traversal.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    flags = parser.parse_args()
    images = Path(tempfile.gettempdir()) / "unbraid-digits"
    if not images.exists():
        write(images)
    out = flags.runs / f"digits-{flags.seed}"
    command = [sys.executable, "-m", "unbraid"]
    train = ["train", "cascade-vae", *HYPERPARAMETERS, "--data", f"folder:{images},size=32"]
    train += ["--seed", str(flags.seed), "--threads", str(flags.threads), "--resume"]
    train += ["--out", str(out)]
    subprocess.run([*command, *train], check=True)
    subprocess.run([*command, "evaluate", str(out), "--threads", str(flags.threads)], check=True)
    subprocess.run([*command, "traverse", str(out), "--columns", "7"], check=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copy(out / name, RESULTS / name)
    keep_picture(out)
    sessions = json.loads((out / "provenance.json").read_text())
    facts = {"command": "unbraid " + " ".join(train), "machine": machine(), "sessions": sessions}
    (RESULTS / "provenance.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
