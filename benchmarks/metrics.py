"""Time every metric on a code of all 737,280 items, side by side with scikit-learn's default form.

Run as `python -m benchmarks.metrics`; one thread. What is compared sees the same items: the
`reference` does what a metric's published implementation does, with scikit-learn's estimators at
their defaults. Writes results/benchmarks/metrics.json.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.svm import LinearSVC
from tqdm import tqdm

from benchmarks.step import machine
from unbraid.codes import Codes
from unbraid.data.factors import FactorSpace
from unbraid.metrics import arrays, logistic, mutual_information, sap, suite, threshold, trees

RESULTS = Path("results/benchmarks/metrics.json")
SIZES = (3, 6, 40, 32, 32)


def code() -> tuple[Codes, np.ndarray]:
    """Five dimensions that mix the factors a little, five idle ones, and a category."""
    space = FactorSpace(("shape", "scale", "orientation", "posX", "posY"), SIZES)
    factors = space.factors_of(np.arange(len(space)))
    rng = np.random.default_rng(0)
    z = ((factors - factors.mean(axis=0)) / factors.std(axis=0)).astype(np.float32)
    turn = (np.eye(5) + 0.15 * rng.normal(size=(5, 5))).astype(np.float32)
    noise = rng.normal(size=(len(z), 10)).astype(np.float32)
    mean = np.concatenate([z @ turn + 0.1 * noise[:, :5], 0.02 * noise[:, 5:]], axis=1)
    std = np.broadcast_to(np.repeat([0.1, 0.98], 5).astype(np.float32), mean.shape).copy()
    category = np.where(rng.random(len(z)) < 0.05, rng.integers(0, 3, len(z)), factors[:, 0])
    return Codes(mean, std, category, 3), factors


def seconds(work: Callable[[], Any]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 3)


def suites(codes: Codes, factors: np.ndarray) -> list[dict[str, Any]]:
    """Every protocol as `evaluate --metrics all` calls it, standard errors included."""
    rows = []
    for job in tqdm(suite.metric_specs(suite.parse_names("all"), discrete=True)):
        given = factors[:, 0] if job.metric == "classification" else factors
        taken = seconds(lambda job=job, given=given: suite.score_rows(job, codes, given))
        rows.append({"metric": job.metric, "protocol": job.protocol, "seconds": taken})
    return rows


def beside(codes: Codes, factors: np.ndarray) -> list[dict[str, Any]]:
    """The inner work of metrics and scikit-learn's, on the same items."""
    index = arrays.draw(len(factors), 10_000, np.random.default_rng(0))
    some, y = codes.subset(index), factors[index]
    x, _ = arrays.features(some)
    z, few = x[:, :10], slice(0, 2_000)
    binned = mutual_information.code_classes(some, 20)
    one = np.arange(len(y)) % 2
    strength = sap.PROTOCOLS["locatello2019"].C

    def svm(column: np.ndarray, labels: np.ndarray) -> None:
        LinearSVC(C=strength, class_weight="balanced").fit(column[:, None], labels)

    pairs = [(column, labels) for column in z.T for labels in y.T]
    works: dict[str, tuple[int, Callable[[], Any], Callable[[], Any]]] = {
        "information of counts (MIG, modularity)": (
            10_000,
            lambda: mutual_information.tables(mutual_information.contingency(binned, y, one)),
            lambda: [[mutual_info_score(c, f) for f in y.T] for c in binned.T],
        ),
        "information of neighbours (InfoMEC)": (
            10_000,
            lambda: [mutual_information.knn_mi(c, f) for c, f in pairs],
            lambda: [mutual_info_classif(z, f) for f in y.T],
        ),
        "support vector machine (SAP)": (
            10_000,
            lambda: [threshold.fit(column, y, strength) for column in z.T],
            lambda: [svm(c, f) for c, f in pairs],
        ),
        "logistic regression (explicitness, probes)": (
            10_000,
            lambda: [logistic.fit(x, f, int(f.max()) + 1) for f in y.T],
            lambda: [LogisticRegression(max_iter=500).fit(x, f) for f in y.T],
        ),
        "boosted trees (DCI, probes), scale and orientation": (
            2_000,
            lambda: [trees.fit(x[few], y[few, f], SIZES[f]) for f in (1, 2)],
            lambda: [GradientBoostingClassifier().fit(x[few], y[few, f]) for f in (1, 2)],
        ),
    }
    rows = []
    for name, (items, ours, reference) in works.items():
        row = {"work": name, "items": items, "ours": seconds(ours), "reference": seconds(reference)}
        rows.append({**row, "ratio": round(row["reference"] / row["ours"], 1)})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    codes, factors = code()
    rows = suites(codes, factors)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    outcome = {
        "machine": machine(),
        "items": len(factors),
        "suite": rows,
        "suite_seconds": round(sum(row["seconds"] for row in rows), 1),
        "peak_memory_gb": round(peak, 2),
        "side_by_side": beside(codes, factors),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(outcome, indent=1) + "\n")


if __name__ == "__main__":
    main()
