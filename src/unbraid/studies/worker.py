"""Runs from beginning to end, as a process of their own: train, score as they go, evaluate.

`python -m unbraid.studies.worker DIR` takes its jobs, one or the members of a population, as one
line of JSON on its standard input, which then stays open: at its end, that is when whoever started
the worker is gone, the worker stops with a checkpoint. Each run is in DIR under its job's name, and
has result.json there once it is done. Exit code 0 if all are; 2, and a line for each, for those
that the engine refuses.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unbraid.codes import Codes
from unbraid.data import cache, load
from unbraid.data.images import ImageTable
from unbraid.engine import train
from unbraid.engine.device_dataset import DeviceDataset
from unbraid.engine.gpu_population import in_one_step, train_together
from unbraid.engine.trainer import CHECKPOINT_SECONDS
from unbraid.errors import UnbraidError
from unbraid.evaluation.scores import drawn, evaluate
from unbraid.files import directory_lock, written_atomically
from unbraid.metrics import suite
from unbraid.runs import Config, Run
from unbraid.runs.device import usable_device
from unbraid.runs.run import WORKER_LOCK
from unbraid.runs.encode import encode, load_trained
from unbraid.studies.samples import save_sample
from unbraid.studies.study import Job, PrimaryScore


def work(members: Mapping[Run, Job], table: ImageTable, *, device: str = "cpu") -> dict[Run, str]:
    """Train, score every checkpoint asked for, evaluate the last; continues what is there.

    What is trained, for this study or another, is only evaluated. The members differ in their seed
    alone. On a GPU they are trained as one population, elsewhere one after another. Returns why
    those failed that did; no other is held up by them.
    """
    lost: dict[Run, str] = {}
    one = next(iter(members.values()))
    steps, scoring = one.config.budget.steps, one.scoring
    index = drawn(table, scoring.sample)
    scored = {run: _read_checkpoints(run) for run in members}
    pictures: DeviceDataset | None = None
    if len(members) > 1 and in_one_step(one.config.method, device):
        pictures = DeviceDataset(table, usable_device(device))
    for step in eval_steps(steps, scoring.checkpoints):
        # Scored to the end once, it is trained on if its last checkpoint has been lost since.
        behind = {
            run: _until(step, job.config.with_fingerprint_of(table))
            for run, job in members.items()
            if run not in lost and (step == steps or str(step) not in scored[run])
        }
        lost |= _train(behind, table, device, pictures)
        for run in behind:
            if run in lost:
                continue
            with _noted(run, lost):
                _look(run, members[run], step, scored[run], table, index, device)
    for run, job in members.items():
        if run in lost:
            continue
        with _noted(run, lost):
            metrics, last = ",".join(scoring.metrics), scoring.images or None
            outcome = evaluate(run, table, metrics=metrics, images=last, device=device)
            _write(run.result_file, _result(job, run, outcome, scored[run]))
    return lost


def _train(
    members: Mapping[Run, Config], table: ImageTable, device: str, pictures: DeviceDataset | None
) -> dict[Run, str]:
    """Train each to the end of its budget, together on `pictures`; why those failed that did."""
    lost: dict[Run, str] = {}
    if pictures is not None:
        how = {"device": device, "checkpoint_seconds": CHECKPOINT_SECONDS, "pictures": pictures}
        failed = train_together(members, table, **how)
        return {run: failed[run.path.name] for run in members if run.path.name in failed}
    for run, config in members.items():
        with _noted(run, lost):
            train(config, table, run.path, resume=True, device=device)
    return lost


def _until(step: int, config: Config) -> Config:
    return dataclasses.replace(config, budget=dataclasses.replace(config.budget, steps=step))


@contextlib.contextmanager
def _noted(run: Run, lost: dict[Run, str]) -> Iterator[None]:
    try:
        yield
    except UnbraidError as error:
        lost[run] = str(error)


def _look(
    run: Run,
    job: Job,
    step: int,
    scored: dict[str, dict[str, float | None]],
    table: ImageTable,
    index: np.ndarray,
    device: str,
) -> None:
    """Score the sample at this step, if that is asked for; keep the last step's codes."""
    last = step == job.config.budget.steps
    known = str(step) in scored
    if known and not (last and not run.sample_file.exists()):
        return
    codes = encode(load_trained(run, table, device), table, index=index)
    if job.scoring.checkpoints and not known:
        scored[str(step)] = _score(job, codes, table.factors.factors_of(index), table)
        _write(run.eval_scores_file, scored)
    if last:
        save_sample(run, codes)


def eval_steps(steps: int, checkpoints: int) -> list[int]:
    """After which steps a checkpoint is scored: evenly spaced, the last step always."""
    number = min(max(1, checkpoints), steps)
    return [steps * (i + 1) // number for i in range(number)]


def read_result(run: Run) -> dict[str, Any]:
    """What `work` left of a run that is done; OSError or ValueError if there is nothing whole."""
    return json.loads(run.result_file.read_text())


def _score(
    job: Job, codes: Codes, factors: np.ndarray, table: ImageTable
) -> dict[str, float | None]:
    """The sample's scores by the protocols asked for; none where there is no code for one."""
    scores: dict[str, float | None] = {}
    label = table.factors.label
    for one in job.scoring.by:
        discrete = one.metric == "classification"
        if discrete and codes.category is None:
            continue
        if suite.unsupported_reason(one.metric, factors, label, table.name) is not None:
            continue
        given = factors[:, table.factors.position(label)] if discrete and label else factors
        rows = {row["metric"]: row["score"] for row in suite.score_rows(one, codes, given)}
        for part in one.parts or ("",):
            head = PrimaryScore(one, part)
            scores[head.name] = rows[head.title]
    return scores


def _result(
    job: Job, run: Run, outcome: dict[str, Any], scored: dict[str, dict[str, float | None]]
) -> dict[str, Any]:
    sessions = json.loads(run.provenance_file.read_text())
    # One that is only evaluated here was made elsewhere; a kill leaves no session that tells of it.
    made = [s for s in sessions if s["to_step"] > s["from_step"]] or sessions
    log = run.read_log()
    return {
        "key": job.key,
        "status": "done",
        **job.config.as_table(),
        "step": outcome["step"],
        "images": outcome["images"],
        "scores": outcome["scores"],
        "kl": outcome["kl"],
        "checkpoints": scored,
        "sample": job.scoring.sample,
        "elbo": log[-1]["elbo"],
        "training_seconds": round(sum(s["seconds"] / s.get("members", 1) for s in sessions), 1),
        "started": made[0]["started"],
        **{key: made[-1][key] for key in ("unbraid", "torch", "python", "machine", "device")},
    }


def _read_checkpoints(run: Run) -> dict[str, dict[str, float | None]]:
    path = run.eval_scores_file
    return json.loads(path.read_text()) if path.exists() else {}


def _write(path: Path, value: dict[str, Any]) -> None:
    with written_atomically(path) as file:
        file.write(json.dumps(value, indent=2).encode())


def _stop_with_whoever_started_this() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """The process: one thread for the numbers, another to notice that it is an orphan."""
    given = json.loads(sys.stdin.readline())
    jobs = [Job.from_table(table) for table in given["jobs"]]
    members = {Run(Path(sys.argv[1]) / job.name): job for job in jobs}
    threading.Thread(target=_stop_with_whoever_started_this, daemon=True).start()
    torch.set_num_threads(1)
    try:
        with contextlib.ExitStack() as held:
            for run in members:
                held.enter_context(directory_lock(run.path, WORKER_LOCK, timeout=-1))
            # Several workers on a new machine would draw the same dataset over each other.
            with directory_lock(cache.cache_dir(), timeout=-1):
                table = load(jobs[0].config.data)
            lost = work(members, table, device=given["device"])
    except UnbraidError as error:
        print(f"unbraid: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    for run, why in lost.items():
        print(f"unbraid: {run.path.name}: {why}", file=sys.stderr)
    return 2 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
