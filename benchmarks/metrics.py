"""Time every metric on a code of 737,280 items, and its inner computation beside scikit-learn's.

Run as `python -m benchmarks.metrics`, on one thread. In the comparison both sides use the same
items; the `reference` uses scikit-learn's estimators with default settings, as the published
implementations of the metrics do. Writes results/benchmarks/metrics.json.
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
    """Return a code with five slightly mixed factors, five inactive dimensions and a category."""
    space = FactorSpace(("shape", "scale", "orientation", "posX", "posY"), SIZES)
    factors = space.factors_of(np.arange(len(space)))
    rng = np.random.default_rng(0)
    z = ((factors - factors.mean(axis=0)) / factors.std(axis=0)).astype(np.float32)
    mixing = (np.eye(5) + 0.15 * rng.normal(size=(5, 5))).astype(np.float32)
    noise = rng.normal(size=(len(z), 10)).astype(np.float32)
    mean = np.concatenate([z @ mixing + 0.1 * noise[:, :5], 0.02 * noise[:, 5:]], axis=1)
    std = np.broadcast_to(np.repeat([0.1, 0.98], 5).astype(np.float32), mean.shape).copy()
    category = np.where(rng.random(len(z)) < 0.05, rng.integers(0, 3, len(z)), factors[:, 0])
    return Codes(mean, std, category, 3), factors


def seconds(work: Callable[[], Any]) -> float:
    """Return the wall-clock time of one call."""
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 3)


def time_suite(codes: Codes, factors: np.ndarray) -> list[dict[str, Any]]:
    """Time every protocol as `evaluate --metrics all` computes it, with standard errors."""
    rows = []
    for spec in tqdm(suite.metric_specs(suite.parse_names("all"), discrete=True)):
        target = factors[:, 0] if spec.metric == "classification" else factors
        duration = seconds(lambda spec=spec, target=target: suite.score_rows(spec, codes, target))
        rows.append({"metric": spec.metric, "protocol": spec.protocol, "seconds": duration})
    return rows


def compare_with_sklearn(codes: Codes, factors: np.ndarray) -> list[dict[str, Any]]:
    """Time the inner computations of metrics and those of scikit-learn, on the same items."""
    index = arrays.draw(len(factors), 10_000, np.random.default_rng(0))
    sample, y = codes.subset(index), factors[index]
    x, _ = arrays.features(sample)
    z, first = x[:, :10], slice(0, 2_000)
    binned = mutual_information.code_classes(sample, 20)
    group = np.arange(len(y)) % 2
    C = sap.PROTOCOLS["locatello2019"].C

    def svm(column: np.ndarray, labels: np.ndarray) -> None:
        LinearSVC(C=C, class_weight="balanced").fit(column[:, None], labels)

    pairs = [(column, labels) for column in z.T for labels in y.T]
    computations: dict[str, tuple[int, Callable[[], Any], Callable[[], Any]]] = {
        "information of counts (MIG, modularity)": (
            10_000,
            lambda: mutual_information.tables(mutual_information.contingency(binned, y, group)),
            lambda: [[mutual_info_score(c, f) for f in y.T] for c in binned.T],
        ),
        "information of neighbours (InfoMEC)": (
            10_000,
            lambda: [mutual_information.knn_mi(c, f) for c, f in pairs],
            lambda: [mutual_info_classif(z, f) for f in y.T],
        ),
        "support vector machine (SAP)": (
            10_000,
            lambda: [threshold.fit(column, y, C) for column in z.T],
            lambda: [svm(c, f) for c, f in pairs],
        ),
        "logistic regression (explicitness, probes)": (
            10_000,
            lambda: [logistic.fit(x, f, int(f.max()) + 1) for f in y.T],
            lambda: [LogisticRegression(max_iter=500).fit(x, f) for f in y.T],
        ),
        "boosted trees (DCI, probes), scale and orientation": (
            2_000,
            lambda: [trees.fit(x[first], y[first, f], SIZES[f]) for f in (1, 2)],
            lambda: [GradientBoostingClassifier().fit(x[first], y[first, f]) for f in (1, 2)],
        ),
    }
    rows = []
    for name, (items, ours, reference) in computations.items():
        row = {"work": name, "items": items, "ours": seconds(ours), "reference": seconds(reference)}
        rows.append({**row, "ratio": round(row["reference"] / row["ours"], 1)})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    codes, factors = code()
    rows = time_suite(codes, factors)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    outcome = {
        "machine": machine(),
        "items": len(factors),
        "suite": rows,
        "suite_seconds": round(sum(row["seconds"] for row in rows), 1),
        "peak_memory_gb": round(peak, 2),
        "side_by_side": compare_with_sklearn(codes, factors),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(outcome, indent=1) + "\n")


if __name__ == "__main__":
    main()
