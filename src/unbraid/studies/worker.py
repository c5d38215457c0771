"""One run from beginning to end, as a process of its own: train, score as it goes, evaluate.

`python -m unbraid.studies.worker DIR` takes a job as one line of JSON on its standard input, which
then stays open: at its end, that is when whoever started the worker is gone, the worker stops with
a checkpoint. Exit code 0 with result.json in DIR, 2 and one line for what the engine refuses.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from unbraid.codes import Codes
from unbraid.data import cache, load
from unbraid.data.images import ImageTable
from unbraid.engine import Run, train
from unbraid.engine.encode import encode, load_trained
from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.metrics import suite
from unbraid.metrics.evaluate import drawn, evaluate
from unbraid.studies.store import worker_lock
from unbraid.studies.study import Job

RESULT, CHECKPOINTS, SAMPLE = "result.json", "checkpoints.json", "sample.npz"
# Images of the sample that members are compared on, at most.
COMPARED = 2_500


def work(job: Job, run: Run, table: ImageTable) -> dict[str, Any]:
    """Train, score every checkpoint asked for, evaluate the last; continues what is there.

    UserError as from training and scoring.
    """
    steps = job.config.budget.steps
    index = drawn(table, job.scoring.sample)
    scored = _read_checkpoints(run)
    codes = None
    if str(steps) in scored:
        # Scored to the end once; trained on if its last checkpoint has been lost since.
        train(job.config, table, run.path, resume=True)
    for step in marks(steps, job.scoring.checkpoints):
        if str(step) in scored:
            continue
        budget = dataclasses.replace(job.config.budget, steps=step)
        train(dataclasses.replace(job.config, budget=budget), table, run.path, resume=True)
        codes = encode(load_trained(run, table), table, index=index)
        if job.scoring.checkpoints:
            scored[str(step)] = _score(job, codes, table.factors.factors_of(index), table)
            _write(run.path / CHECKPOINTS, scored)
    if codes is not None or not (run.path / SAMPLE).exists():
        save_sample(run, codes or encode(load_trained(run, table), table, index=index))
    last = job.scoring.images or None
    outcome = evaluate(run, table, metrics=",".join(job.scoring.metrics), images=last)
    result = _result(job, run, outcome, scored)
    _write(run.path / RESULT, result)
    return result


def marks(steps: int, checkpoints: int) -> list[int]:
    """After which steps a checkpoint is scored: evenly spaced, the last step always."""
    number = min(max(1, checkpoints), steps)
    return [steps * (i + 1) // number for i in range(number)]


def save_sample(run: Run, codes: Codes) -> None:
    """Keep codes of the sample for criteria that compare members: COMPARED images, in halves."""
    some = slice(None, None, -(-len(codes.mean) // COMPARED))
    arrays = {"mean": codes.mean[some].astype(np.float16)}
    if codes.std is not None:
        arrays["std"] = codes.std[some].astype(np.float16)
    if codes.category is not None:
        category = codes.category[some].astype(np.min_scalar_type(codes.categories))
        arrays |= {"category": category, "categories": np.array(codes.categories)}
    with written_atomically(run.path / SAMPLE) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_sample(run: Run) -> Codes | None:
    """The codes of the sample, or None if the run directory has been removed."""
    try:
        with np.load(run.path / SAMPLE) as arrays:
            held = dict(arrays)
    except OSError:
        return None
    categories = int(held.get("categories", 0))
    std, category = held.get("std"), held.get("category")
    return Codes(
        held["mean"].astype(np.float32),
        None if std is None else std.astype(np.float32),
        None if category is None else category.astype(np.int64),
        categories,
    )


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
        if suite.hindrance(one.metric, factors, label, table.name) is not None:
            continue
        given = factors[:, table.factors.position(label)] if discrete and label else factors
        scores[f"{one.metric} {one.protocol}"] = suite.rows(one, codes, given)[0]["score"]
    return scores


def _result(
    job: Job, run: Run, outcome: dict[str, Any], scored: dict[str, dict[str, float | None]]
) -> dict[str, Any]:
    sittings = json.loads(run.provenance_file.read_text())
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
        "training_seconds": round(sum(s["seconds"] for s in sittings), 1),
        "started": sittings[0]["started"],
        **{key: sittings[-1][key] for key in ("unbraid", "torch", "python", "machine", "device")},
    }


def _read_checkpoints(run: Run) -> dict[str, dict[str, float | None]]:
    path = run.path / CHECKPOINTS
    return json.loads(path.read_text()) if path.exists() else {}


def _write(path: Path, value: dict[str, Any]) -> None:
    with written_atomically(path) as file:
        file.write(json.dumps(value, indent=2).encode())


def _stop_with_whoever_started_this() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """The process: one thread for the numbers, another to notice that it is an orphan."""
    run = Run(Path(sys.argv[1]))
    job = Job.of_table(json.loads(sys.stdin.readline()))
    threading.Thread(target=_stop_with_whoever_started_this, daemon=True).start()
    torch.set_num_threads(1)
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        with worker_lock(run):
            # Several workers on a new machine would draw the same dataset over each other.
            cache.cache_dir().mkdir(parents=True, exist_ok=True)
            with FileLock(cache.cache_dir() / "lock"):
                table = load(job.config.data)
            work(job, run, table)
    except UserError as error:
        print(f"unbraid: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
