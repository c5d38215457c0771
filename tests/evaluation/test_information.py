"""Information terms of a run: they sum to its KL within the stated error."""

import json
import math

import numpy as np
import pytest

from unbraid.data.images import ImageTable
from unbraid.errors import ArgumentError, UserError
from unbraid.evaluation.information import as_text, measure
from unbraid.runs import Run
from unbraid.runs.encode import encode, load_trained


@pytest.mark.parametrize("name", ["vae", "cascade-vae", "joint-vae"])
def test_the_terms_sum_to_the_kl_of_the_run(
    name: str, tiny_runs: dict[str, Run], table: ImageTable
) -> None:
    run = tiny_runs[name]
    report = measure(run, table, images=512, seed=3)
    assert json.loads(run.information_file.read_text()) == report.to_json()
    index = np.random.default_rng(3).choice(len(table), 512, replace=False)
    kl = encode(load_trained(run, table), table, index=index, discrete=False).kl()
    assert kl is not None
    terms = report.terms
    assert terms.regulariser == pytest.approx(kl.sum(), rel=1e-4)
    assert report.kl == pytest.approx(kl.tolist(), rel=1e-3, abs=1e-6)
    assert abs(terms.residual) < 4 * report.standard_errors.residual
    parts = terms.information + terms.total_correlation + terms.marginal_kl
    assert parts - terms.regulariser == pytest.approx(terms.residual, abs=1e-9)
    assert -0.01 < terms.information <= math.log(512)
    assert report.information_of_prefix[-1] == pytest.approx(terms.information)
    for by_batches in (report.weighted, report.stratified):
        assert by_batches.residual == pytest.approx(terms.residual, abs=1e-9)
    text = as_text(report)
    assert "one z each; nats per image" in text
    assert f"{terms.residual:14.3f} ± " in text
    assert len(text.splitlines()) == 8 + len(kl)


def test_a_deterministic_code_and_too_few_images_are_errors(
    tiny_runs: dict[str, Run], table: ImageTable
) -> None:
    with pytest.raises(UserError, match="the code of qlae is deterministic"):
        measure(tiny_runs["qlae"], table, images=64)
    with pytest.raises(ArgumentError, match="images=63: must be between 64"):
        measure(tiny_runs["vae"], table, images=63)
