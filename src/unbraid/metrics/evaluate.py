"""All scores of a run: encode its dataset once, then every metric under every protocol."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from unbraid.data.images import ImageTable
from unbraid.engine.encode import encode, load_trained
from unbraid.engine.run import Run
from unbraid.files import written_atomically
from unbraid.metrics import classification, factor_vae


def evaluate(
    run: Run, table: ImageTable, *, seed: int = 0, precision: str | None = None
) -> dict[str, Any]:
    """Score a run's last checkpoint, write scores.json and return what it holds.

    Every score has its protocol beside it; `seed` fixes which images each vote draws. The images
    are encoded in `precision`, by default the one that the run was trained in.
    """
    trained = load_trained(run, table)
    precision = precision or trained.config.precision
    codes = encode(trained, table, precision=precision)
    factors = table.factors.factors_of(np.arange(len(table)))
    scores: list[dict[str, Any]] = []
    for number, protocol in enumerate(factor_vae.PROTOCOLS):
        rng = np.random.default_rng([seed, number])
        values = factor_vae.score(codes, factors, rng, protocol)
        scores.append({"metric": "FactorVAE score", "protocol": protocol, **values})
    classes = None
    if codes.category is not None:
        labels = factors[:, table.factors.position("shape")]
        values = classification.score(codes, labels)
        scores += [
            {
                "metric": "unsupervised classification accuracy",
                "protocol": protocol,
                "score": values[protocol],
                "chance": values[f"chance_{protocol}"],
            }
            for protocol in ("one_to_one", "majority")
        ]
        classes = classification.confusion(codes, labels).tolist()
    kl = codes.kl()
    outcome = {
        "method": trained.config.method.name,
        "data": trained.config.data,
        "seed": trained.config.seed,
        "step": trained.step,
        "checkpoint": "last",
        "images": len(table),
        "precision": precision,
        "votes_seed": seed,
        "scores": scores,
        "kl": None if kl is None else kl.tolist(),
        "images_by_category_and_shape": classes,
    }
    with written_atomically(run.scores_file) as file:
        file.write(json.dumps(outcome, indent=2).encode())
    return outcome


def as_text(outcome: dict[str, Any]) -> str:
    """The scores as a table for the terminal."""
    lines = [
        f"{outcome['method']}, seed {outcome['seed']}, {outcome['checkpoint']} checkpoint"
        f" (step {outcome['step']:,}), {outcome['images']:,} images",
        f"{'metric':38}{'protocol':16}{'score':>8}  ",
    ]
    for row in outcome["scores"]:
        beside = (
            f"chance {row['chance']:.4f}"
            if "chance" in row
            else f"± {row['standard_error']:.4f}, {row['dimensions']} dimensions"
        )
        lines.append(f"{row['metric']:38}{row['protocol']:16}{row['score']:8.4f}  {beside}")
    if outcome["kl"] is not None:
        lines.append("KL per dimension, nats: " + " ".join(f"{v:.2f}" for v in outcome["kl"]))
    return "\n".join(lines)
