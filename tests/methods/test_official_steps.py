"""Training steps of the official CascadeVAE, repeated with this project's method and engine.

`official_cascadevae_steps.npz` was computed by the official code (snu-mllab/DisentanglementICML19)
under TensorFlow 2.15, fp32, on dSprites: batches of 64, m = 6, K = 3, λ′ = 0.001, β_h = 10,
β_l = 1, Adam 1e-4, L2 4e-5. Its min-cost flow was replaced by SciPy's `linear_sum_assignment` on
the same integer costs (nats times 10,000, rounded down). The file contains the first weights, in
TensorFlow's layouts, and for every step the items of the batch, the noise of z, and the losses
before the update. `warm` has stages of 4 steps, 4 of them before d opens; `open` starts from the
same weights and has no stage before d opens.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from unbraid import distributions
from unbraid.data.images import ImageTable
from unbraid.engine.state import State
from unbraid.methods import METHODS, Method
from unbraid.methods.cascade_vae import category_costs
from unbraid.runs import Budget, Config

FILE = Path(__file__).parents[1] / "oracles" / "official_cascadevae_steps.npz"
WARMUP_STAGES = {"warm": 4, "open": 0}
# Relative tolerance of the loss and its terms.
TOLERANCE = 1e-5
# Tolerance of KL before a step, relative to the largest dimension's. Rounding is amplified: this
# project's own trajectories in float32 and float64 differ by 4e-7 at step 2, 1e-4 at step 10 and
# 2e-3 at step 22.
KL_TOLERANCE = {3: 1e-5, 12: 1e-3, 24: 1e-2}
# With PyTorch's ε: see `tensorflow_epsilon`.
L2_TOLERANCE = {"PyTorch": 5e-4, "TensorFlow": TOLERANCE}
# Of the sum of 64 likelihoods in fp32, nats.
ROUNDING = 1e-3
# Rounding costs down to 1e-4 nats lets the official choice of d exceed the minimum by less.
TIE = 64 * 1e-4 + ROUNDING


@pytest.fixture(scope="module")
def official() -> dict[str, np.ndarray]:
    with np.load(FILE) as archive:
        return dict(archive)


def paper_method(**hyperparameters: Any) -> Method:
    values = METHODS["cascade-vae"].PRESETS["paper"].hyperparameters
    return METHODS["cascade-vae"](**{**values, **hyperparameters})


def state_at_start(official: dict[str, np.ndarray], **hyperparameters: Any) -> State:
    """Return a run of the preset `paper` with the official first weights."""
    method = paper_method(**hyperparameters)
    config = Config(method, "dsprites", Budget(24, 64), 0, "fp32")
    state = State(config, (1, 64, 64), torch.device("cpu"))
    state.parts.load_state_dict(weights(official))
    return state


def weights(official: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Return the official first weights with the names and layouts of this project."""
    tensors: dict[str, np.ndarray] = {}
    for part, name in OURS:
        kernel = official[f"weights.{part}/{OURS[part, name]}/weights"]
        bias = official[f"weights.{part}/{OURS[part, name]}/biases"]
        if name.startswith("convolutions"):
            # (h, w, in, out) and, transposed, (h, w, out, in).
            kernel = kernel.transpose(3, 2, 0, 1)
        elif (part, name) == ("encoder", "hidden"):
            kernel = channels_first(kernel).T
        elif (part, name) == ("decoder", "hidden"):
            kernel, bias = channels_first(kernel.T), channels_first(bias)
        else:
            kernel = kernel.T
        tensors |= {f"{part}.{name}.weight": kernel, f"{part}.{name}.bias": bias}
    return {name: torch.from_numpy(np.ascontiguousarray(w)) for name, w in tensors.items()}


OURS = {
    **{("encoder", f"convolutions.{i}"): f"conv2d_{i}" for i in range(4)},
    **{("decoder", f"convolutions.{i}"): f"deconv2d_{i}" for i in range(4)},
    ("encoder", "hidden"): "output_fc0",
    ("encoder", "head"): "output_fc1",
    ("decoder", "entry"): "fc0",
    ("decoder", "hidden"): "fc1",
}


def channels_first(features: np.ndarray) -> np.ndarray:
    """Reorder the first axis from (h, w, c), as TensorFlow flattens, to (c, h, w)."""
    rest = features.shape[1:]
    return np.moveaxis(features.reshape(4, 4, 64, *rest), 2, 0).reshape(-1, *rest)


@pytest.fixture(params=L2_TOLERANCE)
def epsilon(request: pytest.FixtureRequest) -> Iterator[str]:
    """Adam's ε as in PyTorch, and as in TensorFlow."""
    if request.param == "PyTorch":
        yield request.param
        return
    hook = register_optimizer_step_pre_hook(tensorflow_epsilon)
    yield request.param
    hook.remove()


def tensorflow_epsilon(optimiser: Optimizer, *_: Any) -> None:
    """Set ε as TensorFlow does, which adds 1e-8 before the correction of the second moment's bias.

    In the first steps after a restart, weights with gradients below 1e-6 then move less.
    """
    for group in optimiser.param_groups:
        steps_done = int(optimiser.state[group["params"][0]].get("step", 0))
        group["eps"] = 1e-8 / (1 - 0.999 ** (steps_done + 1)) ** 0.5


@pytest.mark.parametrize("trajectory", WARMUP_STAGES)
def test_steps_agree_with_the_official_code(
    trajectory: str, epsilon: str, official: dict[str, np.ndarray], table: ImageTable
) -> None:
    warmup = WARMUP_STAGES[trajectory]
    state = state_at_start(official, stage_steps=4, warmup_stages=warmup)
    terms = [n.partition(".")[2] for n in official if n.startswith(trajectory)]
    for step, index in enumerate(official[f"{trajectory}.index"]):
        expected = {term: official[f"{trajectory}.{term}"][step] for term in terms}
        x = torch.from_numpy(table.images(index.astype(np.int64))).float()
        noise = torch.from_numpy(expected["noise"])
        costs = costs_of(state, x, noise)
        state.advance(x, {"z": noise})
        result = state.mean_losses()
        for term in ("loss", "reconstruction"):
            assert result[term] == pytest.approx(expected[term], rel=TOLERANCE), (term, step)
        assert result["l2"] == pytest.approx(expected["l2"], rel=L2_TOLERANCE[epsilon]), step
        kl_tolerance = next(bound for end, bound in KL_TOLERANCE.items() if step < end)
        difference = np.abs(result["kl"] - expected["kl"]).max() / expected["kl"].max()
        assert difference < (kl_tolerance if epsilon == "TensorFlow" else 2 * kl_tolerance), step
        share = expected["share"]
        if step < 4 * warmup:
            assert "share" not in result
            assert not share.any()
        else:
            excess = total_cost(costs, share) - total_cost(costs, np.array(result["share"]))
            assert -ROUNDING < excess < (TIE if share.tolist() != result["share"] else ROUNDING)


@pytest.mark.parametrize("trajectory", WARMUP_STAGES)
def test_kl_weights_agree_with_the_official_code(
    trajectory: str, official: dict[str, np.ndarray]
) -> None:
    """Loss, reconstruction, L2 and KL of each official step determine Σ β KL but for rounding."""
    warmup = WARMUP_STAGES[trajectory]
    method = paper_method(stage_steps=4, warmup_stages=warmup)
    loss, reconstruction, l2, kl = (
        official[f"{trajectory}.{term}"] for term in ("loss", "reconstruction", "l2", "kl")
    )
    betas = np.array([method.betas(step) for step in range(len(loss))])
    unit = np.spacing(loss.astype(np.float32))
    assert (np.abs(loss - reconstruction - l2 - (betas * kl).sum(axis=1)) < 2 * unit).all()
    assert len(np.unique(betas, axis=0)) == (5 if trajectory == "warm" else 3)


def costs_of(state: State, x: Tensor, noise: Tensor) -> np.ndarray:
    """Return −ln p(x|z, d) of each image and category, nats."""
    with torch.no_grad():
        mean, std = state.parts["encoder"](x)
        z = distributions.sample_normal(mean, std, noise)
        return category_costs(state.parts, x, z, 3).double().numpy()


def total_cost(costs_bk: np.ndarray, share_k: np.ndarray) -> float:
    """Return the smallest total cost of a batch with given shares of the categories, nats."""
    images_k = np.round(len(costs_bk) * share_k).astype(int)
    slots = np.repeat(costs_bk, images_k, axis=1)
    pairs = (images_k * (images_k - 1)).sum() / 2
    return float(slots[linear_sum_assignment(slots)].sum() + 0.001 * pairs)


def test_first_weights_have_the_official_distribution(official: dict[str, np.ndarray]) -> None:
    """By the Kolmogorov–Smirnov test of the weights of each layer."""
    torch.manual_seed(0)
    parts = paper_method().build((1, 64, 64))
    for name, theirs in weights(official).items():
        ours = parts.get_parameter(name).detach()
        assert ours.shape == theirs.shape
        p_value = np.asarray(stats.ks_2samp(ours.flatten(), theirs.flatten()))[1]
        assert p_value > 1e-3, name
