"""What each command does with its flags: one call to the library, its outcome printed."""

from __future__ import annotations

import argparse
import dataclasses

from unbraid.errors import UserError


def data_dsprites(flags: argparse.Namespace) -> None:
    """Render dSprites into the cache, or take the official archive."""
    from unbraid.data.datasets import dsprites

    if flags.official:
        print(dsprites.official_report(flags.official))
    else:
        print(dsprites.rendered_report(again=flags.again))


def data_variant(flags: argparse.Namespace) -> None:
    """Make a variant of dSprites ready."""
    from unbraid.data.datasets import dsprites_variants

    print(dsprites_variants.report(flags.kind, flags.picture))


def data_published(flags: argparse.Namespace) -> None:
    """Fetch a published dataset, or take it from a folder."""
    from unbraid.data import PUBLISHED

    print(PUBLISHED[flags.dataset].prepare(flags.local_path, again=flags.again))


def data_own(flags: argparse.Namespace) -> None:
    """Make one's own images ready."""
    from unbraid.data import load, report

    size = "" if flags.size is None else f",size={flags.size}"
    name = f"{flags.kind}:{flags.path}{size}"
    load(name)
    print(report(name))


def train(flags: argparse.Namespace) -> None:
    """Train or continue a run or a population, and draw the cascade of each run."""
    from unbraid.data import load, report
    from unbraid.engine import member, seeds_of, train, train_population
    from unbraid.report import cascade_figure
    from unbraid.runs import Run, configure

    if flags.seed is not None and flags.seeds is not None:
        raise UserError(
            f"--seed {flags.seed} and --seeds {flags.seeds}: a run has one seed, a population"
            " several; give one of the two"
        )
    seeds = seeds_of(flags.seeds) if flags.seeds is not None else []
    runs = [member(flags.out, seed) for seed in seeds] or [Run(flags.out)]
    names = {field.name for field in dataclasses.fields(flags.method)}
    given = {k: v for k, v in vars(flags).items() if v is not None}
    begun = next((run for run in runs if run.config_file.exists()), None)
    config = configure(
        flags.method,
        flags.preset,
        {name: given[name] for name in names & given.keys()},
        {k: given[k] for k in ("data", "steps", "batch_size", "seed", "precision") if k in given},
        resumed_run=begun if flags.resume else None,
        device=flags.device,
    )
    _use_threads(flags.threads)
    pictures = [run.path / "cascade.png" for run in runs]

    def draw() -> None:
        for run, picture in zip(runs, pictures, strict=True):
            if log := run.read_log():
                title = f"{flags.method.title}, {run.path.name}"
                cascade_figure.draw(picture, log, title, config.method)

    table = load(config.data)
    if told := report(config.data):
        print(told)
    how = {"resume": flags.resume, "device": flags.device}
    try:
        if seeds:
            train_population(config, table, flags.out, seeds, max_workers=flags.threads, **how)
        else:
            train(config, table, flags.out, **how)
    except KeyboardInterrupt:
        draw()
        raise
    draw()
    for run, picture in zip(runs, pictures, strict=True):
        print(f"run {run.path}: {config.budget.steps:,} steps done; the cascade is in {picture}")


def evaluate(flags: argparse.Namespace) -> None:
    """Score a run's last checkpoint."""
    from unbraid.data import load
    from unbraid.evaluation.scores import as_text, evaluate, scores_file
    from unbraid.metrics.suite import chosen
    from unbraid.runs import Run

    chosen(flags.metrics)
    run = Run(flags.run)
    _use_threads(flags.threads)
    table = load(run.read_config().data)
    outcome = evaluate(
        run,
        table,
        metrics=flags.metrics,
        repeats=flags.repeats,
        seed=flags.seed,
        precision=flags.precision,
        images=flags.images,
        device=flags.device,
    )
    print(as_text(outcome))
    print(f"written to {scores_file(run, table, outcome['images'])}")


def metrics(flags: argparse.Namespace) -> None:
    """List every metric and protocol."""
    from unbraid.metrics.suite import catalogue

    print(catalogue())


def traverse(flags: argparse.Namespace) -> None:
    """Draw a run's latent traversals."""
    from unbraid.data import load
    from unbraid.report import traversal
    from unbraid.runs import Run
    from unbraid.runs.encode import load_trained

    run = Run(flags.run)
    table = load(run.read_config().data)
    trained = load_trained(run, table)
    drawn = traversal.traverse(
        trained, table, extent=flags.extent, columns=flags.columns, seed=flags.seed
    )
    title = f"{trained.config.method.title}, {run.path.name}, step {trained.step:,}"
    traversal.draw_png(run.path / "traversal.png", drawn, title)
    traversal.draw_gif(run.path / "traversal.gif", drawn)
    print(f"written to {run.path / 'traversal.png'} and {run.path / 'traversal.gif'}")


def information(flags: argparse.Namespace) -> None:
    """Print a run's information terms."""
    from unbraid.data import load
    from unbraid.evaluation import information
    from unbraid.report import stage_figure
    from unbraid.runs import Run

    run = Run(flags.run)
    _use_threads(flags.threads)
    table = load(run.read_config().data)
    outcome = information.measure(
        run, table, images=flags.images, seed=flags.seed, stages=flags.stages
    )
    print(information.as_text(outcome))
    print(f"written to {run.path / 'information.json'}")
    if flags.stages:
        picture = run.path / "stages.png"
        stage_figure.draw(picture, outcome, f"{outcome['method']}, {run.path.name}")
        print(f"written to {picture}")


def compare(flags: argparse.Namespace) -> None:
    """Draw two runs side by side."""
    from unbraid.data import load
    from unbraid.report import compare
    from unbraid.runs import Run
    from unbraid.runs.encode import load_trained

    runs = [Run(path) for path in (flags.left, flags.right)]
    tables = [load(run.read_config().data) for run in runs]
    left, right = [load_trained(run, t) for run, t in zip(runs, tables, strict=True)]
    compared = compare.compare(
        left, right, tables[0], extent=flags.extent, columns=flags.columns, seed=flags.seed
    )
    out = flags.out or runs[0].path / "compare.png"
    compare.draw(out, compared)
    print(f"written to {out}")


def explore(flags: argparse.Namespace) -> None:
    """Serve the page on which runs are moved."""
    from unbraid.explore import opened_run

    _use_threads(flags.threads)
    opened_run.data_of(flags.runs)
    # Imported only now: a path that is no run is told sooner.
    from unbraid.explore import app

    app.serve(flags.runs, host=flags.host, port=flags.port, browser=flags.open)


def export(flags: argparse.Namespace) -> None:
    """Write a run's networks for other programs."""
    from unbraid.data import load
    from unbraid.export.onnx_files import export
    from unbraid.runs import Run

    run = Run(flags.run)
    print(export(run, load(run.read_config().data)))


def codes(flags: argparse.Namespace) -> None:
    """Write the codes of a run's dataset."""
    from unbraid.data import load
    from unbraid.export import columns
    from unbraid.runs import Run

    run = Run(flags.run)
    _use_threads(flags.threads)
    table = load(run.read_config().data)
    print(columns.write(run, table, flags.format, flags.to, precision=flags.precision))


def study_run(flags: argparse.Namespace) -> int:
    """Run what is missing of a study; 1 if a run of it has failed."""
    from unbraid.studies import driver, executors, store
    from unbraid.studies.study_file import read

    given = read(flags.file)
    if flags.ray and flags.workers is not None:
        raise UserError(
            f"workers={flags.workers}: a cluster's cores decide how many runs go on at once; give"
            " --ray alone"
        )
    if flags.ray:
        from unbraid.studies.ray import RayExecutor

        executor = RayExecutor(flags.ray, flags.device, flags.members)
    else:
        executor = executors.Local(flags.workers, flags.device, flags.members)
    counts = driver.run(given, store.Store(flags.out), executor, failed=flags.failed)
    print(f"{counts['done']} of {len(given.jobs)} runs are done, {counts['failed']} failed")
    if counts["failed"]:
        print("why: unbraid study status; once more: unbraid study run --failed")
        return 1
    return 0


def study_status(flags: argparse.Namespace) -> None:
    """Say how far a study is."""
    from unbraid.studies import driver, store
    from unbraid.studies.study_file import read

    print(driver.status(read(flags.file), store.Store(flags.out)))


def study_table(flags: argparse.Namespace) -> None:
    """Print a study's table."""
    from unbraid.studies import formats, store
    from unbraid.studies.study_file import read

    given, kept = read(flags.file), store.Store(flags.out)
    print(formats.table(given, kept, flags.format, flags.to), end="")


def study_archive(flags: argparse.Namespace) -> None:
    """Keep what of a study is small."""
    from unbraid.studies import store
    from unbraid.studies.archive import archive
    from unbraid.studies.study_file import read

    given, runs, to = read(flags.file), store.Store(flags.out), store.Store(flags.to)
    held = archive(given, runs, to, weights=flags.weights)
    print(f"{to.path} has {len(held)} of {len(given.jobs)} runs; --out {to.path} shows them")


def report(flags: argparse.Namespace) -> None:
    """Write a study's page."""
    from unbraid.report import page
    from unbraid.studies import store
    from unbraid.studies.study_file import read

    to = flags.to or flags.out / f"{flags.file.stem}.html"
    page.write(read(flags.file), store.Store(flags.out), to)
    print(f"written to {to}")


def _use_threads(threads: int | None) -> None:
    import torch

    if threads is not None:
        if threads < 1:
            raise UserError(f"threads={threads}: work needs a thread; give --threads 1 or more")
        torch.set_num_threads(threads)
