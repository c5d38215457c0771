"""Members by vmap: each is seed i alone but for rounding, whatever the method."""

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
from tests.methods.worlds import make

from unbraid.data.datasets.dsprites_variants import paint
from unbraid.data.factors import FactorSpace, FactorTable
from unbraid.data.images import ImageTable, packed
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


def stack(
    name: str, steps: int, table: ImageTable, exchanges: int | None = None, **hyperparameters: float
) -> VmappedEnsemble:
    configs = [config(name, steps, seed, **hyperparameters) for seed in SEEDS]
    states = [State(c, table.shape, CPU) for c in configs]
    return VmappedEnsemble(states, DeviceDataset(table, CPU), exchanges=exchanges)


def weights(state: State) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in state.parts.parameters()])


def apart(run: Run, other: Run) -> float:
    """How far two runs' weights lie from each other, as a part of how far one is from its start."""
    a, b = (read(r.checkpoint_file, r.read_config().identity()) for r in (run, other))
    assert a.step == b.step
    assert a.tensors.keys() == b.tensors.keys()
    start = State(run.read_config(), (1, 16, 16), CPU).parts.state_dict()
    names = [name for name in a.tensors if name.startswith("parts.")]
    away = sum((a.tensors[n] - b.tensors[n]).square().sum() for n in names)
    moved = sum((a.tensors[n] - start[n.removeprefix("parts.")]).square().sum() for n in names)
    return float((away / moved) ** 0.5)


@pytest.fixture
def in_double() -> Iterator[None]:
    """Double precision, in which 200 steps do not magnify a rounding beyond notice."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("name", [name for name, m in METHODS.items() if m.supports_vmap])
def test_member_i_is_seed_i_alone_over_200_steps(name: str, small: ImageTable) -> None:
    """Weights part by less than a millionth of their way, every reported term likewise."""
    states = [State(config(name, 200, s, restart_adam=True), small.shape, CPU) for s in SEEDS]
    together = VmappedEnsemble(states, DeviceDataset(small, CPU, torch.float64))
    for end in (100, 200):
        assert together.run(end) == [True, True]
    together.unstack()
    alone = State(states[1].config, small.shape, CPU)
    start = weights(alone)
    images = 4 * alone.config.method.batches_per_step
    while alone.step < 200:
        index = noise.batch_indices(SEEDS[1], alone.step, len(small), images)
        alone.advance(torch.from_numpy(small.images(index.numpy())).double())
    moved = (weights(alone) - start).norm()
    assert (weights(states[1]) - weights(alone)).norm() < 1e-6 * moved
    assert (weights(states[0]) - weights(alone)).norm() > 1e-2 * moved
    assert states[1].counts == alone.counts
    ours, expected = states[1].means(), alone.means()
    assert ours.keys() == expected.keys()
    for term, value in expected.items():
        assert ours[term] == pytest.approx(value, rel=1e-6, abs=1e-9), term


def test_what_too_few_exchanges_gave_is_taken_back(small: ImageTable) -> None:
    """λ′ is so large that every assignment needs exchanges, and none are allowed at first."""
    how = {"warmup_stages": 0, "pair_penalty": 1e4}
    whole, bounded = stack("cascade-vae", 4, small, **how), stack("cascade-vae", 4, small, 0, **how)
    for one in (whole, bounded):
        one.run(2)
        one.run(4)
        one.unstack()
    for a, b in zip(whole.states, bounded.states, strict=True):
        assert torch.equal(weights(a), weights(b))
        assert a.means() == b.means()


def test_members_are_runs_that_go_on_wherever_each_was_stopped(
    small: ImageTable, tmp_path: Path
) -> None:
    out, seeds = tmp_path / "out", (0, 5, 9)
    members = {member(out, s): config("cascade-vae", 130, s, learning_rate=1e-3) for s in seeds}
    runs = list(members)
    train(config("cascade-vae", 130, 5, learning_rate=1e-3), small, runs[1].path)  # is finished
    for steps, run in ((30, runs[0]), (7, runs[2])):
        train(config("cascade-vae", steps, members[run].seed, learning_rate=1e-3), small, run.path)
    assert train_together(members, small, device="cpu", checkpoint_seconds=60.0) == {}
    for run, its_config in members.items():
        alone = train(its_config, small, tmp_path / str(its_config.seed))
        assert apart(run, alone) < 1e-2
        assert [r["step"] for r in run.read_log()][-2:] == [100, 130]
        assert run.read_log()[-1]["kl"] == pytest.approx(alone.read_log()[-1]["kl"], rel=1e-2)


def test_the_devices_memory_is_free_afterwards(
    small: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, not when the collector comes by: the next population needs the room."""
    alive: list[weakref.ref[Any]] = []

    class Watched(VmappedEnsemble):
        def __init__(self, states: list[State], pictures: DeviceDataset) -> None:
            super().__init__(states, pictures)
            alive.extend([weakref.ref(self), weakref.ref(pictures)])

    monkeypatch.setattr("unbraid.engine.gpu_population.VmappedEnsemble", Watched)
    members = {member(tmp_path, s): config("cascade-vae", 4, s) for s in SEEDS}
    gc.disable()
    try:
        train_together(members, small, device="cpu", checkpoint_seconds=60.0)
        assert [one() for one in alive] == [None, None]
    finally:
        gc.enable()


def test_ctrl_c_saves_every_member(
    small: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = VmappedEnsemble.run

    def interrupted(stack: VmappedEnsemble, end: int) -> list[bool]:
        os.kill(os.getpid(), signal.SIGINT)
        return run(stack, end)

    members = {member(tmp_path, s): config("vae", 300, s) for s in SEEDS}
    monkeypatch.setattr(VmappedEnsemble, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_together(members, small, device="cpu", checkpoint_seconds=60.0)
    for member_run, its_config in members.items():
        assert read(member_run.checkpoint_file, its_config.identity()).step == 100


def test_a_member_that_diverges_is_left_behind(
    small: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {member(tmp_path, s): config("vae", 110, s) for s in SEEDS}
    lost, kept = members
    run = VmappedEnsemble.run

    def poisoned(stack: VmappedEnsemble, end: int) -> list[bool]:
        if end == 110 and len(stack.states) == 2:
            with torch.no_grad():
                stack._weights["decoder.entry.bias"][0] = torch.nan
        return run(stack, end)

    monkeypatch.setattr(VmappedEnsemble, "run", poisoned)
    failed = train_together(members, small, device="cpu", checkpoint_seconds=0.0)
    assert list(failed) == [lost.path.name]
    assert failed[lost.path.name].startswith("step 110: a loss since the last record became NaN")
    assert read(lost.checkpoint_file, members[lost].identity()).step == 100
    assert read(kept.checkpoint_file, members[kept].identity()).step == 110


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("name", METHODS)
def test_on_a_gpu_member_i_is_seed_i_alone_too(
    name: str, small: ImageTable, tmp_path: Path
) -> None:
    whole = config(name, 200)
    runs = train_population(whole, small, tmp_path / "out", SEEDS, device="cuda")
    for seed, run in zip(SEEDS, runs, strict=True):
        alone = train(config(name, 200, seed), small, tmp_path / str(seed), device="cuda")
        assert apart(run, alone) < 0.05


@pytest.mark.parametrize("kind", ["bytes", "odd bits", "painted"])
def test_pictures_on_a_device_are_those_of_the_table(kind: str) -> None:
    rng = np.random.default_rng(0)
    factors = FactorTable.none(7)
    if kind == "bytes":
        stored = rng.integers(0, 256, size=(7, 3 * 28 * 30), dtype=np.uint8)
        table = ImageTable("own", stored, 28, 30, factors, channels=3, depth=8)
    else:
        side = 31 if kind == "odd bits" else 64
        images = rng.integers(0, 2, size=(7, 1, side, side), dtype=np.uint8)
        table = ImageTable("own", packed(images, 1), side, side, factors)
        if kind == "painted":
            table = paint(table, "noisy")
    index = np.array([[3, 0, 6], [1, 1, 5]])
    found = DeviceDataset(table, CPU).images(torch.from_numpy(index)).numpy()
    assert found.dtype == np.float32
    assert np.array_equal(found, np.stack([table.images(row) for row in index]))
