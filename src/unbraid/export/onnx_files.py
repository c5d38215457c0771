"""encoder.onnx and decoder.onnx: a run's networks, held to what torch says of real images.

The one place that needs onnx, onnxruntime and onnxscript.
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
# Images that both are asked about, in batches of different sizes.
BATCHES = (1, 7, 120)
# Where a code is a choice (of a category, of a codebook's value) and two tie to rounding, either
# may win: as many images may differ.
TIES = 1


def export(run: Run, table: ImageTable) -> str:
    """Write a run's encoder.onnx and decoder.onnx into it; a line for each says how it was checked.

    Float32, opset 18, a batch axis of any length. The encoder takes `x` (0 to 1) and gives `mean`,
    `std` unless the code is a point, `category` if there is one; the decoder takes `z`, and `d` if
    there are categories, and gives the probabilities `pixels`. UserError, and no file, if onnx is
    missing or onnxruntime's numbers are further than 1e-4 from torch's.
    """
    runtime, helper = _libraries()
    trained = load_trained(run, table)
    networks = (Encoder(trained, table.shape), Decoder(trained))
    asked = _questions(trained, table)
    models, lines = {}, []
    for network in tqdm(networks, desc="exporting", unit="network"):
        path = run.path / f"{type(network).__name__.lower()}.onnx"
        model = _graph(network.eval(), {name: asked[name][:2] for name in network.takes})
        helper.set_model_props(model, _facts(trained))
        models[path] = model.SerializeToString()
        session = runtime.InferenceSession(models[path], providers=["CPUExecutionProvider"])
        worst = _compare(path.name, network, session, asked)
        lines.append(
            f"{path.name}: {', '.join(network.takes)} to {', '.join(network.gives)}; within"
            f" {worst:.1g} of torch on {sum(BATCHES)} images"
        )
    for path, data in models.items():
        with written_atomically(path) as file:
            file.write(data)
    return "\n".join([*lines, *(f"written to {path}" for path in models)])


def _libraries() -> tuple[Any, Any]:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (torch's exporter asks for it)
        from onnx import helper
    except ImportError as error:
        raise UserError(
            f"export --onnx: it needs {error.name}; install it with pip install 'unbraid[export]'"
        ) from error
    return onnxruntime, helper


def _facts(trained: Trained) -> dict[str, str]:
    """What the files are of, in their metadata."""
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
def _questions(trained: Trained, table: ImageTable) -> dict[str, Tensor]:
    """Real images, samples of their codes, and as many d: one-hot ones, then relaxed ones."""
    rng = np.random.default_rng(0)
    index = rng.integers(len(table), size=sum(BATCHES))
    x = torch.from_numpy(table.images(index)).float()
    method = trained.config.method
    mean_bz, std_bz = method.posterior(trained.parts, x)
    noise = torch.from_numpy(rng.normal(size=mean_bz.shape)).float()
    asked = {"x": x, "z": mean_bz if std_bz is None else mean_bz + std_bz * noise}
    if k := method.categories:
        one_hot = np.eye(k)[rng.integers(k, size=len(x) // 2)]
        relaxed = rng.dirichlet(np.ones(k), size=len(x) - len(one_hot))
        asked["d"] = torch.from_numpy(np.concatenate([one_hot, relaxed])).float()
    return asked


def _graph(network: Encoder | Decoder, inputs: dict[str, Tensor]) -> Any:
    with _quiet():
        program = torch.onnx.export(
            network,
            tuple(inputs.values()),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=network.takes,
            output_names=network.gives,
            dynamic_shapes=tuple({0: "batch"} for _ in inputs),
        )
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter tells of its own insides and of packages it does not need."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            # z and d share the axis, so it is named once.
            warnings.filterwarnings("ignore", "# The axis name: batch will not be used")
            yield
    finally:
        logger.setLevel(before)


@torch.no_grad()
def _compare(
    file: str, network: Encoder | Decoder, session: Any, asked: dict[str, Tensor]
) -> float:
    """The largest difference from torch, images that tie left out; UserError if it is too large."""
    off = []
    for piece in zip(*(asked[name].split(BATCHES) for name in network.takes), strict=True):
        given = dict(zip(network.takes, (tensor.numpy() for tensor in piece), strict=True))
        answer = network(*piece)
        answer = answer if isinstance(answer, tuple) else (answer,)
        pairs = zip(answer, session.run(network.gives, given), strict=True)
        each = [np.abs(a.numpy() - b).reshape(len(b), -1).max(axis=1) for a, b in pairs]
        off.append(np.max(each, axis=0))
    off_b = np.concatenate(off)
    far = ~(off_b <= TOLERANCE)
    if far.sum() > (TIES if network.chooses else 0):
        raise UserError(
            f"{file}: onnxruntime is up to {off_b.max():.2g} from torch on {far.sum()} of"
            f" {len(far)} images, more than {TOLERANCE:g}; nothing is written; try another"
            " onnxruntime, and report it with the run's config.toml"
        )
    return float(off_b[~far].max())
