"""A run's scores: every protocol, on every image, in scores.json."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.evaluation.scores import as_text, drawn, evaluate
from unbraid.metrics import suite
from unbraid.metrics.factor_vae import PROTOCOLS
from unbraid.runs import Run
from unbraid.runs.encode import encode, load_trained


@pytest.fixture(scope="module")
def small(table: ImageTable) -> ImageTable:
    """The corner of dSprites with 2 scales, 2 positions each way: 3·2·40·2·2 items."""
    grid = np.meshgrid(*[np.arange(n) for n in (3, 2, 40, 2, 2)], indexing="ij")
    factors = np.stack([g.reshape(-1) for g in grid], axis=1)
    space = dataclasses.replace(table.factors, sizes=(3, 2, 40, 2, 2))
    bits = np.array(table.bits[table.factors.index_of(factors)])
    return dataclasses.replace(table, bits=bits, factors=space)


def test_every_protocol_is_there_and_no_score_is_without_one(
    tiny_run: Run, small: ImageTable
) -> None:
    outcome = evaluate(tiny_run, small)
    assert json.loads(tiny_run.scores_file.read_text()) == outcome
    protocols = [row["protocol"] for row in outcome["scores"]]
    assert protocols == [*PROTOCOLS, "one_to_one", "majority", "nmi"]
    assert outcome["images"] == len(small) == 960
    assert outcome["checkpoint"] == "last"
    assert outcome["step"] == 12
    assert np.sum(outcome["images_by_category_and_shape"]) == 960
    text = as_text(outcome)
    for row in outcome["scores"]:
        assert f"{row['protocol']:24}{row['score']:8.4f}" in text
    assert "chance 0.3333" in text
    assert evaluate(tiny_run, small) == outcome


def test_a_look_at_some_images_is_that_of_a_dataset_of_them(
    tiny_run: Run, small: ImageTable
) -> None:
    """Scored on 300 images: what their codes and labels alone give; all is another evaluation."""
    whole = evaluate(tiny_run, small)
    some = evaluate(tiny_run, small, images=300)
    assert some["images"] == 300
    index = drawn(small, 300)
    assert len(np.unique(index)) == 300
    codes = encode(load_trained(tiny_run, small), small, precision=some["precision"], index=index)
    factors = small.factors.factors_of(index)
    for row in some["scores"]:
        given = factors[:, 0] if row["name"] == "classification" else factors
        job = suite.MetricSpec(row["name"], row["protocol"])
        assert suite.score_rows(job, codes, given) == [row]
    assert np.sum(some["images_by_category_and_shape"]) == 300
    # A look takes the place of no whole evaluation.
    assert json.loads(tiny_run.scores_file.read_text()) == whole
    assert json.loads((tiny_run.path / "scores-300.json").read_text()) == some
    assert evaluate(tiny_run, small, images=960) == whole
    with pytest.raises(UserError, match="images=99: too few to score; give --images 100 or more"):
        evaluate(tiny_run, small, images=99)


def test_encoding_is_the_parts_word(tiny_run: Run, small: ImageTable) -> None:
    trained = load_trained(tiny_run, small)
    index = np.arange(0, 960, 7)
    codes = encode(trained, small, index=index)
    x = torch.from_numpy(small.images(index)).float()
    with torch.no_grad():
        mean, std = trained.parts["encoder"](x)
        category = trained.config.method.predict_category(trained.parts, x, mean)
    np.testing.assert_allclose(codes.mean, mean.numpy(), atol=1e-5)
    assert codes.std is not None
    np.testing.assert_allclose(codes.std, std.numpy(), atol=1e-5)
    assert codes.category is not None
    assert (codes.category == category.numpy()).mean() > 0.99
    assert codes.kl() == pytest.approx(
        (0.5 * (mean**2 + std**2 - 1) - std.log()).mean(dim=0).numpy(), rel=1e-4, abs=1e-6
    )
