"""The information terms of a run: they sum to its KL within the stated error."""

import json
import math

import numpy as np
import pytest

from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.evaluation.information import as_text, measure
from unbraid.runs import Run
from unbraid.runs.encode import encode, load_trained


@pytest.mark.parametrize("name", ["vae", "cascade-vae", "joint-vae"])
def test_the_terms_sum_to_the_runs_kl(
    name: str, tiny_runs: dict[str, Run], table: ImageTable
) -> None:
    outcome = measure(tiny_runs[name], table, images=512, seed=3)
    assert json.loads((tiny_runs[name].path / "information.json").read_text()) == outcome
    index = np.random.default_rng(3).choice(len(table), 512, replace=False)
    kl = encode(load_trained(tiny_runs[name], table), table, index=index, discrete=False).kl()
    assert kl is not None
    assert outcome["regulariser"] == pytest.approx(kl.sum(), rel=1e-4)
    assert outcome["kl"] == pytest.approx(kl.tolist(), rel=1e-3, abs=1e-6)
    assert abs(outcome["residual"]) < 4 * outcome["standard_errors"]["residual"]
    parts = outcome["information"] + outcome["total_correlation"] + outcome["marginal_kl"]
    assert parts - outcome["regulariser"] == pytest.approx(outcome["residual"], abs=1e-9)
    assert -0.01 < outcome["information"] <= math.log(512)
    assert outcome["information_of_prefix"][-1] == pytest.approx(outcome["information"])
    for kind in ("weighted", "stratified"):
        assert outcome["batches"][kind]["residual"] == pytest.approx(outcome["residual"], abs=1e-9)
    text = as_text(outcome)
    assert "one z each; nats per image" in text
    assert f"{outcome['residual']:14.3f} ± " in text
    assert len(text.splitlines()) == 8 + len(kl)


def test_a_code_that_is_not_random_is_refused(tiny_runs: dict[str, Run], table: ImageTable) -> None:
    with pytest.raises(UserError, match="a code of qlae is one point"):
        measure(tiny_runs["qlae"], table, images=64)
    with pytest.raises(UserError, match="images=63: they make batches of 64"):
        measure(tiny_runs["vae"], table, images=63)
