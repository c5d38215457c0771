"""Kill runs at random times, resume them, and compare them with uninterrupted runs.

Run as `python -m benchmarks.soak`. By default it sends SIGKILL 50 times: to a run, to a population
(all processes, the parent alone, or one member) and to an evaluation, sometimes while a checkpoint
is being written. Weights, optimiser, log and scores of every finished run must equal those of the
uninterrupted one, byte by byte. `--seed` repeats the times of the kills; which operation they
interrupt also depends on the speed of the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import random
import shutil
import signal
import subprocess
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
from unbraid.engine import cpu_population, member, train, train_population
from unbraid.errors import UnbraidError
from unbraid.evaluation.scores import evaluate
from unbraid.files import PARTIAL
from unbraid.methods import find
from unbraid.runs import Budget, Config, Run

SEEDS = (0, 1)
# A cascade that passes all stages within a second.
HYPERPARAMETERS = {"latent_dim": 3, "stage_steps": 10, "warmup_stages": 2, "restart_adam": True}
EVERY_STEP = 0.0


class SoakError(Exception):
    """A resumed run differs from the uninterrupted one, or fails."""


class Soak:
    """Reference runs of a population, and copies of them that are killed and resumed."""

    def __init__(self, folder: Path, steps: int, seed: int) -> None:
        torch.set_num_threads(1)
        tqdm.monitor_interval = 0  # its thread could hold a lock during a fork
        self.folder, self.table = folder, small_table()
        self.config = Config(
            find("cascade-vae")(**HYPERPARAMETERS), "dsprites", Budget(steps, 4), SEEDS[0], "fp32"
        )
        self.random = random.Random(seed)
        self.kills = self.finished = self.interrupted_writes = 0
        self.references = [self._reference(seed) for seed in SEEDS]

    def single(self, kills: int) -> None:
        """Kill one run in training and while it writes checkpoints."""
        out = self.folder / "single"

        def work() -> None:
            train(self.config, self.table, out, resume=True, checkpoint_seconds=EVERY_STEP)

        self._until(kills, out, work, lambda: self.compare(self.references[0], Run(out)))

    def population(self, kills: int) -> None:
        """Kill a population: all its processes, the parent alone, or one member."""
        out = self.folder / "population"
        runs = [member(out, seed) for seed in SEEDS]

        def work() -> None:
            train_population(
                self.config,
                self.table,
                out,
                SEEDS,
                resume=True,
                max_workers=len(SEEDS),
                checkpoint_seconds=EVERY_STEP,
            )

        def compare() -> None:
            for reference, run in zip(self.references, runs, strict=True):
                self.compare(reference, run)

        self._until(kills, out, work, compare, ("all", "parent", "member"))

    def evaluation(self, kills: int) -> None:
        """Kill the evaluation of a finished run."""
        out = self.folder / "evaluation"
        reference = self.references[0]
        evaluate(reference, self.table)

        def prepare() -> None:
            out.mkdir()
            for file in trained_files(reference):
                shutil.copy(file, out / file.name)

        def work() -> None:
            evaluate(Run(out), self.table)

        def compare() -> None:
            self.compare(reference, Run(out))
            same_bytes(reference.scores_file, Run(out).scores_file)

        self._until(kills, out, work, compare, prepare=prepare)

    def _reference(self, seed: int) -> Run:
        out = self.folder / f"reference-{seed}"
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
        """Repeat `work`, kill it `kills` times, and `compare` the runs that finish."""
        kills_done, longest = 0, 0.0
        while True:
            if not out.exists():
                prepare()
            # The first attempt is not killed, to measure its duration, and neither is the last.
            victim = self.random.choice(victims) if longest and kills_done < kills else "none"
            started = time.monotonic()
            if attempt(work, victim, self.random.uniform(0, longest)):
                longest = max(longest, time.monotonic() - started)
                compare()
                self.finished += 1
                if kills_done == kills:
                    return
                shutil.rmtree(out)
            else:
                kills_done += 1
                self.interrupted_writes += any(out.rglob(f".*{PARTIAL}"))
                self.kills += 1

    @staticmethod
    def compare(reference: Run, run: Run) -> None:
        """Raise SoakError unless the runs have the same configuration, log and checkpoint."""
        for one, other in zip(trained_files(reference), trained_files(run), strict=True):
            same_bytes(one, other)


def trained_files(run: Run) -> list[Path]:
    """Files of a run that do not depend on when it was interrupted."""
    return [run.config_file, run.log_file, run.checkpoint_file]


def same_bytes(reference: Path, file: Path) -> None:
    """Raise SoakError unless both files are equal."""
    if reference.read_bytes() != file.read_bytes():
        raise SoakError(f"{file} differs from {reference}")


def attempt(work: Callable[[], None], victim: str, delay: float) -> bool:
    """Run `work` in a process; return whether it succeeded before it was killed after `delay`."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if victim == "member":
                threading.Timer(delay, kill_member).start()
            work()
            code = 0
        except UnbraidError as error:
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
            return succeeded(status)
        time.sleep(0.002)
    if victim == "all":
        # The parent is killed first; otherwise it would report a killed member as a failure.
        workers = worker_processes(child)
        os.kill(child, signal.SIGKILL)
        for pid, _ in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    elif victim == "parent":
        os.kill(child, signal.SIGKILL)
    return succeeded(os.waitpid(child, 0)[1])


def succeeded(status: int) -> bool:
    """Return whether a process succeeded; raise SoakError if it failed without being killed."""
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) not in (0, 2):
        raise SoakError("a resumed run failed; see the traceback above")
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


def kill_member() -> None:
    """Kill a random worker process of this process, if there is one."""
    if members := worker_processes():
        os.kill(random.SystemRandom().choice(members)[0], signal.SIGKILL)


def worker_processes(parent: int | None = None) -> list[tuple[int, str]]:
    """Return ids and names of the worker processes of a process, by default this one."""
    command = ["ps", "-A", "-o", "pid=,ppid=,args="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    members = []
    for line in listing.splitlines():
        pid, parent_pid, *arguments = line.split()
        if int(parent_pid) == (parent or os.getpid()) and cpu_population.COMMAND[-1] in arguments:
            members.append((int(pid), arguments[-1]))
    return members


def small_table() -> ImageTable:
    """Load dSprites with few values of each factor: 1,536 images."""
    table = unbraid.load("dsprites")
    steps = (1, 3, 10, 4, 4)
    sizes = tuple(s // step for s, step in zip(table.factors.sizes, steps, strict=True))
    factors = dataclasses.replace(table.factors, sizes=sizes)
    index = table.factors.index_of(factors.factors_of(np.arange(len(factors))) * np.array(steps))
    return ImageTable(table.name, np.array(table.bits[index]), table.height, table.width, factors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=60, help="steps per run, default 60")
    parser.add_argument("--seed", type=int, default=0, help="seed for the kill times, default 0")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), flags.steps, flags.seed)
        shares = {"single": 0.4, "population": 0.4, "evaluation": 0.2}
        for name, share in shares.items():
            soak.kills = soak.finished = soak.interrupted_writes = 0
            getattr(soak, name)(round(share * flags.kills))
            print(
                f"{name}: {soak.kills} kills, {soak.interrupted_writes} of them while a file was"
                f" written; {soak.finished} runs finished, each equal to the uninterrupted one"
            )


if __name__ == "__main__":
    main()
