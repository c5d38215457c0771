"""ONNX encoder and decoder, checked against PyTorch on real images.

Needs the extra `export`: onnx, onnxruntime and onnxscript.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from unbraid import __version__
from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.export.networks import Decoder, Encoder
from unbraid.files import written_atomically
from unbraid.runs import Run
from unbraid.runs.encode import Trained, load_trained

TOLERANCE = 1e-4
OPSET = 18
# Batches of different sizes on which ONNX Runtime and PyTorch are compared.
BATCH_SIZES = (1, 7, 120)
# Images that may differ because two categories, or two values of a codebook, tie up to rounding.
MAX_TIES = 1


def export(run: Run, table: ImageTable) -> str:
    """Write a run's encoder and decoder as ONNX and return a report of the check.

    The graphs are in float32, opset 18, with a dynamic batch axis. The encoder maps `x` in [0, 1]
    to `mean`, to `std` unless it is deterministic, and to `category` if there is a discrete code.
    The decoder maps `z`, and `d` if there is a discrete code, to the probabilities `pixels`. Raises
    UserError and writes no file if onnx is missing or if ONNX Runtime differs from PyTorch by more
    than 1e-4.
    """
    onnxruntime, helper = _libraries()
    trained = load_trained(run, table)
    encoder, decoder = Encoder(trained, table.shape).eval(), Decoder(trained).eval()
    inputs = _test_inputs(trained, table)
    models, lines = {}, []
    pairs = ((run.encoder_file, encoder), (run.decoder_file, decoder))
    for path, network in tqdm(pairs, desc="exporting", unit="network"):
        model = _graph(network, {name: inputs[name][:2] for name in network.input_names})
        helper.set_model_props(model, _metadata(trained))
        models[path] = model.SerializeToString()
        session = onnxruntime.InferenceSession(models[path], providers=["CPUExecutionProvider"])
        difference = _compare(path.name, network, session, inputs)
        lines.append(
            f"{path.name}: {', '.join(network.input_names)} to {', '.join(network.output_names)};"
            f" within {difference:.1g} of PyTorch on {sum(BATCH_SIZES)} images"
        )
    for path, data in models.items():
        with written_atomically(path) as file:
            file.write(data)
    return "\n".join([*lines, *(f"written to {path}" for path in models)])


def _libraries() -> tuple[Any, Any]:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (PyTorch's exporter needs it)
        from onnx import helper
    except ImportError as error:
        raise UserError(
            f"export to ONNX: requires {error.name}; install it with pip install 'unbraid[export]'"
        ) from error
    return onnxruntime, helper


def _metadata(trained: Trained) -> dict[str, str]:
    config = trained.config
    return {
        "method": config.method.name,
        "data": config.data,
        "seed": str(config.seed),
        "step": str(trained.step),
        "m": str(config.method.latent_dim),
        "K": str(config.method.categories),
        "configuration": config.identity(),
        "unbraid": __version__,
    }


@torch.no_grad()
def _test_inputs(trained: Trained, table: ImageTable) -> dict[str, Tensor]:
    """Return real images `x`, samples `z` of their codes, and one-hot and relaxed vectors `d`."""
    rng = np.random.default_rng(0)
    index = rng.integers(len(table), size=sum(BATCH_SIZES))
    x = torch.from_numpy(table.images(index)).float()
    method = trained.config.method
    mean_bz, std_bz = method.posterior(trained.parts, x)
    noise = torch.from_numpy(rng.normal(size=mean_bz.shape)).float()
    inputs = {"x": x, "z": mean_bz if std_bz is None else mean_bz + std_bz * noise}
    if k := method.categories:
        one_hot = np.eye(k)[rng.integers(k, size=len(x) // 2)]
        relaxed = rng.dirichlet(np.ones(k), size=len(x) - len(one_hot))
        inputs["d"] = torch.from_numpy(np.concatenate([one_hot, relaxed])).float()
    return inputs


def _graph(network: Encoder | Decoder, inputs: dict[str, Tensor]) -> Any:
    with _without_exporter_messages():
        program = torch.onnx.export(
            network,
            tuple(inputs.values()),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=network.input_names,
            output_names=network.output_names,
            dynamic_shapes=tuple({0: "batch"} for _ in inputs),
        )
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _without_exporter_messages() -> Iterator[None]:
    """Hide messages of PyTorch's exporter about its internals and optional packages."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            # z and d share the axis, so it has a single name.
            warnings.filterwarnings("ignore", "# The axis name: batch will not be used")
            yield
    finally:
        logger.setLevel(level)


@torch.no_grad()
def _compare(
    file: str, network: Encoder | Decoder, session: Any, inputs: dict[str, Tensor]
) -> float:
    """Return the largest difference from PyTorch, ties excluded; raise UserError if too large."""
    names, differences = network.input_names, []
    for batch in zip(*(inputs[name].split(BATCH_SIZES) for name in names), strict=True):
        arrays = dict(zip(names, (tensor.numpy() for tensor in batch), strict=True))
        outputs = network(*batch)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = zip(outputs, session.run(network.output_names, arrays), strict=True)
        by_output = [np.abs(a.numpy() - b).reshape(len(b), -1).max(axis=1) for a, b in pairs]
        differences.append(np.max(by_output, axis=0))
    difference_b = np.concatenate(differences)
    too_large_b = ~(difference_b <= TOLERANCE)
    if too_large_b.sum() > (MAX_TIES if network.may_tie else 0):
        raise UserError(
            f"{file}: ONNX Runtime differs from PyTorch by up to {difference_b.max():.2g} on"
            f" {too_large_b.sum()} of {len(too_large_b)} images, more than {TOLERANCE:g}, so"
            " nothing was written; try another version of onnxruntime, and report this with the"
            " run's config.toml"
        )
    return float(difference_b[~too_large_b].max())
