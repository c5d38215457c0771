"""Populations: each member equals the separate run, whatever happens to the others."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.soak import worker_processes
from tests.engine.test_trainer import assert_same_bits

from unbraid import cli
from unbraid.data.images import ImageTable
from unbraid.engine import member, seeds_of, train, train_population
from unbraid.errors import ArgumentError, UnbraidError, UserError
from unbraid.files import directory_lock
from unbraid.runs import Budget, Config, Run
from unbraid.runs.checkpoint import previous_path, read

Make = Callable[..., Config]
ENDLESS = 1_000_000


def step_of(run: Run) -> int:
    return read(run.checkpoint_file, run.read_config().identity()).step


@contextlib.contextmanager
def meanwhile(act: Callable[[], None], *runs: Run) -> Iterator[None]:
    """Call `act` during the block, as soon as each of these runs has two checkpoints."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            if all(previous_path(run.checkpoint_file).exists() for run in runs):
                act()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_member_equals_the_separate_run_and_is_trained_once(
    tiny_run: Run, tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    seeds, out = [0, 7], tmp_path / "out"
    alone = [tiny_run, train(tiny_config(seed=7), table, tmp_path / "7")]
    runs = train_population(tiny_config(), table, out, seeds)
    assert [run.path for run in runs] == [out / f"seed-{s}" for s in seeds]
    for run, single in zip(runs, alone, strict=True):
        assert run.read_config() == single.read_config()
        assert_same_bits(run, single)
    before = {p: p.stat().st_mtime_ns for run in runs for p in run.path.iterdir()}
    train_population(tiny_config(), table, out, seeds, resume=True)
    assert before == {p: p.stat().st_mtime_ns for run in runs for p in run.path.iterdir()}


def test_ctrl_c_writes_a_checkpoint_of_every_member(
    tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    members = [member(tmp_path, seed) for seed in (0, 1, 2)]
    with (
        meanwhile(lambda: os.kill(os.getpid(), signal.SIGINT), *members[:2]),
        pytest.raises(KeyboardInterrupt),
    ):
        train_population(
            tiny_config(steps=ENDLESS),
            table,
            tmp_path,
            [0, 1, 2],
            max_workers=2,
            checkpoint_seconds=0.0,
        )
    assert not worker_processes()
    for run in members[:2]:
        (session,) = json.loads(run.provenance_file.read_text())
        assert session["to_step"] == step_of(run) > 0
        assert session["threads"] == 1
    assert {p.name for p in members[2].path.iterdir()} == {"config.toml"}


@pytest.mark.slow
def test_failed_member_does_not_stop_the_others(
    tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    """One has a damaged checkpoint, which is then repaired."""
    config, seeds = tiny_config(steps=15), [0, 1, 2]
    members = [member(tmp_path / "out", seed) for seed in seeds]
    members[2].write_config(tiny_config(steps=15, seed=2))
    members[2].checkpoint_file.write_bytes(b"")
    kwargs: dict[str, Any] = {"max_workers": 3, "checkpoint_seconds": 0.0, "resume": True}
    with pytest.raises(UnbraidError) as caught:
        train_population(config, table, tmp_path / "out", seeds, **kwargs)
    message = str(caught.value)
    assert message.startswith("1 of 3 members failed, all others are finished; add `resume`")
    assert "checkpoint.safetensors: not a complete safetensors file" in message
    assert "\n" not in message
    members[2].checkpoint_file.unlink()
    assert step_of(members[0]) == 15
    train_population(config, table, tmp_path / "out", seeds, **kwargs)
    for seed, run in zip(seeds, members, strict=True):
        assert_same_bits(train(tiny_config(steps=15, seed=seed), table, tmp_path / str(seed)), run)


@pytest.mark.slow
def test_members_stop_when_their_parent_is_killed(
    tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    """Otherwise they would train beside those of the population that resumes it."""
    out = tmp_path / "out"
    flags = ["--seeds", "0,1", "--batch-size", "4", "--threads", "2", "--out", str(out)]
    command = [sys.executable, "-m", "unbraid", "train", "vae", "--steps", str(ENDLESS), *flags]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    members = [member(out, seed) for seed in (0, 1)]
    deadline = time.monotonic() + 300
    while not all(run.read_log() for run in members) and time.monotonic() < deadline:
        time.sleep(0.05)
    locked = pytest.raises(UserError, match="seed-0: another process is using it")
    with locked, directory_lock(members[0].path):
        pass
    parent.kill()
    parent.wait()
    for run in members:
        with directory_lock(run.path, timeout=300.0):
            pass


def test_members_that_cannot_be_resumed_are_refused_before_training(
    tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    member(tmp_path, 1).write_config(tiny_config(seed=1, beta_low=0.5))
    with pytest.raises(UserError, match="seed-1: contains a run; add `resume`"):
        train_population(tiny_config(), table, tmp_path, [0, 1])
    with pytest.raises(UserError, match=r"seed-1: trained with beta_low=0\.5, not 1"):
        train_population(tiny_config(), table, tmp_path, [0, 1], resume=True)
    assert [p.name for p in tmp_path.iterdir()] == ["seed-1"]


@pytest.mark.parametrize("wrong", [{"device": "gpu"}, {"max_workers": -1}])
def test_wrong_arguments_are_refused_before_anything_is_written(
    wrong: dict[str, Any], tiny_config: Make, table: ImageTable, tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        train_population(tiny_config(), table, tmp_path, [0, 1], **wrong)
    assert not list(tmp_path.iterdir())


UNGUARDED = """
import sys
from pathlib import Path
from unbraid.data import load
from unbraid.engine import train_population
from unbraid.methods import find
from unbraid.runs import Budget, Config
config = Config(find("vae")(), "dsprites-corner", Budget(2, 4), 0, "fp32")
train_population(config, load("dsprites-corner"), Path(sys.argv[1]), [0], resume=True)
"""


@pytest.mark.slow
def test_script_without_a_guard_does_not_start_workers_without_end(
    table: ImageTable, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    command = [sys.executable, str(script), str(tmp_path / "out")]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert process.returncode != 0
    assert "if __name__ == '__main__'" in process.stderr
    assert "seed-0 (exit code 1)" in process.stderr


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-3", [0, 1, 2, 3]), ("5", [5]), ("0,3, 5-6", [0, 3, 5, 6])]
)
def test_seeds_are_parsed(text: str, seeds: list[int]) -> None:
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "-1", "a", "1-", "0-b", "1,,2", "3-1", "1,0-2", "0:3"])
def test_malformed_seeds_are_refused(text: str) -> None:
    with pytest.raises(
        UserError, match=rf"^seeds={text}: .*; set `seeds` to a list as 0-9 or 0,3,5$"
    ):
        seeds_of(text)


def test_command_trains_and_resumes_a_population(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_by_one(
        members: dict[Run, Config], table: ImageTable, max_workers: int | None, **kwargs: Any
    ) -> dict[str, str]:
        for run, config in members.items():
            train(config, table, run.path, resume=True, **kwargs)
        return {}

    monkeypatch.setattr("unbraid.engine.cpu_population.train_each", one_by_one)
    out = tmp_path / "out"
    flags = ["train", "vae", "--seeds", "3,8", "--out", str(out), "--batch-size", "4"]
    assert cli.main([*flags, "--steps", "2"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in printed] == [f"run {out}/seed-{s}" for s in (3, 8)]
    assert {p.name for p in member(out, 8).path.iterdir()} >= {"cascade.png", "events"}
    # The batch size is that of the existing population.
    assert cli.main([*flags[:-2], "--steps", "3", "--resume"]) == 0
    for seed in (3, 8):
        run = member(out, seed)
        assert step_of(run) == 3
        assert run.read_config().seed == seed
        assert run.read_config().budget == Budget(3, 4)
    assert cli.main([*flags, "--seed", "1"]) == 2
    assert "--seed 1: cannot be combined with --seeds" in capsys.readouterr().err
