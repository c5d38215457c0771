"""Scores of a run: every protocol, on every image, in scores.json."""

import json

import numpy as np
import pytest
import torch

from unbraid.data.images import ImageTable
from unbraid.errors import ArgumentError
from unbraid.evaluation.scores import as_text, evaluate, sample_images
from unbraid.metrics import suite
from unbraid.metrics.factor_vae import PROTOCOLS
from unbraid.runs import Run
from unbraid.runs.encode import encode, load_trained


def test_every_protocol_is_scored_and_every_score_names_its_protocol(
    tiny_run: Run, small: ImageTable
) -> None:
    evaluation = evaluate(tiny_run, small)
    content = json.loads(tiny_run.scores_file.read_text())
    assert content == evaluation.to_json()
    protocols = [row["protocol"] for row in evaluation.scores]
    assert protocols == [*PROTOCOLS, "one_to_one", "majority", "nmi"]
    assert evaluation.images == len(small) == 960
    assert evaluation.checkpoint == "last"
    assert evaluation.step == 12
    assert np.sum(content["images_by_category_and_shape"]) == 960
    text = as_text(evaluation)
    for row in evaluation.scores:
        assert f"{row['protocol']:24}{row['score']:8.4f}" in text
    assert "chance 0.3333" in text
    assert evaluate(tiny_run, small) == evaluation


def test_a_quick_estimate_equals_an_evaluation_of_a_dataset_of_those_images(
    tiny_run: Run, small: ImageTable
) -> None:
    """300 images: their codes and labels alone determine the scores, in a file of their own."""
    full = evaluate(tiny_run, small)
    subset = evaluate(tiny_run, small, images=300)
    assert subset.images == 300
    index = sample_images(small, 300)
    assert len(np.unique(index)) == 300
    codes = encode(load_trained(tiny_run, small), small, precision=subset.precision, index=index)
    factors = small.factors.factors_of(index)
    for row in subset.scores:
        targets = factors[:, 0] if row["name"] == "classification" else factors
        spec = suite.MetricSpec(row["name"], row["protocol"])
        assert suite.score_rows(spec, codes, targets) == [row]
    assert np.sum(np.array(subset.confusion)) == 300
    assert json.loads(tiny_run.scores_file.read_text()) == full.to_json()
    assert json.loads(tiny_run.subset_scores_file(300).read_text()) == subset.to_json()
    assert evaluate(tiny_run, small, images=960) == full
    with pytest.raises(ArgumentError, match="images=99: must be at least 100"):
        evaluate(tiny_run, small, images=99)


def test_codes_are_those_of_the_encoder(tiny_run: Run, small: ImageTable) -> None:
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
