"""Runs and studies of version 0.1 open, resume and are scored as version 0.1 did.

The runs and the expected numbers were made with version 0.1. Weights and Adam's moments of the
checkpoints were rounded to a few values, so that the files can be compressed.
"""

import dataclasses
import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unbraid.data.factors import FactorSpace
from unbraid.data.images import ImageTable
from unbraid.engine import train
from unbraid.evaluation.scores import evaluate
from unbraid.methods import find
from unbraid.runs import Config, Run, checkpoint, configure, version_0_1
from unbraid.runs.encode import encode, load_trained
from unbraid.runs.version_0_1 import current_tensor, current_term
from unbraid.studies.study_file import read

FILES = Path(__file__).parent / "version_0_1"
EXPECTED: dict[str, Any] = json.loads((FILES / "expected.json").read_text())
METHODS = ("cascade-vae", "chart-vae")
# Convolutions of another processor may round differently.
RTOL, ATOL = 1e-4, 1e-6


@pytest.fixture
def table() -> ImageTable:
    """Bars of 3 lengths at 16 places, 16×16 pixels."""
    images = np.zeros((48, 16, 16), bool)
    for item, image in enumerate(images):
        length, place = divmod(item, 16)
        image[4 : 7 + 3 * length, place : place + 2] = True
    bits = np.packbits(images.reshape(48, -1), axis=1)
    return ImageTable("bars", bits, 16, 16, FactorSpace(("length", "place"), (3, 16)))


@pytest.fixture(params=METHODS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    run = Run(tmp_path / request.param)
    shutil.copytree(FILES / request.param, run.path)
    compressed = run.path / "checkpoint.safetensors.xz"
    run.checkpoint_file.write_bytes(lzma.decompress(compressed.read_bytes()))
    compressed.unlink()
    return run


def test_configuration_has_the_digest_of_version_0_1(run: Run) -> None:
    assert run.read_config().identity() == EXPECTED[run.path.name]["identity"]


@pytest.mark.parametrize("method", version_0_1.ADDED_HYPERPARAMETERS)
def test_digest_leaves_out_a_newer_hyperparameter_only_at_its_default(method: str) -> None:
    default = configure(find(method))
    for name, value in version_0_1.ADDED_HYPERPARAMETERS[method].items():
        before, other = configured(default, name, value), configured(default, name, not value)
        fields = {field.name: field.default for field in dataclasses.fields(find(method))}
        assert fields[name] == value
        assert before.identity() != other.identity()
        digested = version_0_1.digested_config(other.as_table())["hyperparameters"]
        assert digested.pop(name) == (not value)
        assert version_0_1.digested_config(before.as_table())["hyperparameters"] == digested


def configured(config: Config, name: str, value: Any) -> Config:
    return dataclasses.replace(config, method=dataclasses.replace(config.method, **{name: value}))


def test_run_encodes_and_is_scored(run: Run, table: ImageTable) -> None:
    expected = EXPECTED[run.path.name]
    codes = encode(load_trained(run, table), table)
    np.testing.assert_allclose(codes.mean[:4], expected["mean"], rtol=1e-4, atol=1e-5)
    assert codes.category is not None
    assert codes.category[:16].tolist() == expected["category"]
    rows = evaluate(run, table).scores
    scores = {(row["metric"], row["protocol"]): row["score"] for row in rows}
    for metric, protocol, score in expected["scores"]:
        # Votes may change with the rounding of the codes.
        assert scores[metric, protocol] == pytest.approx(score, abs=0.01)


def test_run_resumes_to_the_numbers_of_version_0_1(run: Run, table: ImageTable) -> None:
    expected = EXPECTED[run.path.name]
    config = run.read_config()
    longer = dataclasses.replace(config, budget=dataclasses.replace(config.budget, steps=9))
    train(longer, table, run.path, resume=True)
    record = run.read_log()[-1]
    terms = {current_term(config.method.name, k): v for k, v in expected["log"].items()}
    assert record.keys() == terms.keys()
    for term, value in terms.items():
        assert dict(record)[term] == pytest.approx(value, RTOL, ATOL), term
    saved = checkpoint.read(run.checkpoint_file, config.identity())
    norms = {current_tensor(name): norm for name, norm in expected["norms"].items()}
    assert norms.keys() <= saved.tensors.keys()
    for name, norm in norms.items():
        assert float(saved.tensors[name].double().norm()) == pytest.approx(norm, RTOL, ATOL), name


def test_config_is_written_with_current_names(run: Run, table: ImageTable) -> None:
    config = run.read_config()
    longer = dataclasses.replace(config, budget=dataclasses.replace(config.budget, steps=7))
    train(longer, table, run.path, resume=True)
    text = run.config_file.read_text()
    assert "batch_size = 6" in text
    assert "latent_dim = 3" in text
    assert run.read_config() == longer


def test_study_of_version_0_1_has_the_same_keys() -> None:
    study, expected = read(FILES / "study.toml"), EXPECTED["study"]
    assert study.hang_timeout_minutes == expected["hang_timeout_minutes"]
    assert [job.key for job in study.jobs] == expected["keys"]
    assert [job.name for job in study.jobs] == expected["names"]
