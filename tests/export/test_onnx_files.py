"""Exported networks: ONNX Runtime computes what the run's networks compute."""

import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.export import onnx_files
from unbraid.runs import Run
from unbraid.runs.encode import load_trained

INDEX = np.arange(0, 700_000, 100_000)


@pytest.fixture(
    params=[
        "cascade-vae",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("joint-vae", "qlae")),
    ]
)
def run(request: pytest.FixtureRequest, tiny_runs: dict[str, Run], tmp_path: Path) -> Run:
    shutil.copytree(tiny_runs[request.param].path, tmp_path / "run")
    return Run(tmp_path / "run")


def infer(file: Path, **inputs: torch.Tensor) -> list[Any]:
    """Run a network in ONNX Runtime."""
    session = onnxruntime.InferenceSession(file)
    return list(session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()}))


@torch.no_grad()
def test_the_exported_networks_agree_with_the_method(run: Run, table: ImageTable) -> None:
    lines = onnx_files.export(run, table)
    assert lines.count("of PyTorch on 128 images") == 2
    config, parts, step = load_trained(run, table)
    method = config.method
    x = torch.from_numpy(table.images(INDEX)).float()
    mean, std = method.posterior(parts, x)
    exported_mean, *rest = infer(run.encoder_file, x=x)
    assert np.abs(exported_mean - mean.numpy()).max() < 1e-5
    if std is not None:
        assert np.abs(rest.pop(0) - std.numpy()).max() < 1e-5
    category = method.predict_category(parts, x, mean)
    if method.categories:
        assert rest.pop(0).tolist() == category.tolist()
    assert not rest
    d = {"d": torch.eye(method.categories)[category]} if method.categories else {}
    (pixels,) = infer(run.decoder_file, z=mean, **d)
    assert np.abs(pixels - method.decode(parts, mean, category).numpy()).max() < 1e-5
    if method.categories:
        d = {"d": torch.full((len(x), method.categories), 1 / method.categories)}
        (pixels,) = infer(run.decoder_file, z=mean, **d)
        relaxed = parts["decoder"](torch.cat([mean, d["d"]], dim=1)).sigmoid()
        assert np.abs(pixels - relaxed.numpy()).max() < 1e-5
    encoder, decoder = onnx.load(run.encoder_file), onnx.load(run.decoder_file)
    operators = [Counter(node.op_type for node in model.graph.node) for model in (encoder, decoder)]
    assert operators[0]["Conv"] == operators[1]["ConvTranspose"] == 4
    assert not {"Transpose", "MatMul", "Pad", "Cast"} & {*operators[0], *operators[1]}
    for model in (encoder, decoder):
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        assert metadata["method"] == method.name
        assert metadata["data"] == "dsprites"
        assert (metadata["step"], metadata["m"]) == (str(step), str(method.latent_dim))
        assert metadata["K"] == str(method.categories)
        for value in [*model.graph.input, *model.graph.output]:
            assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_difference_is_an_error_and_nothing_is_written(
    tiny_runs: dict[str, Run],
    table: ImageTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(tiny_runs["vae"].path, tmp_path / "run")
    (tmp_path / "run" / "encoder.onnx").write_text("existing file")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    # Rounding alone exceeds this.
    monkeypatch.setattr(onnx_files, "TOLERANCE", 1e-12)
    with pytest.raises(
        UserError, match=r"encoder\.onnx: ONNX Runtime differs .* nothing was written"
    ):
        onnx_files.export(Run(tmp_path / "run"), table)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize("name", ["onnxruntime", "onnxscript", "onnx"])
def test_a_missing_package_is_an_error_that_names_the_extra(
    name: str, tiny_run: Run, table: ImageTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"requires {name}; .*unbraid\[export\]"):
        onnx_files.export(tiny_run, table)
