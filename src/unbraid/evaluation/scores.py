"""The scores of a run: encode its dataset once, then every metric asked for, one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from unbraid.codes import Codes
from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.metrics import classification, suite
from unbraid.runs.codes_cache import encode_once
from unbraid.runs.device import usable_device
from unbraid.runs.encode import Trained, load_trained
from unbraid.runs.run import Run

Outcome = dict[str, Any]
# With fewer images a factor's values hardly come up twice.
LEAST = 100
# Rows of another checkpoint, precision, device or draw are not this evaluation's.
SAME = ("configuration", "step", "images", "precision", "device", "votes_seed", "repeats")


def evaluate(
    run: Run,
    table: ImageTable,
    *,
    metrics: str | None = None,
    repeats: int = 1,
    seed: int = 0,
    precision: str | None = None,
    images: int | None = None,
    device: str = "cpu",
) -> Outcome:
    """Score a run's last checkpoint, write its scores and return what that file holds.

    The file is scores.json; a look at only so many `images`, drawn as `drawn` does, goes to
    scores-N.json.

    `metrics`: `all`, or names with commas between; by default the FactorVAE score and the
    classification accuracy. Every score has its protocol beside it; `seed` fixes which images each
    vote draws. scores.json is written after each protocol: a stopped evaluation continues with the
    missing ones, and one of other metrics adds to it. The images are encoded in `precision`, by
    default the one that the run was trained in, on `device`. What the labels do not allow is told
    in `not_scored`. UserError for an unknown metric or device, too few images, or if the labels
    allow nothing that was asked for.
    """
    names = suite.parse_names(metrics)
    if repeats < 1:
        raise UserError(f"repeats={repeats}: a score is taken once at least; give --repeats 1")
    usable_device(device)
    index = drawn(table, images)
    trained = load_trained(run, table, device)
    precision = precision or trained.config.precision
    outcome = _blank(trained, table, len(index), precision, seed, repeats)
    jobs = suite.metric_specs(names, discrete=bool(trained.config.method.categories))
    jobs, outcome["not_scored"] = _possible(jobs, table, index)
    file = scores_file(run, table, len(index))
    _take_over(outcome, file, table.factors.label)
    missing = [job for job in jobs if job not in _done(outcome)]
    if missing or outcome["kl"] is None:
        some = index if len(index) < len(table) else None
        codes = encode_once(run, trained, table, precision=precision, index=some)
        _score(outcome, file, table, index, codes, missing)
    return outcome


def scores_file(run: Run, table: ImageTable, images: int) -> Path:
    """Where the scores on so many of a dataset's images stand: a look replaces no evaluation."""
    return run.scores_file if images == len(table) else run.path / f"scores-{images}.json"


def drawn(table: ImageTable, images: int | None) -> np.ndarray:
    """The index of so many images of a dataset, the same ones always; of all by default.

    UserError for fewer than LEAST.
    """
    if images is None or images >= len(table):
        return np.arange(len(table))
    if images < LEAST:
        raise UserError(f"images={images}: too few to score; give --images {LEAST} or more")
    return np.sort(np.random.default_rng(0).permutation(len(table))[:images])


def _blank(
    trained: Trained, table: ImageTable, images: int, precision: str, seed: int, repeats: int
) -> Outcome:
    return {
        "method": trained.config.method.name,
        "data": trained.config.data,
        "seed": trained.config.seed,
        "step": trained.step,
        "checkpoint": "last",
        "configuration": trained.config.identity(),
        "images": images,
        "precision": precision,
        "device": next(trained.parts.parameters()).device.type,
        "votes_seed": seed,
        "repeats": repeats,
        "scores": [],
        "not_scored": [],
        "kl": None,
        **({_confusion(label): None} if (label := table.factors.label) else {}),
    }


def _possible(
    jobs: list[suite.MetricSpec], table: ImageTable, index: np.ndarray
) -> tuple[list[suite.MetricSpec], list[dict[str, str]]]:
    """The jobs that these images' labels allow, and why the other metrics are not scored."""
    factors = table.factors.factors_of(index)
    why = {
        job.metric: suite.unsupported_reason(job.metric, factors, table.factors.label, table.name)
        for job in jobs
    }
    possible = [job for job in jobs if why[job.metric] is None]
    hindered = [{"name": metric, "why": text} for metric, text in why.items() if text]
    if hindered and not possible:
        raise UserError(f"{hindered[0]['name']}: {hindered[0]['why']}")
    return possible, hindered


def _confusion(label: str) -> str:
    return f"images_by_category_and_{label}"


def _take_over(outcome: Outcome, file: Path, label: str | None) -> None:
    """Rows that stand in the file already, if they are of the same codes and draws."""
    try:
        # Files from before there was a choice were made on a processor.
        before = {"device": "cpu", **json.loads(file.read_text())}
        same = all(before[key] == outcome[key] for key in SAME)
        kept = [row for row in before["scores"] if suite.is_known(row)]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if same:
        kept_keys = ["kl", *([_confusion(label)] if label else [])]
        outcome |= {key: before.get(key) for key in kept_keys}
        outcome["scores"] = kept


def _done(outcome: Outcome) -> set[suite.MetricSpec]:
    return {suite.MetricSpec(row["name"], row["protocol"]) for row in outcome["scores"]}


def _score(
    outcome: Outcome,
    file: Path,
    table: ImageTable,
    index: np.ndarray,
    codes: Codes,
    missing: list[suite.MetricSpec],
) -> None:
    """Add the missing rows, saved one protocol at a time."""
    factors = table.factors.factors_of(index)
    kl = codes.kl()
    outcome["kl"] = None if kl is None else kl.tolist()
    labels, label = None, table.factors.label
    if codes.category is not None and label is not None:
        labels = factors[:, table.factors.position(label)]
        outcome[_confusion(label)] = classification.confusion(codes, labels).tolist()
    _write(outcome, file)
    with tqdm(missing, desc="scoring", unit="protocol") as bar:
        for job in bar:
            bar.set_postfix_str(f"{job.metric} {job.protocol}")
            given = labels if job.metric == "classification" and labels is not None else factors
            how = {"seed": outcome["votes_seed"], "repeats": outcome["repeats"]}
            outcome["scores"] += suite.score_rows(job, codes, given, **how)
            outcome["scores"].sort(key=suite.sort_key)
            _write(outcome, file)


def _write(outcome: Outcome, file: Path) -> None:
    with written_atomically(file) as opened:
        opened.write(json.dumps(outcome, indent=2).encode())


def as_text(outcome: Outcome) -> str:
    """The scores as a table for the terminal."""
    lines = [
        f"{outcome['method']}, seed {outcome['seed']}, {outcome['checkpoint']} checkpoint"
        f" (step {outcome['step']:,}), {outcome['images']:,} images",
        f"{'metric':44}{'protocol':24}{'score':>8}  ",
    ]
    lines += [
        f"{row['metric']:44}{row['protocol']:24}{row['score']:8.4f}  {_beside(row)}"
        for row in outcome["scores"]
    ]
    lines += [f"not scored: {one['name']}: {one['why']}" for one in outcome["not_scored"]]
    if outcome["kl"] is not None:
        lines.append("KL per dimension, nats: " + " ".join(f"{k:.2f}" for k in outcome["kl"]))
    return "\n".join(lines)


def _beside(row: suite.Row) -> str:
    parts = []
    if "standard_error" in row:
        parts.append(f"± {row['standard_error']:.4f}")
    if "low" in row:
        parts.append(f"{row['low']:.4f} to {row['high']:.4f} in {row['repeats']}")
    if "chance" in row:
        parts.append(f"chance {row['chance']:.4f}")
    if "dimensions" in row:
        parts.append(f"{row['dimensions']} dimensions")
    return ", ".join(parts)
