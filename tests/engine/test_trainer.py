"""Training: the same bits however it was interrupted, and errors for contradictions."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import tomli_w
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from unbraid import cli
from unbraid.data.images import ImageTable
from unbraid.engine import train, trainer
from unbraid.engine.state import State
from unbraid.errors import DivergedError, UserError
from unbraid.files import LOCK, directory_lock
from unbraid.methods import METHODS, find
from unbraid.methods.factor_vae import FactorVAE
from unbraid.methods.qlae import QLAE
from unbraid.runs import Budget, Config, Run, noise
from unbraid.runs.checkpoint import read
from unbraid.runs.precision import computing_in

Make = Callable[..., Config]


def assert_same_bits(one: Run, other: Run) -> None:
    a, b = (read(r.checkpoint_file, r.read_config().identity()) for r in (one, other))
    assert a.step == b.step
    assert a.tensors.keys() == b.tensors.keys()
    for name, tensor in a.tensors.items():
        assert torch.equal(tensor, b.tensors[name]), name
    assert one.log_file.read_bytes() == other.log_file.read_bytes()


def interrupt_at(interrupted_step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send SIGINT during a step."""
    advance = State.advance

    def interrupted(state: State, x: torch.Tensor, *extra: Any) -> None:
        advance(state, x, *extra)
        if state.step == interrupted_step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(State, "advance", interrupted)


def test_same_config_same_bits(
    tiny_run: Run, tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    torch.manual_seed(99)
    assert_same_bits(tiny_run, train(tiny_config(), table, tmp_path / "again"))


def test_another_seed_gives_other_weights(
    tiny_run: Run, tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    other = train(tiny_config(seed=1), table, tmp_path / "other")
    a, b = (read(r.checkpoint_file, r.read_config().identity()) for r in (tiny_run, other))
    assert not torch.equal(
        a.tensors["parts.encoder.head.weight"], b.tensors["parts.encoder.head.weight"]
    )


@pytest.mark.parametrize("stop", range(1, 12))
def test_resumed_anywhere_gives_the_same_bits(
    stop: int,
    tiny_run: Run,
    tiny_config: Make,
    table: ImageTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGINT at every step of a cascade: in each stage, with d closed and open."""
    interrupt_at(stop, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(), table, tmp_path / "run")
    monkeypatch.undo()
    saved = Run(tmp_path / "run")
    assert read(saved.checkpoint_file, saved.read_config().identity()).step == stop
    assert_same_bits(tiny_run, train(tiny_config(), table, tmp_path / "run", resume=True))
    sessions = json.loads(saved.provenance_file.read_text())
    assert [(s["from_step"], s["to_step"]) for s in sessions] == [(0, stop), (stop, 12)]


# Python 3.12 warns of a fork of a process with threads; this child only trains.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_between_checkpoints_gives_the_same_bits(
    tiny_config: Make, table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL while the log is ahead of the checkpoint; later records are removed."""
    config = tiny_config(steps=24)
    seconds = iter(range(1_000))
    monkeypatch.setattr("unbraid.engine.session.LOG_EVERY", 2)
    uninterrupted = train(config, table, tmp_path / "uninterrupted")
    child = os.fork()
    if child == 0:
        advance = State.advance

        def killed(state: State, x: torch.Tensor, *extra: Any) -> None:
            if state.step == 17:
                os.kill(os.getpid(), signal.SIGKILL)
            advance(state, x, *extra)

        monkeypatch.setattr(State, "advance", killed)
        # A step takes a second of this clock.
        monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
        train(config, table, tmp_path / "killed", checkpoint_seconds=5.5)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    killed_run = Run(tmp_path / "killed")
    assert killed_run.read_log()[-1]["step"] == 16
    saved = read(killed_run.checkpoint_file, killed_run.read_config().identity())
    assert 0 < saved.step < 16
    with killed_run.log_file.open("a") as file:
        file.write('{"step": 18, "lo')  # an incomplete line
    assert_same_bits(uninterrupted, train(config, table, tmp_path / "killed", resume=True))


def test_damaged_checkpoint_resumes_from_the_previous_one_to_the_same_bits(
    tiny_run: Run,
    tiny_config: Make,
    table: ImageTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Run(tmp_path / "run")
    interrupt_at(7, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(), table, run.path, checkpoint_seconds=0.0)
    monkeypatch.undo()
    content = bytearray(run.checkpoint_file.read_bytes())
    content[len(content) // 2] ^= 0x10
    run.checkpoint_file.write_bytes(content)
    partial = run.path / ".checkpoint.safetensors.killed.partial"
    partial.write_bytes(content[:100])
    assert_same_bits(tiny_run, train(tiny_config(), table, run.path, resume=True))
    assert "resumes from the previous checkpoint, of step 6" in capsys.readouterr().err
    assert json.loads(run.provenance_file.read_text())[-1]["from_step"] == 6
    assert not partial.exists()


def test_directory_of_another_training_is_refused(
    tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    with (
        directory_lock(tmp_path / "run"),
        pytest.raises(UserError, match="run: another process is using it; wait until it ends"),
    ):
        train(tiny_config(), table, tmp_path / "run")
    assert [file.name for file in (tmp_path / "run").iterdir()] == [LOCK]
    train(tiny_config(steps=1), table, tmp_path / "run")


def test_larger_budget_resumes_the_same_run(
    tiny_run: Run, tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    train(tiny_config(steps=5), table, tmp_path / "run")
    longer = train(tiny_config(steps=12), table, tmp_path / "run", resume=True)
    a, b = (read(r.checkpoint_file, r.read_config().identity()) for r in (tiny_run, longer))
    weights = [name for name in a.tensors if name.startswith(("parts.", "adam."))]
    assert all(torch.equal(a.tensors[n], b.tensors[n]) for n in weights)
    with pytest.raises(UserError, match="trained for 12 steps already, more than steps=6"):
        train(tiny_config(steps=6), table, tmp_path / "run", resume=True)


def test_log_and_events_have_means_in_nats(tiny_run: Run) -> None:
    (record,) = tiny_run.read_log()
    assert record["step"] == 12
    # β_z KL_z and the mean commute, as β is constant within these checks only for closed sums.
    assert record["elbo"] == pytest.approx(-(record["reconstruction"] + sum(record["kl"])), 1e-5)
    assert sum(cast(Any, record)["share"]) == pytest.approx(1, abs=1e-6)
    assert len(record["kl"]) == len(record["beta"]) == 3
    events = EventAccumulator(str(tiny_run.events_folder)).Reload()
    (scalar,) = events.Scalars("reconstruction")
    assert scalar.value == pytest.approx(record["reconstruction"])
    assert {"kl/0", "kl/1", "kl/2"} <= set(events.Tags()["scalars"])


def test_existing_run_is_not_overwritten(
    tiny_run: Run, tiny_config: Make, table: ImageTable
) -> None:
    before = tiny_run.checkpoint_file.read_bytes()
    with pytest.raises(UserError, match="contains a run; add `resume`"):
        train(tiny_config(), table, tiny_run.path)
    assert tiny_run.checkpoint_file.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta_low": 0.5}, "trained with beta_low=1.0, not 0.5; set `beta_low` to 1.0"),
        ({"seed": 1}, "trained with seed=0, not 1"),
        ({"precision": "bf16"}, "trained with precision=fp32, not bf16"),
        ({"categories": 4, "steps": 20}, "trained with categories=3, not 4"),
    ],
)
def test_other_configuration_is_refused(
    change: dict, message: str, tiny_run: Run, tiny_config: Make, table: ImageTable
) -> None:
    before = tiny_run.config_file.read_bytes()
    with pytest.raises(UserError, match=message):
        train(tiny_config(**change), table, tiny_run.path, resume=True)
    assert tiny_run.config_file.read_bytes() == before


def test_config_edited_by_hand_contradicts_the_checkpoint(
    tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    run = train(tiny_config(), table, tmp_path / "run")
    edited = run.read_config().as_table()
    edited["hyperparameters"]["beta_low"] = 0.5
    run.config_file.write_text(tomli_w.dumps(edited))
    with pytest.raises(UserError, match="has another configuration"):
        train(tiny_config(beta_low=0.5), table, run.path, resume=True)
    run.config_file.write_text('method = "gan"')
    with pytest.raises(UserError, match="method 'gan': unknown"):
        run.read_config()
    run.config_file.write_text('method = "vae"')
    with pytest.raises(UserError, match="not the configuration of a run"):
        run.read_config()
    run.config_file.write_text("???")
    with pytest.raises(UserError, match="cannot be read"):
        run.read_config()


def test_infinite_loss_keeps_the_last_good_checkpoint(
    tiny_config: Make, table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config()
    advance = State.advance

    def poisoned(state: State, x: torch.Tensor, *extra: Any) -> None:
        if state.step == 8:
            with torch.no_grad():
                next(state.parts["decoder"].parameters()).fill_(torch.nan)
        advance(state, x, *extra)

    monkeypatch.setattr(State, "advance", poisoned)
    with pytest.raises(DivergedError, match="step 8: reconstruction and elbo and l2 became NaN"):
        train(config, table, tmp_path / "run", checkpoint_seconds=0.0)
    monkeypatch.undo()
    run = Run(tmp_path / "run")
    saved = read(run.checkpoint_file, config.identity())
    assert saved.step == 8
    assert all(t.isfinite().all() for t in saved.tensors.values())


def test_infinite_weights_never_replace_a_good_checkpoint(
    tiny_config: Make, table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gradient may overflow although the loss is finite, also in the last step."""
    run = train(tiny_config(steps=11), table, tmp_path / "run")
    before = run.checkpoint_file.read_bytes()
    advance = State.advance

    def poisoned(state: State, x: torch.Tensor, *extra: Any) -> None:
        advance(state, x, *extra)
        with torch.no_grad():
            next(state.parts["decoder"].parameters()).fill_(torch.inf)

    monkeypatch.setattr(State, "advance", poisoned)
    with pytest.raises(DivergedError, match=r"step 12: the weights of decoder.entry.weight became"):
        train(tiny_config(steps=12), table, run.path, resume=True)
    assert run.checkpoint_file.read_bytes() == before


def test_directory_that_cannot_be_written_is_reported(
    tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be written.*choose a folder that you may"):
        train(tiny_config(), table, tmp_path / "file" / "run")


def test_full_disk_is_reported_in_one_line_and_keeps_the_last_checkpoint(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files are limited to 200 kB; a checkpoint has 9 MB."""
    resource = pytest.importorskip("resource", reason="no limits of the size of files here")
    run = Run(tmp_path / "run")
    flags = ["--data", "dsprites-corner", "--batch-size", "4", "--threads", "1", "--resume"]
    command = ["train", "vae", *flags, "--out", str(run.path), "--steps"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for steps, limit, code in (("2", before[0], 0), ("4", 200_000, 1), ("4", before[0], 0)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            assert cli.main([*command, steps]) == code
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        error = capsys.readouterr().err
        reached = read(run.checkpoint_file, run.read_config().identity()).step
        assert reached == (int(steps) if code == 0 else 2)
        if code == 1:
            assert "Traceback" not in error
            last = error.strip().splitlines()[-1]
            assert "File too large" in last
            assert "free disk space" in last


def test_bf16_losses_stay_near_fp32(tiny_config: Make, table: ImageTable, tmp_path: Path) -> None:
    """bfloat16 has 8 significant bits: relative errors are about 2⁻⁹ per layer."""
    logs = {}
    for precision in ("fp32", "bf16"):
        run = train(tiny_config(precision=precision), table, tmp_path / precision)
        logs[precision] = run.read_log()[-1]
    for term in ("loss", "reconstruction", "elbo"):
        assert logs["bf16"][term] == pytest.approx(logs["fp32"][term], rel=0.01)


def test_invalid_budgets_and_seeds_are_refused(tiny_config: Make) -> None:
    with pytest.raises(UserError, match="steps=0: must be at least 1"):
        tiny_config(steps=0)
    with pytest.raises(UserError, match="seed=-1"):
        tiny_config(seed=-1)


@pytest.mark.slow
def test_training_memory_stays_below_the_limit(tmp_path: Path) -> None:
    """The peak resident memory of a run with batch size 64 and its dataset is below 1.5 GB."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak memory is read from /proc, which only Linux has")
    script = (
        "from unbraid.cli import main\n"
        f"main(['train', 'cascade-vae', '--steps', '4', '--stage-steps', '1', '--warmup-stages',"
        f" '1', '--threads', '1', '--out', {str(tmp_path / 'run')!r}])\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert int(done.stdout.splitlines()[-1]) * 1024 < 1.5e9


@pytest.mark.parametrize("name", METHODS)
def test_every_method_resumes_to_the_same_bits(
    name: str, table: ImageTable, tmp_path: Path
) -> None:
    """Weights and Adam's moments are equal."""
    narrow = {"discriminator_hidden_dim": 32}
    fields = {field.name for field in dataclasses.fields(METHODS[name])}
    method = METHODS[name](**{k: v for k, v in narrow.items() if k in fields})

    def config(steps: int) -> Config:
        return Config(method, "dsprites", Budget(steps, 4), 0, "fp32")

    uninterrupted = train(config(4), table, tmp_path / "uninterrupted")
    train(config(2), table, tmp_path / "stopped")
    run = train(config(4), table, tmp_path / "stopped", resume=True)
    assert run.read_log()[-1]["step"] == 4
    a, b = (read(r.checkpoint_file, r.read_config().identity()) for r in (uninterrupted, run))
    names = [name for name in a.tensors if name.startswith(("parts.", "adam."))]
    assert {n for n in b.tensors if n.startswith(("parts.", "adam."))} == set(names)
    assert all(torch.equal(a.tensors[n], b.tensors[n]) for n in names)
    for group, settings in method.groups().items():
        for part in settings.parts:
            assert any(n.startswith(f"adam.{group}.exp_avg.{part}.") for n in names), part


@pytest.mark.parametrize(("name", "images"), [("vae", 4), ("factor-vae", 8)])
def test_step_has_the_number_of_batches_of_the_method(
    name: str, images: int, table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    advance = State.advance

    def recorded(state: State, x: torch.Tensor, *extra: Any) -> None:
        seen.append(x)
        advance(state, x, *extra)

    monkeypatch.setattr(State, "advance", recorded)
    train(Config(find(name)(), "dsprites", Budget(2, 4), 0, "fp32"), table, tmp_path / name)
    assert [len(x) for x in seen] == [images, images]
    assert not torch.equal(seen[0][:4], seen[0][-4:]) or images == 4


def test_each_optimiser_group_is_trained_by_its_own_loss(table: ImageTable) -> None:
    """The learning rate of one network does not affect the other."""
    x = torch.from_numpy(table.images(np.arange(0, 8000, 1000))).float()

    def after(**hyperparameters: Any) -> State:
        method = FactorVAE(discriminator_hidden_dim=8, **hyperparameters)
        state = State(
            Config(method, "dsprites", Budget(1, 4), 0, "fp32"), table.shape, torch.device("cpu")
        )
        state.advance(x)
        return state

    def weights(state: State, *parts: str) -> list[torch.Tensor]:
        return [w for part in parts for w in state.parts[part].parameters()]

    def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
        return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))

    plain, faster, heavier = after(), after(discriminator_learning_rate=0.1), after(gamma=70.0)
    vae = ("encoder", "decoder")
    assert same(weights(plain, *vae), weights(faster, *vae))
    assert not same(weights(plain, "discriminator"), weights(faster, "discriminator"))
    assert same(weights(plain, "discriminator"), weights(heavier, "discriminator"))
    assert not same(weights(plain, "encoder"), weights(heavier, "encoder"))
    assert plain.optimisers["discriminator"].defaults["betas"] == (0.5, 0.9)
    assert plain.optimisers["vae"].defaults["betas"] == (0.9, 0.999)


def test_weights_decay_decoupled_from_the_loss_and_biases_do_not(table: ImageTable) -> None:
    """AdamW: without other gradients, w becomes (1 − learning rate · decay) w."""
    x = torch.from_numpy(table.images(np.arange(4))).float()
    after = {}
    for decay in (0.0, 0.5):
        method = QLAE(weight_decay=decay, learning_rate=1e-2)
        config = Config(method, "dsprites", Budget(1, 4), 0, "fp32")
        state = State(config, table.shape, torch.device("cpu"))
        before = {n: w.detach().clone() for n, w in state.parts.named_parameters()}
        state.advance(x)
        after[decay] = {n: w.detach() for n, w in state.parts.named_parameters()}
    for name, weight in before.items():
        decays = weight.ndim > 1 and not name.startswith("codebook")
        expected = after[0.0][name] - (1e-2 * 0.5 * weight if decays else 0)
        torch.testing.assert_close(after[0.5][name], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["factor-vae", "beta-tcvae", "dip-vae-i", "dip-vae-ii"])
def test_batch_of_1_is_refused_by_methods_that_compare_images(name: str) -> None:
    with pytest.raises(
        UserError, match=r"batch_size=1: .*compares the images of a batch and needs at least 2"
    ):
        Config(find(name)(), "dsprites", Budget(1, 1), 0, "fp32")


def test_diverged_discriminator_stops_the_run(table: ImageTable) -> None:
    method = FactorVAE(discriminator_hidden_dim=8, gamma=0.0)
    config = Config(method, "dsprites", Budget(1, 4), 0, "fp32")
    state = State(config, table.shape, torch.device("cpu"))
    with torch.no_grad():
        next(state.parts["discriminator"].parameters()).fill_(torch.inf)
    with pytest.raises(DivergedError, match="tc and discriminator became NaN or infinite"):
        state.advance(torch.zeros(8, 1, 64, 64))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_are_those_of_plain_adam(
    tiny_config: Make, table: ImageTable, precision: str
) -> None:
    config = tiny_config(precision=precision, l2=0.0, restart_adam=False)
    ours, plain = (State(config, table.shape, torch.device("cpu")) for _ in range(2))
    weights = list(plain.parts.parameters())
    adam = torch.optim.Adam(weights, lr=config.method.learning_rate, foreach=False, fused=False)
    for step in range(3):
        x = torch.from_numpy(table.images(np.arange(step, len(table), 200_000))).float()
        ours.advance(x)
        drawn = noise.normal(config.seed, step, config.method.noise_shapes(len(x)))
        adam.zero_grad()
        with computing_in(precision, torch.device("cpu")):
            losses = config.method.losses(plain.parts, x, drawn, step)
        losses.minimise["vae"].backward()
        adam.step()
    fresh = State(config, table.shape, torch.device("cpu"))
    for (name, found), expected, first in zip(
        ours.parts.named_parameters(), weights, fresh.parts.parameters(), strict=True
    ):
        moved = (expected - first).norm()
        assert (found - expected).norm() <= 1e-3 * moved, name
