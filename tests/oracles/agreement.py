"""Compare our scores with those of disent on the same codes, for the table in docs/protocols.md.

`python -m tests.oracles.agreement` computes our scores and writes the table; a test checks it.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import numpy as np
from tests.oracles.disent_values import KINDS, TRAIN, VALUES, encoded, grid, sample

from unbraid.codes import Codes
from unbraid.metrics import dci, factor_vae, mig, mutual_information, sap

PAGE = Path(__file__).parents[2] / "docs" / "protocols.md"
# Keys of disent's values in disent_values.json.
COLUMNS = {
    "MIG": ("mig", "mig.discrete_score"),
    "SAP": ("sap", "sap.score"),
    "D": ("dci", "dci.disentanglement"),
    "C": ("dci", "dci.completeness"),
    "accuracy": ("dci", "dci.informativeness_test"),
    "FactorVAE": ("factor_vae", "factor_vae.eval_accuracy"),
}
VOTES = factor_vae.Protocol("disent", images=64, votes=2_000, held_out=1_000, stratified=False)
HEAD = "| code | " + " | ".join(COLUMNS) + " |\n" + "|---" * (1 + len(COLUMNS)) + "|\n"


@functools.cache
def ours(kind: str) -> dict[str, float]:
    """Our scores on one kind of codes by column, and the standard error of the FactorVAE score."""
    s = sample(kind)
    codes = Codes(np.concatenate([s["z_train"], s["z_test"]]))
    y = np.concatenate([s["y_train"], s["y_test"]])
    train, test = np.arange(TRAIN), np.arange(TRAIN, len(y))
    binned = mutual_information.code_classes(codes.subset(train), 20)
    tables = mutual_information.tables(mutual_information.contingency(binned, y[train], train % 2))
    svm = np.sort(sap.table(codes, y, train, test, sap.PROTOCOLS["locatello2019"]), axis=0)
    protocol, owner = dci.PROTOCOLS["locatello2019"], np.arange(s["z_train"].shape[1])
    importance, accuracy = dci.importances(
        s["z_train"], s["y_train"], s["z_test"], s["y_test"], owner, protocol
    )
    factor_vae_score = factor_vae.score(
        Codes(encoded(kind)), grid(), np.random.default_rng(0), VOTES
    )
    return {
        "MIG": float(mig.gap(*tables)[0]),
        "SAP": float(np.mean(svm[-1] - svm[-2])),
        "D": dci.disentanglement(importance),
        "C": dci.disentanglement(importance.T),
        "accuracy": accuracy,
        "FactorVAE": factor_vae_score["score"],
        "FactorVAE error": factor_vae_score["standard_error"],
    }


def theirs(kind: str) -> dict[str, float]:
    """Scores of disent 0.8.0 by column."""
    values = json.loads(VALUES.read_text())[kind]
    return {column: values[metric][key] for column, (metric, key) in COLUMNS.items()}


def documented() -> dict[str, dict[str, tuple[float, float]]]:
    """The table of the page: our and their score by kind and column."""
    rows = [re.split(r" *\| *", line)[1:-1] for line in _table().splitlines()[2:]]
    return {
        kind: {
            column: (float(cell.split(", ")[0]), float(cell.split(", ")[1]))
            for column, cell in zip(COLUMNS, cells, strict=True)
        }
        for kind, *cells in rows
    }


def _table() -> str:
    return HEAD + PAGE.read_text().partition(HEAD)[2].partition("\n\n")[0]


def main() -> None:
    lines = []
    for kind in KINDS:
        own, other = ours(kind), theirs(kind)
        cells = [f"{own[column]:.3f}, {other[column]:.3f}" for column in COLUMNS]
        lines.append("| " + " | ".join([kind, *cells]) + " |")
    PAGE.write_text(PAGE.read_text().replace(_table(), HEAD + "\n".join(lines)))


if __name__ == "__main__":
    main()
