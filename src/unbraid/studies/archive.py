"""Archive a study: copy the files that its tables and page need, small enough to commit."""

from __future__ import annotations

import itertools
import json

from tqdm import tqdm

from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.runs import Run, checkpoint
from unbraid.runs.run import LogRecord
from unbraid.runs.weights import compressed_weights, is_weights_only
from unbraid.studies.store import Store
from unbraid.studies.study import Job, Study
from unbraid.studies.table import measure

# Number of log records per archived record.
LOG_INTERVAL = 5
LOG_DIGITS = 6


def archive(study: Study, store: Store, to: Store, *, weights: bool = True) -> list[Job]:
    """Copy the finished runs of a study to another study directory.

    For every run, the result, the configuration, every `LOG_INTERVAL`-th record of the log and the
    codes of the sample are copied. For the median member of every row, the weights are copied too,
    compressed to 8 bits: they can encode and decode images, but training cannot resume from them.
    The archive gives the same tables and page of the study.

    Runs that were started in the target directory are not overwritten: if such a run is finished,
    only its result is copied, otherwise nothing.

    Parameters
    ----------
    study : Study
        The study.
    store : Store
        Directory of its runs.
    to : Store
        Target directory.
    weights : bool, default True
        Whether to copy weights of the median members.

    Returns
    -------
    list of Job
        The study's jobs that have a result in the target directory.

    Raises
    ------
    UserError
        If both directories are the same, no run of the study is finished, or a study is running
        in the target directory.
    """
    if store.path.resolve() == to.path.resolve():
        raise UserError(f"{to.path}: this is the directory of the runs; choose another `to`")
    results = store.results()
    jobs = [job for job in study.jobs if job.key in results]
    if not jobs:
        raise UserError(
            f"{store.path}: no run of the study is finished; use unbraid study run first, or set"
            " `out` to the directory of its runs"
        )
    with to.locked("to"):
        archived = to.results()
        copied = [job for job in jobs if not _was_begun(to.run(job))]
        for job in tqdm(jobs, desc="archiving", unit="run"):
            if job in copied:
                _copy(store.run(job), to.run(job))
            elif not _is_trained(job, to.run(job)):
                continue
            if archived.get(job.key) != results[job.key]:
                to.append(results[job.key].table)
        if weights:
            medians = {row.median_member.job.key for row in measure(study, to) if row.median_member}
            for job in copied:
                if job.key in medians and store.run(job).checkpoint_file.exists():
                    copy_weights(store.run(job), to.run(job))
        archived = to.results()
    return [job for job in study.jobs if job.key in archived]


def _was_begun(run: Run) -> bool:
    """Return whether training of the run was started in its directory."""
    if run.provenance_file.exists() or run.previous_checkpoint_file.exists():
        return True
    if not run.checkpoint_file.exists():
        return False
    saved = checkpoint.read_if_valid(run.checkpoint_file, run.read_config().identity())
    return saved is None or not is_weights_only(saved)


def _is_trained(job: Job, run: Run) -> bool:
    """Return whether a run that was started has reached the end of the job's budget."""
    saved = checkpoint.read_if_valid(run.checkpoint_file, run.read_config().identity())
    return saved is not None and saved.step >= job.config.budget.steps


def _copy(run: Run, to: Run) -> None:
    """Copy configuration, thinned log and sample codes."""
    for file in (run.config_file, run.sample_file):
        if file.exists():
            with written_atomically(to.path / file.name) as copy:
                copy.write(file.read_bytes())
    if run.log_file.exists():
        copy_log(run, to)


def copy_log(run: Run, to: Run) -> None:
    """Write the thinned log of a run, rounded to `LOG_DIGITS` significant digits.

    Parameters
    ----------
    run : Run
        A run.
    to : Run
        The directory to write to.
    """
    text = "".join(json.dumps(record) + "\n" for record in thinned(run.read_log()))
    records = [json.loads(line, parse_float=_rounded) for line in text.splitlines()]
    with written_atomically(to.log_file) as copy:
        copy.write("".join(json.dumps(record) + "\n" for record in records).encode())


def _rounded(number: str) -> float:
    return float(f"{float(number):.{LOG_DIGITS}g}")


def thinned(log: list[LogRecord]) -> list[LogRecord]:
    """Return every `LOG_INTERVAL`-th record of a log, and those at its ends and at changes of β.

    Records on both sides of the start and of the end of a change of β are included, and the first
    and the last record. A log that is already thinned is returned unchanged.

    Parameters
    ----------
    log : list of LogRecord
        Records of a run's log, in order of step.
    """
    if _is_thinned(log):
        return log
    selected = {
        *range(LOG_INTERVAL - 1, len(log), LOG_INTERVAL),
        *({0, len(log) - 1} if log else ()),
    }
    changes = [False, *[a.get("beta") != b.get("beta") for a, b in itertools.pairwise(log)]]
    for i, (before, now) in enumerate(itertools.pairwise(changes), start=1):
        if before != now:
            selected |= {i - 1, i}
    return [log[i] for i in sorted(selected)]


def _is_thinned(log: list[LogRecord]) -> bool:
    """Return whether consecutive records are further apart than the first record and the start."""
    steps = [0, *[record["step"] for record in log]]
    intervals = [b - a for a, b in itertools.pairwise(steps)]
    return len(intervals) > 1 and max(intervals) >= 2 * intervals[0]


def copy_weights(run: Run, to: Run) -> None:
    """Write the compressed weights of a run as the only checkpoint of another run directory.

    Modules that are used only in training, such as FactorVAE's discriminator, are left out.

    Parameters
    ----------
    run : Run
        A trained run.
    to : Run
        The directory to write to; it has the same configuration.
    """
    config = run.read_config()
    saved = checkpoint.read(run.checkpoint_file, config.identity())
    compressed = compressed_weights(saved, without=config.method.training_only)
    checkpoint.save(to.checkpoint_file, compressed, config.identity())
    # Saving over an older archive leaves it as the previous checkpoint.
    to.previous_checkpoint_file.unlink(missing_ok=True)
