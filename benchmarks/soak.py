"""Kill runs at random moments, continue them, and hold them to what was never stopped.

Run as `python -m benchmarks.soak`: 50 kills (SIGKILL) by default, of a run, of a population (all of
it, its parent alone, or one member) and of an evaluation, some while a checkpoint is written. Every
run that ends must have the weights, optimiser, log and scores of the uninterrupted one, byte by
byte. `--seed` repeats a sequence of moments, as far as the machine's own pace allows.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import unbraid
from unbraid.data.images import ImageTable
from unbraid.engine import member, train, train_population
from unbraid.errors import UserError
from unbraid.evaluation.scores import evaluate
from unbraid.files import PARTIAL
from unbraid.methods import find
from unbraid.runs import Budget, Config, Run

SEEDS = (0, 1)
KEPT = ("config.toml", "log.jsonl", "checkpoint.safetensors")
# A cascade that passes every stage within a second.
SHORT = {"latent_dim": 3, "stage_steps": 10, "warmup_stages": 2, "restart_adam": True}
EVERY_STEP = 0.0


class SoakError(Exception):
    """A run that was killed is not what it would have been."""


class Soak:
    """One population's reference, and what befalls copies of it."""

    def __init__(self, folder: Path, steps: int, seed: int) -> None:
        torch.set_num_threads(1)
        tqdm.monitor_interval = 0  # its thread may hold a lock at the moment of a fork
        self.folder, self.table = folder, small_table()
        self.config = Config(
            find("cascade-vae")(**SHORT), "dsprites", Budget(steps, 4), SEEDS[0], "fp32"
        )
        self.random = random.Random(seed)
        self.killed = self.ended = self.cut = 0
        self.alone = [self._reference(seed) for seed in SEEDS]

    def single(self, kills: int) -> None:
        """Kill one run in training and in checkpointing."""
        out = self.folder / "single"

        def work() -> None:
            train(self.config, self.table, out, resume=True, checkpoint_seconds=EVERY_STEP)

        self._until(kills, out, work, lambda: self.compare(self.alone[0], Run(out), KEPT))

    def population(self, kills: int) -> None:
        """Kill a population: every process of it, its parent alone, or one member."""
        out = self.folder / "population"
        runs = [member(out, seed) for seed in SEEDS]

        def work() -> None:
            how = {"resume": True, "max_workers": len(SEEDS), "checkpoint_seconds": EVERY_STEP}
            train_population(self.config, self.table, out, SEEDS, **how)

        def compare() -> None:
            for alone, run in zip(self.alone, runs, strict=True):
                self.compare(alone, run, KEPT)

        self._until(kills, out, work, compare, ("all", "parent", "member"))

    def evaluation(self, kills: int) -> None:
        """Kill the evaluation of a finished run."""
        out = self.folder / "evaluation"
        reference = self.alone[0]
        evaluate(reference, self.table)

        def prepare() -> None:
            out.mkdir()
            for name in KEPT:
                shutil.copy(reference.path / name, out / name)

        def work() -> None:
            evaluate(Run(out), self.table)

        def compare() -> None:
            self.compare(reference, Run(out), (*KEPT, "scores.json"))

        self._until(kills, out, work, compare, prepare=prepare)

    def _reference(self, seed: int) -> Run:
        out = self.folder / f"alone-{seed}"
        return train(dataclasses.replace(self.config, seed=seed), self.table, out)

    def _until(
        self,
        kills: int,
        out: Path,
        work: Callable[[], None],
        compare: Callable[[], None],
        victims: tuple[str, ...] = ("all",),
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """Start `work` over and over, killed `kills` times, and `compare` whatever ends."""
        killed, longest = 0, 0.0
        while True:
            if not out.exists():
                prepare()
            # The first is left alone, to know how long one takes; and the last, to see its end.
            victim = self.random.choice(victims) if longest and killed < kills else "none"
            began = time.monotonic()
            if attempt(work, victim, self.random.uniform(0, longest)):
                longest = max(longest, time.monotonic() - began)
                compare()
                self.ended += 1
                if killed == kills:
                    return
                shutil.rmtree(out)
            else:
                killed += 1
                self.cut += any(out.rglob(f".*{PARTIAL}"))
                self.killed += 1

    @staticmethod
    def compare(alone: Run, run: Run, names: tuple[str, ...]) -> None:
        for name in names:
            if (alone.path / name).read_bytes() != (run.path / name).read_bytes():
                raise SoakError(f"{run.path / name} differs from {alone.path / name}")


def attempt(work: Callable[[], None], victim: str, delay: float) -> bool:
    """Whether `work`, in a process of its own, ended well before it was killed after `delay`."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()
            if victim == "member":
                threading.Timer(delay, kill_a_member).start()
            work()
            code = 0
        except UserError as error:
            code = 2 if victim == "member" else 1
            print(error, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    deadline = time.monotonic() + delay
    while victim in ("all", "parent") and time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return well(status)
        time.sleep(0.002)
    if victim == "all":
        os.killpg(child, signal.SIGKILL)
    elif victim == "parent":
        os.kill(child, signal.SIGKILL)
    return well(os.waitpid(child, 0)[1])


def well(status: int) -> bool:
    """Whether a process ended well; SoakError if it failed otherwise than by being killed."""
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) not in (0, 2):
        raise SoakError("a run that was continued failed; see the traceback above")
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


def kill_a_member() -> None:
    """Kill one of this process's members, if there is one."""
    members = [m for m in multiprocessing.active_children() if m.pid]
    if members:
        os.kill(random.SystemRandom().choice(members).pid or 0, signal.SIGKILL)


def small_table() -> ImageTable:
    """dSprites with few values of each factor: 1,536 images."""
    whole = unbraid.load("dsprites")
    steps = (1, 3, 10, 4, 4)
    sizes = tuple(s // step for s, step in zip(whole.factors.sizes, steps, strict=True))
    factors = dataclasses.replace(whole.factors, sizes=sizes)
    index = whole.factors.index_of(factors.factors_of(np.arange(len(factors))) * np.array(steps))
    return ImageTable(whole.name, np.array(whole.bits[index]), whole.height, whole.width, factors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=60, help="of every run, default 60")
    parser.add_argument("--seed", type=int, default=0, help="of the moments, default 0")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), flags.steps, flags.seed)
        shares = {"single": 0.4, "population": 0.4, "evaluation": 0.2}
        for name, share in shares.items():
            before = soak.killed, soak.ended, soak.cut
            getattr(soak, name)(round(share * flags.kills))
            killed, ended, cut = (
                soak.killed - before[0],
                soak.ended - before[1],
                soak.cut - before[2],
            )
            print(
                f"{name}: {killed} kills, {cut} of them in the midst of writing a file;"
                f" {ended} runs ended, each byte for byte the one that was never stopped"
            )


if __name__ == "__main__":
    main()
