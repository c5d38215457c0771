"""Numbers of every method; if a change of the code changes one, studies must repeat their runs.

Run as a script, this file writes numbers.json.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.test_survey import METHOD, bars_as_a_dataset, place_codes

from unbraid.codes import Codes
from unbraid.data import load
from unbraid.data.images import ImageTable
from unbraid.engine import survey, train
from unbraid.engine.state import State
from unbraid.methods import METHODS
from unbraid.methods.cascade_vae import CascadeVAE
from unbraid.metrics import suite
from unbraid.runs import Budget, Config, noise
from unbraid.studies.study import RESULTS_VERSION

NUMBERS_FILE = Path(__file__).with_name("numbers.json")


def losses(name: str, table: ImageTable) -> list[float]:
    """Return the losses of the first three steps, in nats per image."""
    method = METHODS[name]()
    config = Config(method, "dsprites", Budget(3, 4), 0, "fp32")
    state = State(config, table.shape, torch.device("cpu"))
    values = []
    for step in range(3):
        index = noise.batch_indices(0, step, len(table), 4 * method.batches_per_step)
        state.advance(torch.from_numpy(table.images(index.numpy())).float())
        values.append(state.mean_losses()["loss"])
    return values


# Methods for short runs with every kind of step: with a discrete code, a survey and charts.
RUNS = {
    "cascade-vae": CascadeVAE(latent_dim=3, stage_steps=3, warmup_stages=2, learning_rate=1e-3),
    "chart-vae": METHOD,
}
PRECISIONS = ("fp32", "bf16")


def last_record(name: str, precision: str, out: Path) -> list[float]:
    """Train a run; return the loss and the KL of every dimension in its last log record."""
    config = Config(RUNS[name], "bars", Budget(14, 8), 0, precision)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(survey, "encode", place_codes)
        run = train(config, bars_as_a_dataset(), out)
    record = run.read_log()[-1]
    return [record["loss"], *record["kl"]]


def scores() -> dict[str, float]:
    """Return the scores of a synthetic code under the default metrics."""
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 3, size=(2_000, 2))
    mean = (factors + rng.normal(size=factors.shape)).astype(np.float32)
    codes = Codes(mean, np.full_like(mean, 0.1), factors[:, 0] * rng.integers(0, 2, 2_000), 3)
    targets = {"factor-vae": factors, "classification": factors[:, 0]}
    return {
        f"{spec.metric} {spec.protocol}": suite.score_rows(spec, codes, targets[spec.metric])[0][
            "score"
        ]
        for spec in suite.metric_specs(list(suite.DEFAULT_METRICS), discrete=True)
    }


def current_numbers(table: ImageTable) -> dict[str, Any]:
    trained = {name: losses(name, table) for name in METHODS}
    runs = {}
    for name in RUNS:
        for precision in PRECISIONS:
            with tempfile.TemporaryDirectory() as out:
                runs[f"{name} {precision}"] = last_record(name, precision, Path(out) / "run")
    return {"numbers": RESULTS_VERSION, "losses": trained, "runs": runs, "scores": scores()}


REMEDY = (
    "the numbers have changed: increase RESULTS_VERSION in studies/study.py, and run this file as a"
    " script"
)


def test_the_numbers_have_the_current_results_version() -> None:
    assert json.loads(NUMBERS_FILE.read_text())["numbers"] == RESULTS_VERSION, REMEDY


@pytest.mark.parametrize("name", METHODS)
def test_the_losses_of_a_method_are_unchanged(name: str, table: ImageTable) -> None:
    expected = json.loads(NUMBERS_FILE.read_text())["losses"]
    if name not in expected:
        pytest.skip("a new method has no numbers until this file is run as a script")
    assert losses(name, table) == pytest.approx(expected[name], rel=1e-4), REMEDY


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", RUNS)
def test_the_last_record_of_a_run_is_unchanged(name: str, precision: str, tmp_path: Path) -> None:
    """Tolerances cover the differences between processors in bf16.

    An Intel processor with AMX differs from the Zen 4 that wrote numbers.json by 0.07 % in the loss
    and by 9 % in one KL.
    """
    expected = json.loads(NUMBERS_FILE.read_text())["runs"][f"{name} {precision}"]
    numbers = last_record(name, precision, tmp_path / "run")
    loss_tolerance, kl_tolerance = (1e-3, 1e-3) if precision == "fp32" else (5e-3, 0.25)
    assert numbers[0] == pytest.approx(expected[0], rel=loss_tolerance), REMEDY
    assert numbers[1:] == pytest.approx(expected[1:], rel=kl_tolerance, abs=1e-4), REMEDY


def test_the_default_scores_are_unchanged() -> None:
    assert scores() == pytest.approx(json.loads(NUMBERS_FILE.read_text())["scores"], rel=1e-9), (
        REMEDY
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    NUMBERS_FILE.write_text(json.dumps(current_numbers(load("dsprites")), indent=1) + "\n")
