"""Members trained with vmap equal the separate runs up to rounding, for every method."""

import gc
import os
import signal
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.methods.small_inputs import make

from unbraid.data.datasets.dsprites_variants import make_variant
from unbraid.data.factors import FactorSpace, FactorTable
from unbraid.data.images import ImageTable, pack
from unbraid.engine import member, train, train_population
from unbraid.engine.device_dataset import DeviceDataset
from unbraid.engine.gpu_population import train_together
from unbraid.engine.state import State
from unbraid.engine.vmapped_ensemble import VmappedEnsemble
from unbraid.methods import METHODS
from unbraid.runs import Budget, Config, Run, noise
from unbraid.runs.checkpoint import read

CPU = torch.device("cpu")
SEEDS = (0, 5)


@pytest.fixture(scope="module")
def small() -> ImageTable:
    """48 random pictures of 16×16."""
    bits = np.random.default_rng(0).integers(0, 256, (48, 32), dtype=np.uint8)
    return ImageTable("random", bits, 16, 16, FactorSpace(("shape", "size"), (6, 8)))


def config(name: str, steps: int, seed: int = 0, **hyperparameters: float) -> Config:
    return Config(make(name, **hyperparameters), "random", Budget(steps, 4), seed, "fp32")


def ensemble(
    name: str,
    steps: int,
    table: ImageTable,
    max_exchanges: int | None = None,
    **hyperparameters: float,
) -> VmappedEnsemble:
    configs = [config(name, steps, seed, **hyperparameters) for seed in SEEDS]
    states = [State(c, table.shape, CPU) for c in configs]
    return VmappedEnsemble(states, DeviceDataset(table, CPU), max_exchanges=max_exchanges)


def weights(state: State) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in state.parts.parameters()])


def relative_distance(run: Run, other: Run) -> float:
    """Distance between the weights of two runs, relative to the distance from initialisation."""
    a, b = (read(r.checkpoint_file, r.read_config().identity()) for r in (run, other))
    assert a.step == b.step
    assert a.tensors.keys() == b.tensors.keys()
    start = State(run.read_config(), (1, 16, 16), CPU).parts.state_dict()
    names = [name for name in a.tensors if name.startswith("parts.")]
    difference = sum((a.tensors[n] - b.tensors[n]).square().sum() for n in names)
    moved = sum((a.tensors[n] - start[n.removeprefix("parts.")]).square().sum() for n in names)
    return float((difference / moved) ** 0.5)


@pytest.fixture
def in_double() -> Iterator[None]:
    """Double precision, so that rounding errors stay small over 200 steps."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("steps", [30, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [name for name, m in METHODS.items() if m.supports_vmap])
def test_member_equals_the_separate_run(name: str, steps: int, small: ImageTable) -> None:
    """Weights and all reported terms differ by less than a millionth of their change."""
    states = [State(config(name, steps, s, restart_adam=True), small.shape, CPU) for s in SEEDS]
    together = VmappedEnsemble(states, DeviceDataset(small, CPU, torch.float64))
    for end in (steps // 2, steps):
        assert together.run(end) == [True, True]
    together.update_states()
    alone = State(states[1].config, small.shape, CPU)
    start = weights(alone)
    images = 4 * alone.config.method.batches_per_step
    while alone.step < steps:
        index = noise.batch_indices(SEEDS[1], alone.step, len(small), images)
        alone.advance(torch.from_numpy(small.images(index.numpy())).double())
    moved = (weights(alone) - start).norm()
    assert (weights(states[1]) - weights(alone)).norm() < 1e-6 * moved
    assert (weights(states[0]) - weights(alone)).norm() > 1e-2 * moved
    assert states[1].counts == alone.counts
    ours, expected = states[1].mean_losses(), alone.mean_losses()
    assert ours.keys() == expected.keys()
    for term, value in expected.items():
        assert ours[term] == pytest.approx(value, rel=1e-6, abs=1e-9), term


def test_steps_with_too_few_exchanges_are_undone_and_repeated(small: ImageTable) -> None:
    """λ′ is so large that every assignment needs exchanges, and none are allowed at first."""
    kwargs = {"warmup_stages": 0, "pair_penalty": 1e4}
    unbounded = ensemble("cascade-vae", 4, small, **kwargs)
    bounded = ensemble("cascade-vae", 4, small, 0, **kwargs)
    for members in (unbounded, bounded):
        members.run(2)
        members.run(4)
        members.update_states()
    for a, b in zip(unbounded.states, bounded.states, strict=True):
        assert torch.equal(weights(a), weights(b))
        assert a.mean_losses() == b.mean_losses()


def test_members_stopped_at_different_steps_are_resumed(
    small: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("session", "gpu_population", "vmapped_ensemble"):
        monkeypatch.setattr(f"unbraid.engine.{module}.LOG_EVERY", 20)
    out, seeds = tmp_path / "out", (0, 5, 9)
    members = {member(out, s): config("cascade-vae", 26, s, learning_rate=1e-3) for s in seeds}
    runs = list(members)
    train(config("cascade-vae", 26, 5, learning_rate=1e-3), small, runs[1].path)  # is finished
    for steps, run in ((12, runs[0]), (7, runs[2])):
        train(config("cascade-vae", steps, members[run].seed, learning_rate=1e-3), small, run.path)
    assert train_together(members, small, device="cpu", checkpoint_seconds=60.0) == {}
    for run, member_config in members.items():
        alone = train(member_config, small, tmp_path / str(member_config.seed))
        assert relative_distance(run, alone) < 1e-2
        assert [r["step"] for r in run.read_log()][-2:] == [20, 26]
        assert run.read_log()[-1]["kl"] == pytest.approx(alone.read_log()[-1]["kl"], rel=1e-2)


def test_device_memory_is_freed_at_once(
    small: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without garbage collection: the next population needs the memory."""
    alive: list[weakref.ref[Any]] = []

    class Watched(VmappedEnsemble):
        def __init__(self, states: list[State], dataset: DeviceDataset) -> None:
            super().__init__(states, dataset)
            alive.extend([weakref.ref(self), weakref.ref(dataset)])

    monkeypatch.setattr("unbraid.engine.gpu_population.VmappedEnsemble", Watched)
    members = {member(tmp_path, s): config("cascade-vae", 4, s) for s in SEEDS}
    gc.disable()
    try:
        train_together(members, small, device="cpu", checkpoint_seconds=60.0)
        assert [reference() for reference in alive] == [None, None]
    finally:
        gc.enable()


def test_ctrl_c_writes_a_checkpoint_of_every_member(
    small: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = VmappedEnsemble.run

    def interrupted(ensemble: VmappedEnsemble, end: int) -> list[bool]:
        os.kill(os.getpid(), signal.SIGINT)
        return run(ensemble, end)

    members = {member(tmp_path, s): config("vae", 300, s) for s in SEEDS}
    monkeypatch.setattr(VmappedEnsemble, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_together(members, small, device="cpu", checkpoint_seconds=60.0)
    for member_run, member_config in members.items():
        assert read(member_run.checkpoint_file, member_config.identity()).step == 100


def test_diverged_member_does_not_stop_the_others(
    small: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {member(tmp_path, s): config("vae", 110, s) for s in SEEDS}
    lost, other = members
    run = VmappedEnsemble.run

    def poisoned(ensemble: VmappedEnsemble, end: int) -> list[bool]:
        if end == 110 and len(ensemble.states) == 2:
            with torch.no_grad():
                ensemble._weights["decoder.entry.bias"][0] = torch.nan
        return run(ensemble, end)

    monkeypatch.setattr(VmappedEnsemble, "run", poisoned)
    failures = train_together(members, small, device="cpu", checkpoint_seconds=0.0)
    assert list(failures) == [lost.path.name]
    assert failures[lost.path.name].startswith("step 110: a loss since the last record became NaN")
    assert read(lost.checkpoint_file, members[lost].identity()).step == 100
    assert read(other.checkpoint_file, members[other].identity()).step == 110


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("name", METHODS)
def test_member_equals_the_separate_run_on_a_gpu(
    name: str, small: ImageTable, tmp_path: Path
) -> None:
    runs = train_population(config(name, 200), small, tmp_path / "out", SEEDS, device="cuda")
    for seed, run in zip(SEEDS, runs, strict=True):
        alone = train(config(name, 200, seed), small, tmp_path / str(seed), device="cuda")
        assert relative_distance(run, alone) < 0.05


@pytest.mark.parametrize("kind", ["bytes", "odd bits", "generated"])
def test_device_dataset_has_the_images_of_the_table(kind: str) -> None:
    rng = np.random.default_rng(0)
    factors = FactorTable.none(7)
    if kind == "bytes":
        stored = rng.integers(0, 256, size=(7, 3 * 28 * 30), dtype=np.uint8)
        table = ImageTable("own", stored, 28, 30, factors, channels=3, depth=8)
    else:
        side = 31 if kind == "odd bits" else 64
        images = rng.integers(0, 2, size=(7, 1, side, side), dtype=np.uint8)
        table = ImageTable("own", pack(images, 1), side, side, factors)
        if kind == "generated":
            table = make_variant(table, "noisy")
    index = np.array([[3, 0, 6], [1, 1, 5]])
    images_on_device = DeviceDataset(table, CPU).images(torch.from_numpy(index)).numpy()
    assert images_on_device.dtype == np.float32
    assert np.array_equal(images_on_device, np.stack([table.images(row) for row in index]))
