"""`unbraid study`: run, status, table, archive and merge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from unbraid.cli.flags import integer, path, path_or_name
from unbraid.cli.help import epilogue
from unbraid.errors import ArgumentError

StudyFile = Annotated[
    str,
    path_or_name(
        "Study: a TOML file, or the name of an included study, such as table1-quick",
        "FILE",
    ),
]
RunsDirectory = Annotated[
    Path,
    path("Directory of runs and results, which studies can share", "DIR"),
]
Rows = Annotated[
    str | None,
    Parameter(
        metavar="ROWS",
        help="Rows: comma-separated numbers from 1, ranges, and titles, as unbraid study status"
        " prints them, such as 1-3,9 (default: all)",
    ),
]
Only = Annotated[
    list[str] | None,
    Parameter(
        metavar="SETTING",
        consume_multiple=False,
        help="Only runs with this setting, such as seed=0, seed=0-4, method=cascade-vae or"
        " latent_dim=4; repeat the flag for several settings, all of which must match",
    ),
]
RUNS = Path("runs/studies")


def register(app: App) -> None:
    """Add the commands."""
    group = App(
        name="study",
        help="Train and score the many runs of a study, and tabulate them.",
        usage="unbraid study COMMAND FILE [OPTIONS]",
        help_epilogue=epilogue("unbraid study run table1-quick"),
        group_commands=Group("Commands"),
        group_parameters=Group.create_default_parameters("Options"),
    )
    group.command(run, sort_key=0, help_epilogue=epilogue("unbraid study run table1-quick"))
    group.command(status, sort_key=1, help_epilogue=epilogue("unbraid study status table1-quick"))
    group.command(
        table, sort_key=2, help_epilogue=epilogue("unbraid study table table1-quick --format md")
    )
    group.command(
        archive,
        sort_key=3,
        help_epilogue=epilogue("unbraid study archive table1-quick --to archive"),
    )
    group.command(
        merge,
        sort_key=4,
        help_epilogue=epilogue("unbraid study merge table1-quick --from laptop/studies"),
    )
    app.command(group)


def run(
    file: StudyFile,
    /,
    *,
    out: RunsDirectory = RUNS,
    workers: Annotated[
        int | None, integer("Number of worker processes (default: one per core or GPU)")
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda"],
        Parameter(
            metavar="DEVICE",
            help="Device: cpu trains one run per core; cuda trains the seeds of a row together on"
            " one GPU",
        ),
    ] = "cpu",
    members: Annotated[
        int | None,
        integer(
            "Maximum number of runs that a worker trains at once (default: 1 on a CPU, 10 on a GPU,"
            " where one step updates all of them)"
        ),
    ] = None,
    ray: Annotated[
        str | None,
        Parameter(
            metavar="ADDRESS",
            help="Address of a Ray cluster to run on; auto for the one that this machine is part"
            " of (default: this machine, without Ray)",
        ),
    ] = None,
    failed: Annotated[bool, Parameter(help="Retry failed runs too")] = False,
    rows: Rows = None,
    only: Only = None,
) -> int:
    """Run the missing runs of a study, or of a part of it.

    Prints the missing runs and the estimated time first, from earlier runs or from a few steps
    measured on this machine. Each run is trained and scored by a worker process of its own. Runs
    that are done are skipped; if interrupted, by Ctrl-C or otherwise, the same command resumes.
    """
    from unbraid.studies import driver, executors, store
    from unbraid.studies.selection import select
    from unbraid.studies.study_file import read

    study = select(read(file), rows, only or ())
    if ray and workers is not None:
        raise ArgumentError(
            "workers",
            workers,
            "cannot be combined with `ray`, as the cluster's cores limit the runs at once",
            "set `ray` alone",
        )
    if ray:
        from unbraid.studies.ray import RayExecutor

        executor = RayExecutor(ray, device, members)
    else:
        executor = executors.LocalExecutor(workers, device, members)
    counts = driver.run(study, store.Store(out), executor, failed=failed)
    print(f"{counts['done']} of {len(study.jobs)} runs are done, {counts['failed']} failed")
    if counts["failed"]:
        print("reasons: unbraid study status; retry: unbraid study run --failed")
        return 1
    return 0


def status(
    file: StudyFile, /, *, out: RunsDirectory = RUNS, rows: Rows = None, only: Only = None
) -> None:
    """Print how many runs are done, failed, running and missing.

    Prints the counts of each row, the reasons of failures and the estimated time left.
    """
    from unbraid.studies import plan, store
    from unbraid.studies.selection import select
    from unbraid.studies.study_file import read

    print(plan.status(select(read(file), rows, only or ()), store.Store(out)))


def table(
    file: StudyFile,
    /,
    *,
    out: RunsDirectory = RUNS,
    file_format: Annotated[
        Literal["text", "md", "latex", "csv", "parquet"],
        Parameter(
            name="--format",
            metavar="FORMAT",
            help="Format; csv and parquet have one record per run",
        ),
    ] = "text",
    to: Annotated[Path | None, path("File to write (default: standard output)")] = None,
) -> None:
    """Print a study's table beside the published figures.

    Uses the runs that are done so far. A row has mean, standard deviation, standard error, best
    and every seed at the last checkpoint, the paper's protocol, label-free selection and failures.
    """
    from unbraid.studies import formats, store
    from unbraid.studies.study_file import read

    print(formats.table(read(file), store.Store(out), file_format, to), end="")


def archive(
    file: StudyFile,
    /,
    *,
    to: Annotated[Path, path("Directory to write the archive to", "DIR")],
    out: RunsDirectory = RUNS,
    weights: Annotated[
        bool,
        Parameter(
            negative="--no-weights",
            help="Include the weights of each row's median member, with 8 bits per weight",
        ),
    ] = True,
) -> None:
    """Copy a study's results without its checkpoints.

    Copies results, thinned logs and sample codes of the runs that are done, about 75 kB per run;
    and, for each row, the weights of the median member (the run with the median score), 0.8 MB with
    8 bits per weight. Other commands read the archive with --out DIR.
    """
    from unbraid.studies import store
    from unbraid.studies.archive import archive
    from unbraid.studies.study_file import read

    study, target = read(file), store.Store(to)
    archived = archive(study, store.Store(out), target, weights=weights)
    print(
        f"{target.path} has {len(archived)} of {len(study.jobs)} runs; --out {target.path} shows"
        " them"
    )


def merge(
    file: StudyFile,
    /,
    *,
    source: Annotated[
        Path,
        path("Directory to merge from, such as a copy of another machine's", "DIR", name="--from"),
    ],
    out: RunsDirectory = RUNS,
) -> None:
    """Add a study's runs from another directory, such as one from another machine.

    Adds results that are missing in --out, and the checkpoints of unfinished runs that are further
    in --from, which study run then resumes. If a run is finished in both with different numbers,
    the result in --out is kept and the conflict is printed. --from is only read; it may also be an
    archive. Merging again changes nothing.
    """
    from unbraid.studies import store
    from unbraid.studies.merge import merge
    from unbraid.studies.study_file import read

    print(merge(read(file), store.Store(source), store.Store(out)).as_text())
