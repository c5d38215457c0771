"""Score a run: encode its dataset once, then compute the metrics protocol by protocol."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int
from tqdm import tqdm

from unbraid.codes import Codes
from unbraid.data.images import ImageTable
from unbraid.errors import ArgumentError, UserError
from unbraid.evaluation.evaluation_record import Evaluation, NotScored
from unbraid.files import written_atomically
from unbraid.methods import find
from unbraid.metrics import classification, suite
from unbraid.metrics.score_row import ScoreRow, is_known, sort_key
from unbraid.metrics.suite import MetricSpec
from unbraid.runs.codes_cache import encode_once
from unbraid.runs.device import usable_device
from unbraid.runs.encode import load_trained
from unbraid.runs.paper_budget import NOT_COMPARABLE, share_of_paper
from unbraid.runs.run import Run

# With fewer images, too few values of a factor occur more than once.
MIN_IMAGES = 100


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
) -> Evaluation:
    """Score the last checkpoint of a run and write the scores into the run directory.

    The scores of all images are written to scores.json, those of a subset to scores-N.json. The
    file is written after every protocol, so that an interrupted evaluation resumes with the missing
    protocols. Evaluating with other metrics adds their scores to the file.

    Parameters
    ----------
    run : Run
        A run with a checkpoint.
    table : ImageTable
        The dataset that the run was trained on.
    metrics : str, optional
        "all", or names of metrics separated by commas; by default the FactorVAE score and the
        classification accuracy.
    repeats : int, default 1
        Number of repeats, each with other items and votes; several give a 95 % interval.
    seed : int, default 0
        Seed for sampling items and votes.
    precision : str, optional
        Precision of the encoder; by default that of training.
    images : int, optional
        Number of images for a quick estimate; by default all.
    device : str, default "cpu"
        Device of the encoder.

    Returns
    -------
    Evaluation
        The content of the written file. Metrics that the labels do not allow are in `not_scored`.

    Raises
    ------
    UserError
        If the run has no usable checkpoint, if the device is not available, or if the labels allow
        none of the metrics.
    ArgumentError
        If a metric is unknown, or `repeats` or `images` is too small.
    UserError or StorageError
        If the scores cannot be written.
    """
    names = suite.parse_names(metrics)
    if repeats < 1:
        raise ArgumentError("repeats", repeats, "must be at least 1", "set `repeats` to 1 or more")
    usable_device(device)
    index = sample_images(table, images)
    trained = load_trained(run, table, device)
    config = trained.config
    specs = suite.metric_specs(names, discrete=bool(config.method.categories))
    specs, not_scored = _supported(specs, table, index)
    evaluation = Evaluation(
        method=config.method.name,
        data=config.data,
        seed=config.seed,
        step=trained.step,
        checkpoint="last",
        configuration=config.identity(),
        images=len(index),
        precision=precision or config.precision,
        device=next(trained.parts.parameters()).device.type,
        votes_seed=seed,
        repeats=repeats,
        label=table.factors.label,
        not_scored=not_scored,
    )
    file = scores_file(run, table, len(index))
    evaluation = _resume(evaluation, file)
    missing = [spec for spec in specs if spec not in evaluation.specs]
    if missing or evaluation.kl is None:
        subset = index if len(index) < len(table) else None
        codes = encode_once(run, trained, table, precision=evaluation.precision, index=subset)
        evaluation = _score(evaluation, file, table, index, codes, missing)
    return evaluation


def scores_file(run: Run, table: ImageTable, images: int) -> Path:
    """Return the file of the scores on some images of a dataset.

    Parameters
    ----------
    run : Run
        The run.
    table : ImageTable
        The dataset.
    images : int
        Number of images that are scored.

    Returns
    -------
    Path
        scores.json for all images; scores-N.json for a subset, which never replaces it.
    """
    return run.scores_file if images == len(table) else run.subset_scores_file(images)


def sample_images(table: ImageTable, images: int | None) -> Int[np.ndarray, " n"]:
    """Sample images of a dataset, always the same ones for the same number.

    Parameters
    ----------
    table : ImageTable
        The dataset.
    images : int or None
        Number of images; all if it is None or exceeds the dataset.

    Returns
    -------
    integer array of shape (n,)
        Positions of the images in ascending order.

    Raises
    ------
    ArgumentError
        If `images` is less than `MIN_IMAGES`, and less than the size of the dataset.
    """
    if images is None or images >= len(table):
        return np.arange(len(table))
    if images < MIN_IMAGES:
        raise ArgumentError(
            "images",
            images,
            f"must be at least {MIN_IMAGES}",
            f"set `images` to {MIN_IMAGES} or more",
        )
    return np.sort(np.random.default_rng(0).permutation(len(table))[:images])


def _supported(
    specs: Sequence[MetricSpec], table: ImageTable, index: np.ndarray
) -> tuple[list[MetricSpec], list[NotScored]]:
    """Return the metrics that the labels of these images allow, and reasons for the others."""
    factors = table.factors.factors_of(index)
    reasons = {
        metric: suite.unsupported_reason(metric, factors, table.factors.label, table.name)
        for metric in dict.fromkeys(spec.metric for spec in specs)
    }
    supported = [spec for spec in specs if reasons[spec.metric] is None]
    not_scored = [NotScored(metric, why) for metric, why in reasons.items() if why]
    if not_scored and not supported:
        raise UserError(f"{not_scored[0].name}: {not_scored[0].why}")
    return supported, not_scored


def _resume(evaluation: Evaluation, file: Path) -> Evaluation:
    """Add the scores already in the file, if they have the same codes and draws."""
    try:
        saved = Evaluation.from_json(json.loads(file.read_text(encoding="utf-8")))
        scores = [row for row in saved.scores if is_known(row)]
    except (OSError, ValueError, KeyError, TypeError):
        return evaluation
    if not evaluation.is_comparable(saved):
        return evaluation
    confusion = saved.confusion if saved.label == evaluation.label else None
    return dataclasses.replace(evaluation, scores=scores, kl=saved.kl, confusion=confusion)


def _score(
    evaluation: Evaluation,
    file: Path,
    table: ImageTable,
    index: np.ndarray,
    codes: Codes,
    missing: Sequence[MetricSpec],
) -> Evaluation:
    """Add the KL, the confusion matrix and the missing scores; write after every protocol."""
    factors, kl = table.factors.factors_of(index), codes.kl()
    evaluation = dataclasses.replace(evaluation, kl=None if kl is None else kl.tolist())
    labels = None
    if codes.category is not None and evaluation.label is not None:
        labels = factors[:, table.factors.position(evaluation.label)]
        confusion = classification.confusion(codes, labels).tolist()
        evaluation = dataclasses.replace(evaluation, confusion=confusion)
    _write(evaluation, file)
    seed, repeats = evaluation.votes_seed, evaluation.repeats
    with tqdm(missing, desc="scoring", unit="protocol") as bar:
        for spec in bar:
            bar.set_postfix_str(f"{spec.metric} {spec.protocol}")
            classified = labels if spec.metric == "classification" else None
            target = factors if classified is None else classified
            rows = suite.score_rows(spec, codes, target, seed=seed, repeats=repeats)
            scores = sorted([*evaluation.scores, *rows], key=sort_key)
            evaluation = dataclasses.replace(evaluation, scores=scores)
            _write(evaluation, file)
    return evaluation


def _write(evaluation: Evaluation, file: Path) -> None:
    with written_atomically(file) as stream:
        stream.write(json.dumps(evaluation.to_json(), indent=2).encode())


def as_text(evaluation: Evaluation) -> str:
    """Format scores as a table for the terminal.

    Parameters
    ----------
    evaluation : Evaluation
        Scores of a run.

    Returns
    -------
    str
        One line per score.
    """
    share = share_of_paper(find(evaluation.method), evaluation.step)
    lines = [
        f"{evaluation.method}, seed {evaluation.seed}, {evaluation.checkpoint} checkpoint"
        f" (step {evaluation.step:,}), {evaluation.images:,} images",
        *([f"{share}: {NOT_COMPARABLE}"] if share else []),
        f"{'metric':44}{'protocol':24}{'score':>8}  ",
    ]
    lines += [
        f"{row['metric']:44}{row['protocol']:24}{row['score']:8.4f}  {_details(row)}"
        for row in evaluation.scores
    ]
    lines += [f"not scored: {entry.name}: {entry.why}" for entry in evaluation.not_scored]
    if evaluation.kl is not None:
        lines.append("KL per dimension, nats: " + " ".join(f"{k:.2f}" for k in evaluation.kl))
    return "\n".join(lines)


def _details(row: ScoreRow) -> str:
    parts: list[str] = []
    if "standard_error" in row:
        parts.append(f"± {row['standard_error']:.4f}")
    if "low" in row and "high" in row and "repeats" in row:
        parts.append(f"{row['low']:.4f} to {row['high']:.4f} in {row['repeats']} repeats")
    if "chance" in row:
        parts.append(f"chance {row['chance']:.4f}")
    if "dimensions" in row:
        parts.append(f"{row['dimensions']} dimensions")
    return ", ".join(parts)
