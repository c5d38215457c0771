"""The flags of `unbraid study` and `unbraid report`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from unbraid.cli import commands
from unbraid.cli.parser import Parser, action


def add_study(group: Any) -> None:
    """`unbraid study run`, `status`, `table` and `keep`."""
    parser = group.add_parser(
        "study",
        help="many runs from one file, to one table",
        description="Run a study, say how far it is, print its table, keep what is small.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    run = _study_action(
        actions,
        "run",
        commands.study_run,
        "run what is missing, and only that",
        "Run what is missing of a study, and only that: each run is trained and scored by a worker"
        " process of its own. Stopped, by Ctrl-C or otherwise, it continues with the same command.",
    )
    run.add_argument("--workers", type=int, help="worker processes, default one per core or GPU")
    run.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="cpu: one run a core; cuda: one population a GPU, the seeds of a row; default cpu",
    )
    run.add_argument(
        "--members",
        type=int,
        metavar="N",
        help="runs that a worker takes at most, default 1 on a core and 10 on a GPU, where all"
        " move in one step",
    )
    run.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on a Ray cluster: auto for the one that this machine is part of, or an address",
    )
    run.add_argument("--failed", action="store_true", help="try failed runs again, too")
    _study_action(
        actions,
        "status",
        commands.study_status,
        "say what is done, failed, running and missing",
        "Say how many runs of each row are done, failed, running and missing, and why some failed.",
    )
    table = _study_action(
        actions,
        "table",
        commands.study_table,
        "print the table, published figures beside it",
        "Print a study's table as far as it is run: mean, std, standard error, best and every seed"
        " of the last checkpoint, the paper's protocol, label-free selection, failures.",
    )
    table.add_argument(
        "--format",
        choices=("text", "md", "latex", "csv", "parquet"),
        default="text",
        help="csv and parquet hold one record a run, default text",
    )
    table.add_argument("--to", type=Path, metavar="FILE", help="write it there, not to the screen")

    keep = _study_action(
        actions,
        "archive",
        commands.study_archive,
        "copy what is small, to commit it",
        "Copy results, logs and sample codes of what is run, and the weights of each row's best and"
        " median member in half precision, to another directory: some 100 kB a run, 2 MB for each"
        " that has weights. Tables and the page are made from there with --out, as from the runs.",
    )
    keep.add_argument("--to", type=Path, required=True, metavar="DIR", help="where it is kept")
    keep.add_argument(
        "--weights",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="of the best and the median member, default yes",
    )


def add_report(group: Any) -> None:
    """`unbraid report`."""
    parser = _study_action(
        group,
        "report",
        commands.report,
        "write a study's page",
        "Write a study, as far as it is run, as one HTML file: tables, every seed, learning curves,"
        " cascades, label-free criteria, traversals with sliders, provenance. It needs no network.",
    )
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="the page, default the study's name .html in --out"
    )


def _study_action(actions: Any, name: str, command: Any, summary: str, description: str) -> Parser:
    parser = action(actions, name, command, summary, description)
    parser.add_argument("file", type=Path, metavar="FILE", help="the study, a TOML file")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/studies"),
        metavar="DIR",
        help="where runs and results are, shared by any number of studies, default runs/studies",
    )
    return parser
