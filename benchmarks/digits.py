"""Train a CascadeVAE on a folder of images: scikit-learn's digits, written as PNG files.

Run as `python -m benchmarks.digits`; it writes results/digits/. Nothing is downloaded, as
scikit-learn contains the images: 1,797 of 8×8 pixels and 16 grey levels, in a subfolder per digit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.archived_run import archive_run
from unbraid.runs import Run

RESULTS = Path("results/digits")
# Fixed before any run, without labels; results/digits/README.md explains the choice.
HYPERPARAMETERS = ["--preset", "quick", "--categories", "10", "--warmup-stages", "1"]
HYPERPARAMETERS += ["--stage-steps", "500", "--steps", "2600"]


def write_images(folder: Path) -> None:
    """Write every digit as a PNG file into a subfolder of its class."""
    digits: Any = load_digits()
    for number, (image, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        file = folder / str(digit) / f"{number:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.round(image * 255 / 16).astype(np.uint8)).save(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    flags = parser.parse_args()
    images = Path(tempfile.gettempdir()) / "unbraid-digits"
    if not images.exists():
        write_images(images)
    out = flags.runs / f"digits-{flags.seed}"
    command = [sys.executable, "-m", "unbraid"]
    train = ["train", "cascade-vae", *HYPERPARAMETERS, "--data", f"folder:{images},size=32"]
    train += ["--seed", str(flags.seed), "--threads", str(flags.threads), "--resume"]
    train += ["--out", str(out)]
    subprocess.run([*command, *train], check=True)
    subprocess.run([*command, "evaluate", str(out), "--threads", str(flags.threads)], check=True)
    subprocess.run([*command, "traverse", str(out), "--columns", "7"], check=True)
    archive_run(Run(out), RESULTS, train)


if __name__ == "__main__":
    main()
