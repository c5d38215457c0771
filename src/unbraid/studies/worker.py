"""Train and score runs of a study in this process: `python -m unbraid.studies.worker DIR`.

Reads its jobs, one or the members of a population, as one line of JSON from its standard input,
where `supervise` writes them. Each run is in DIR under the name of its job and has a result.json
when it is finished. The exit code is 0 if all runs are, and 2 after a failure, whose reason is sent
to the parent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.codes import Codes
from unbraid.data import cache, load
from unbraid.data.images import ImageTable
from unbraid.engine import train
from unbraid.engine.device_dataset import DeviceDataset
from unbraid.engine.gpu_population import can_train_together, train_together
from unbraid.engine.trainer import CHECKPOINT_SECONDS
from unbraid.engine.workers import report_failures, start_worker
from unbraid.errors import UnbraidError
from unbraid.evaluation.evaluation_record import Evaluation
from unbraid.evaluation.scores import evaluate, sample_images
from unbraid.files import directory_lock, written_atomically
from unbraid.metrics import suite
from unbraid.runs import Config, Run
from unbraid.runs.device import usable_device
from unbraid.runs.encode import encode, load_trained
from unbraid.runs.run import WORKER_LOCK
from unbraid.studies.results import DONE
from unbraid.studies.samples import save_sample
from unbraid.studies.study import Job, PrimaryScore

# Scores of a run by their names, at each evaluated step.
EvalScores = dict[str, dict[str, float | None]]


def work(members: Mapping[Run, Job], table: ImageTable, *, device: str = "cpu") -> dict[Run, str]:
    """Train the runs, score the requested checkpoints, and evaluate the last one.

    Existing runs are resumed; those that are trained, for this or another study, are only
    evaluated. On a GPU all members are trained in the same steps, elsewhere one after another.

    Parameters
    ----------
    members : mapping
        Job of each run directory. The jobs differ in their seed only.
    table : ImageTable
        Dataset of all members.
    device : str, optional
        Device of torch, default "cpu".

    Returns
    -------
    dict
        Reason of each failure. The other runs are finished.
    """
    failures: dict[Run, str] = {}
    first = next(iter(members.values()))
    steps, scoring = first.config.budget.steps, first.scoring
    index = sample_images(table, scoring.sample)
    scores = {run: read_eval_scores(run) for run in members}
    dataset: DeviceDataset | None = None
    if len(members) > 1 and can_train_together(first.config.method, device):
        dataset = DeviceDataset(table, usable_device(device))
    for step in eval_steps(steps, scoring.checkpoints):
        # The last step is always trained: a run with all scores may have lost its checkpoint.
        unfinished = {
            run: _with_steps(job.config.with_fingerprint_of(table), step)
            for run, job in members.items()
            if run not in failures and (step == steps or str(step) not in scores[run])
        }
        failures |= _train(unfinished, table, device, dataset)
        for run in unfinished:
            if run not in failures:
                with _failures_noted(run, failures):
                    _eval_step(run, members[run], step, scores[run], table, index, device)
    for run, job in members.items():
        if run not in failures:
            with _failures_noted(run, failures):
                metrics, images = ",".join(scoring.metrics), scoring.images or None
                evaluation = evaluate(run, table, metrics=metrics, images=images, device=device)
                _write_json(run.result_file, _result(job, run, evaluation, scores[run]))
    return failures


def eval_steps(steps: int, checkpoints: int) -> list[int]:
    """Return the steps after which a checkpoint is scored: evenly spaced, with the last step."""
    number = min(max(1, checkpoints), steps)
    return [steps * (i + 1) // number for i in range(number)]


def read_result(run: Run) -> dict[str, Any]:
    """Return the result that `work` wrote; OSError or ValueError if it is missing or damaged."""
    return json.loads(run.result_file.read_text(encoding="utf-8"))


def _train(
    members: Mapping[Run, Config], table: ImageTable, device: str, dataset: DeviceDataset | None
) -> dict[Run, str]:
    """Train each run to the end of its budget, together if `dataset` is there."""
    failures: dict[Run, str] = {}
    if dataset is not None:
        reasons = train_together(
            members,
            table,
            device=device,
            checkpoint_seconds=CHECKPOINT_SECONDS,
            dataset=dataset,
        )
        return {run: reasons[run.path.name] for run in members if run.path.name in reasons}
    for run, config in members.items():
        with _failures_noted(run, failures):
            train(config, table, run.path, resume=True, device=device)
    return failures


def _with_steps(config: Config, steps: int) -> Config:
    return dataclasses.replace(config, budget=dataclasses.replace(config.budget, steps=steps))


@contextlib.contextmanager
def _failures_noted(run: Run, failures: dict[Run, str]) -> Iterator[None]:
    try:
        yield
    except UnbraidError as error:
        failures[run] = str(error)


def _eval_step(
    run: Run,
    job: Job,
    step: int,
    scores: dict[str, dict[str, float | None]],
    table: ImageTable,
    index: np.ndarray,
    device: str,
) -> None:
    """Score the sample at this step unless it is scored; write the codes of the last step."""
    is_last = step == job.config.budget.steps
    is_scored = str(step) in scores
    if is_scored and not (is_last and not run.sample_file.exists()):
        return
    codes = encode(load_trained(run, table, device), table, index=index)
    if job.scoring.checkpoints and not is_scored:
        scores[str(step)] = _score(job, codes, table.factors.factors_of(index), table)
        _write_json(run.eval_scores_file, scores)
    if is_last:
        save_sample(run, codes)


def _score(
    job: Job, codes: Codes, factors: np.ndarray, table: ImageTable
) -> dict[str, float | None]:
    """Score the sample by the requested protocols, except those that do not apply to it."""
    scores: dict[str, float | None] = {}
    label = table.factors.label
    for spec in job.scoring.checkpoint_metrics:
        needs_category = spec.metric == "classification"
        if needs_category and codes.category is None:
            continue
        if suite.unsupported_reason(spec.metric, factors, label, table.name) is not None:
            continue
        targets = factors[:, table.factors.position(label)] if needs_category and label else factors
        rows = {row["metric"]: row["score"] for row in suite.score_rows(spec, codes, targets)}
        for part in spec.parts or ("",):
            score = PrimaryScore(spec, part)
            scores[score.name] = rows[score.title]
    return scores


def _result(job: Job, run: Run, evaluation: Evaluation, scores: EvalScores) -> dict[str, Any]:
    sessions = run.read_provenance()
    # Sessions without a step only evaluated a run that was trained elsewhere.
    training = [s for s in sessions if s.get("to_step", 0) > s["from_step"]] or sessions
    seconds = sum(s.get("seconds", 0.0) / s.get("members", 1) for s in sessions)
    last = training[-1]
    return {
        "key": job.key,
        "status": DONE,
        **job.config.as_table(),
        "step": evaluation.step,
        "images": evaluation.images,
        "scores": evaluation.scores,
        "kl": evaluation.kl,
        "checkpoints": scores,
        "sample": job.scoring.sample,
        "elbo": run.read_log()[-1]["elbo"],
        "training_seconds": round(seconds, 1),
        "started": training[0]["started"],
        "unbraid": last["unbraid"],
        "torch": last["torch"],
        "python": last["python"],
        "machine": last["machine"],
        "device": last["device"],
    }


def read_eval_scores(run: Run) -> EvalScores:
    """Return the scores of a run during training; empty if there are none yet."""
    file = run.eval_scores_file
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    with written_atomically(path) as file:
        file.write(json.dumps(value, indent=2).encode())


def main() -> int:
    """Read the jobs, wait for the locks and work; return the exit code."""
    order = json.loads(sys.stdin.buffer.readline())
    jobs = [Job.from_table(table) for table in order["jobs"]]
    members = {Run(Path(sys.argv[1]) / job.name): job for job in jobs}
    start_worker()
    try:
        with contextlib.ExitStack() as locks:
            for run in members:
                locks.enter_context(directory_lock(run.path, WORKER_LOCK, timeout=-1))
            # Several workers on a new machine would generate the same dataset at the same time.
            with contextlib.ExitStack() as cache_lock:
                # A cache that cannot be written may have the dataset already.
                with contextlib.suppress(UnbraidError):
                    cache_lock.enter_context(directory_lock(cache.cache_dir(), timeout=-1))
                table = load(jobs[0].config.data)
            failures = work(members, table, device=order["device"])
    except UnbraidError as error:
        failures = dict.fromkeys(members, str(error))
    except KeyboardInterrupt:
        return 130
    report_failures({run.path.name: reason for run, reason in failures.items()})
    for run, reason in failures.items():
        print(f"unbraid: {run.path.name}: {reason}", file=sys.stderr)
    return 2 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
