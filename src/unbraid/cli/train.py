"""`unbraid train`: one command per method, with a flag for each of its hyperparameters.

This module does not postpone the evaluation of annotations, because cyclopts reads those of the
functions that `_command` defines.
"""

import dataclasses
import inspect
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from unbraid.cli.data import DATA_HELP
from unbraid.cli.flags import DEVICE, integer, number, path, path_or_name, use_threads
from unbraid.cli.help import epilogue
from unbraid.errors import ArgumentError
from unbraid.methods import METHODS

EPILOGUE = """\
All loss terms are in nats per image: summed over pixels, averaged over the batch.

The run directory has config.toml, log.jsonl, events/ for TensorBoard, checkpoint.safetensors and
the checkpoint before it, provenance.json and cascade.png. Ctrl-C saves a checkpoint; with --resume,
the result is bit for bit that of an uninterrupted run. With --seeds, --resume trains the members
that are not finished, and a member that fails does not stop the others.
"""
RUN, HYPERPARAMETERS = Group("Run", sort_key=1), Group("Hyperparameters", sort_key=2)


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Flags that are the same for every method."""

    out: Annotated[Path, path("Run directory", "DIR")]
    data: Annotated[
        str | None,
        path_or_name(f"{DATA_HELP} (default: dsprites)", "DATASET"),
    ] = None
    steps: Annotated[
        int | None, integer("Total number of training steps (default: the preset's)")
    ] = None
    batch_size: Annotated[
        int | None, integer("Number of images per step (default: the preset's)")
    ] = None
    seed: Annotated[int | None, integer("Seed of the run, 0 to 4294967295 (default: 0)")] = None
    seeds: Annotated[
        str | None,
        Parameter(
            metavar="LIST",
            help="Seeds of a population, as 0-9 or 0,3,5: the run of seed i is in DIR/seed-i and"
            " uses one thread (default: a single run)",
        ),
    ] = None
    resume: Annotated[bool, Parameter(help="Resume the runs in --out, if there are any")] = False
    precision: Annotated[
        str | None,
        Parameter(
            metavar="FORMAT",
            help="Floating-point format of the networks: fp32, bf16, or auto for bf16 where the"
            " processor supports it natively (default: auto)",
        ),
    ] = None
    device: Annotated[str, Parameter(metavar="DEVICE", help=DEVICE)] = "cpu"
    threads: Annotated[
        int | None,
        integer(
            "Number of CPU threads; with --seeds, number of members trained at once (default: one"
            " per core)"
        ),
    ] = None


def register(app: App) -> None:
    """Add the command of each method; a method is imported when its command is chosen."""
    group = App(
        name="train",
        help="Train a method, or resume a run.",
        usage="unbraid train METHOD --out DIR [OPTIONS]",
        help_epilogue=epilogue(
            "unbraid train cascade-vae --preset quick --out runs/first",
            "Each method has flags for its hyperparameters: see unbraid train METHOD --help.",
        ),
        group_commands=Group("Methods"),
    )
    for position, name in enumerate(METHODS):
        group.command(
            f"unbraid.cli.train:command_{name}",
            name=name,
            help=METHODS.summary(name),
            sort_key=position,
        )
    app.command(group)


def __getattr__(name: str) -> App:
    method = name.removeprefix("command_")
    if name == method or method not in METHODS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _command(METHODS[method])


def _command(method: type) -> App:
    Settings = _settings(method)  # noqa: N806
    unset = Settings()

    def train(
        *,
        flags: Annotated[RunFlags, Parameter(name="*", group=RUN)],
        settings: Annotated[
            Settings,  # pyright: ignore[reportInvalidTypeForm]
            Parameter(name="*", group=HYPERPARAMETERS),
        ] = unset,
    ) -> None:
        hyperparameters = {k: v for k, v in vars(settings).items() if v is not None}
        preset = hyperparameters.pop("preset", None)
        _train(method, flags, preset, hyperparameters)

    example = f"unbraid train {method.name} --preset quick --out runs/{method.name}"
    app = App(
        name=method.name,
        help_epilogue=epilogue(example, *_description(method), *EPILOGUE.split("\n\n")),
    )
    app.default(train)
    return app


def _settings(method: type) -> type:
    """Return a dataclass of the preset and the hyperparameters; unset flags are None."""
    presets = "; ".join(
        f"{name}: {preset.source}, {preset.steps:,} steps of {preset.batch_size} images"
        for name, preset in method.PRESETS.items()
    )
    text = (
        f"Preset of hyperparameters and budget. {presets} (default: {next(iter(method.PRESETS))})"
    )
    names = Literal[tuple(method.PRESETS)]
    preset = Annotated[names | None, Parameter(help=text, metavar="NAME", group=RUN)]
    types = typing.get_type_hints(method)
    fields: list[Any] = [("preset", preset, None)]
    for field in dataclasses.fields(method):
        kind = types[field.name]
        fields.append((field.name, Annotated[kind | None, _parameter(method, field, kind)], None))
    # With the default module, "types", cyclopts would take the class for a builtin.
    namespace = {"__module__": __name__}
    return dataclasses.make_dataclass("Settings", fields, kw_only=True, namespace=namespace)


def _parameter(method: type, field: dataclasses.Field, kind: type) -> Parameter:
    notes = field.metadata
    text = notes["help"] if notes["help"][0] > "z" else notes["help"][0].upper() + notes["help"][1:]
    unit = notes["unit"] if kind is bool else f"unit: {notes['unit']}"
    defaults = [f"default: {_shown(field.default)}"]
    for name, preset in method.PRESETS.items():
        if preset.hyperparameters.get(field.name, field.default) != field.default:
            defaults.append(f"in preset {name}: {_shown(preset.hyperparameters[field.name])}")
    source = notes["paper"] if notes["paper"] == "ours" else f"paper: {notes['paper']}"
    text = f"{text} ({unit}; {'; '.join([*defaults, source])})"
    if kind is bool:
        return Parameter(help=text, negative=f"--no-{field.name.replace('_', '-')}")
    return integer(text) if kind is int else number(text)


def _shown(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _description(method: type) -> list[str]:
    """Return the paragraphs of a method's docstring before its sections."""
    text = re.split(r"\n[^\n]+\n---+\n", inspect.getdoc(method) or "")[0]
    return text.strip().split("\n\n")


def _train(
    method: type, flags: RunFlags, preset: str | None, hyperparameters: Mapping[str, Any]
) -> None:
    """Train a run or a population, and draw the cascade of each run."""
    from unbraid.data import describe, load
    from unbraid.engine import member, seeds_of, train, train_population
    from unbraid.report import cascade_figure
    from unbraid.runs import Run, configure

    if flags.seed is not None and flags.seeds is not None:
        raise ArgumentError(
            "seed", flags.seed, "cannot be combined with `seeds`", "set one of the two"
        )
    seeds = seeds_of(flags.seeds) if flags.seeds is not None else []
    runs = [member(flags.out, seed) for seed in seeds] or [Run(flags.out)]
    overrides = ("data", "steps", "batch_size", "seed", "precision")
    config = configure(
        method,
        preset,
        hyperparameters,
        {name: v for name in overrides if (v := getattr(flags, name)) is not None},
        resumed_run=next((r for r in runs if r.config_file.exists()), None)
        if flags.resume
        else None,
        device=flags.device,
    )
    use_threads(flags.threads)
    pictures = [run.cascade_figure for run in runs]

    def draw() -> None:
        for run, picture in zip(runs, pictures, strict=True):
            if log := run.read_log():
                title = f"{method.title}, {run.path.name}"
                cascade_figure.draw(picture, log, title, config.method)

    table = load(config.data)
    if text := describe(config.data):
        print(text)
    settings = {"resume": flags.resume, "device": flags.device}
    try:
        if seeds:
            train_population(config, table, flags.out, seeds, max_workers=flags.threads, **settings)
        else:
            train(config, table, flags.out, **settings)
    except KeyboardInterrupt:
        draw()
        raise
    draw()
    for run, picture in zip(runs, pictures, strict=True):
        print(f"run {run.path}: {config.budget.steps:,} steps done; the cascade is in {picture}")
