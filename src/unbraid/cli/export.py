"""The flags of `unbraid export` and `unbraid codes`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unbraid.cli import commands
from unbraid.cli.parser import action


def add_export(group: Any) -> None:
    """`unbraid export`."""
    parser = action(
        group,
        "export",
        commands.export,
        "write a run's networks for other programs",
        "Write a run's encoder.onnx and decoder.onnx into it, held by onnxruntime to 1e-4 of what"
        " torch says: x to mean, std and category; z and d to pixels.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument(
        "--onnx", action="store_true", required=True, help="as ONNX, the one format so far"
    )


def add_codes(group: Any) -> None:
    """`unbraid codes`."""
    parser = action(
        group,
        "codes",
        commands.codes,
        "write what a run says of every image",
        "Write the codes of all images of a run's dataset as columns, an image a row in the"
        " dataset's order: mean_0 …, std_0 …, category, and every factor by its name.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument("--format", choices=("npz", "parquet"), default="npz", help="default npz")
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="default codes.npz or codes.parquet in the run"
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        help="of the encoding, default the run's own",
    )
    parser.add_argument("--threads", type=int, help="CPU threads, default every core")
