"""The command `unbraid`: the flags of every command; others in cli_explore.py, cli_studies.py."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unbraid import __version__
from unbraid.cli import commands
from unbraid.cli.data import DATA, add_data
from unbraid.cli.explore import add_explore
from unbraid.cli.export import add_codes, add_export
from unbraid.cli.parser import Parser, action
from unbraid.cli.studies import add_report, add_study
from unbraid.errors import UnbraidError, UserError
from unbraid.methods import METHODS, Method

DEVICE = "cpu, cuda or cuda:N, default cpu"
TRAIN_EPILOG = """\
Every loss term is in nats per image, summed over pixels and averaged over the batch. A flag that is
not given takes the preset's value. The run directory holds config.toml, log.jsonl, events/ (for
TensorBoard), checkpoint.safetensors and the previous one, provenance.json and cascade.png. Ctrl-C
stops with a checkpoint; --resume continues to the same bits as a run that was never stopped. With
--seeds it continues the members that are not finished; one that fails stops no other."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if it went well, 2 for a user's mistake, 130 after Ctrl-C.

    1 where the command says that something else failed, as runs of a study may.
    """
    flags = _parser().parse_args(arguments)
    try:
        return flags.command(flags) or 0
    except UserError as error:
        print(f"unbraid: {error}", file=sys.stderr)
        return 2
    except UnbraidError as error:
        print(f"unbraid: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("unbraid: stopped; what was reached is saved", file=sys.stderr)
        return 130


def _parser() -> Parser:
    parser = Parser(
        prog="unbraid",
        description="Learn disentangled representations of images, and measure how far it got.",
        epilog="Start with: unbraid train cascade-vae --preset quick --out runs/first",
    )
    parser.add_argument("--version", action="version", version=f"unbraid {__version__}")
    group = parser.add_subparsers(required=True, metavar="COMMAND")
    add_data(group)
    _add_train(group)
    _add_evaluate(group)
    _add_metrics(group)
    _add_traverse(group)
    _add_information(group)
    _add_compare(group)
    add_explore(group)
    add_export(group)
    add_codes(group)
    add_study(group)
    add_report(group)
    return parser


def _add_train(group: Any) -> None:
    parser = group.add_parser(
        "train", help="train a method", description="Train a method, or continue a run."
    )
    methods = parser.add_subparsers(required=True, metavar="METHOD")
    for method in METHODS.values():
        told = inspect.cleandoc(method.__doc__ or "")
        summary = told.splitlines()[0]
        one = methods.add_parser(
            method.name,
            help=summary.replace("%", "%%"),
            description=f"{method.title}. {told}",
            epilog=TRAIN_EPILOG,
        )
        _add_train_flags(one, method)


def _add_train_flags(parser: Parser, method: type[Method]) -> None:
    presets = "; ".join(
        f"{name}: {p.source}, {p.steps:,} steps of {p.batch_size}"
        for name, p in method.PRESETS.items()
    )
    run = parser.add_argument_group("run")
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run directory")
    run.add_argument("--data", default=None, help=DATA)
    first = next(iter(method.PRESETS))
    presets += f"; default {first}"
    run.add_argument("--preset", choices=method.PRESETS, default=first, help=presets)
    run.add_argument("--steps", type=int, help="steps to train for, in all")
    run.add_argument("--batch-size", type=int, help="images a step")
    run.add_argument("--seed", type=int, help="0 to 4294967295, default 0")
    run.add_argument(
        "--seeds",
        metavar="LIST",
        help="a population, as 0-9 or 0,3,5: seed i is the run DIR/seed-i, trained with one thread",
    )
    run.add_argument("--resume", action="store_true", help="continue what is in --out, if anything")
    run.add_argument(
        "--precision",
        help="fp32, bf16 or auto (bf16 where the processor multiplies it natively), default auto",
    )
    run.add_argument("--device", default="cpu", help=DEVICE)
    run.add_argument(
        "--threads",
        type=int,
        help="CPU threads (of a population, its members at work at once), default every core",
    )
    hyperparameters = parser.add_argument_group("hyperparameters")
    types = typing.get_type_hints(method)
    for field in dataclasses.fields(method):
        notes = field.metadata
        kind = types[field.name]
        source = notes["paper"] if notes["paper"] == "ours" else f"paper: {notes['paper']}"
        text = f"{notes['help']} [{notes['unit']}]; default {field.default}; {source}"
        how: dict[str, Any] = (
            {"action": argparse.BooleanOptionalAction}
            if kind is bool
            else {"type": kind, "metavar": "N" if kind is int else "X"}
        )
        flag = "--" + field.name.replace("_", "-")
        hyperparameters.add_argument(flag, default=None, help=text.replace("%", "%%"), **how)
    parser.set_defaults(command=commands.train, method=method)


def _add_evaluate(group: Any) -> None:
    parser = action(
        group,
        "evaluate",
        commands.evaluate,
        "score a run under every protocol",
        "Score a run's last checkpoint on all images; print and write scores.json,"
        " protocol by protocol: stopped, it continues with the missing ones. --images N looks at N"
        " of them, written to scores-N.json.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument(
        "--metrics",
        metavar="NAMES",
        help="all, or names with commas between (see unbraid metrics), default"
        " factor-vae,classification",
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=1,
        metavar="N",
        help="draw items and votes N times: mean and 95 %% interval, default 1",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the images that votes draw")
    parser.add_argument(
        "--images", type=int, metavar="N", help="a look at only N of the images, default all"
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        help="of the encoding, default the run's own",
    )
    parser.add_argument("--device", default="cpu", help=f"that encodes: {DEVICE}")
    parser.add_argument("--threads", type=int, help="CPU threads, default every core")


def _add_metrics(group: Any) -> None:
    action(
        group,
        "metrics",
        commands.metrics,
        "list every metric and its protocols",
        "List every metric and, under each, its protocols with their fields.",
    )


def _add_traverse(group: Any) -> None:
    parser = action(
        group,
        "traverse",
        commands.traverse,
        "draw what each dimension does",
        "Draw a run's latent traversals: traversal.png and traversal.gif in it.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    _add_traversal_flags(parser)


def _add_information(group: Any) -> None:
    parser = action(
        group,
        "information",
        commands.information,
        "what a code holds, and how it is spread",
        "Split a run's KL into I(x;z) + TC(z) + Σ KL(q(z_i) ‖ p(z_i)), in nats per"
        " image; print the terms with their residual and write information.json.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument(
        "--images",
        type=int,
        default=10_000,
        help="that stand for the dataset, default 10000; the time grows with their square",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the images drawn, default 0")
    parser.add_argument(
        "--stages",
        action="store_true",
        help="I(x; z_1 … z_i) at the end of every stage of a cascade too, drawn to stages.png",
    )
    parser.add_argument("--threads", type=int, help="CPU threads, default every core")


def _add_compare(group: Any) -> None:
    parser = action(
        group,
        "compare",
        commands.compare,
        "draw two runs side by side",
        "Draw the traversals of two runs of one dataset side by side, for the same"
        " images and with matching dimensions in a row.",
    )
    parser.add_argument("left", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument("right", type=Path, metavar="RUN", help="another one")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the picture, default compare.png in the first run"
    )
    _add_traversal_flags(parser)


def _add_traversal_flags(parser: Parser) -> None:
    parser.add_argument("--extent", type=float, default=2.0, help="in prior stds, default 2")
    parser.add_argument("--columns", type=int, default=11, help="pictures a row, default 11")
    parser.add_argument("--seed", type=int, default=0, help="of the images shown, default 0")
