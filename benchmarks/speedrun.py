"""Time to score: dSprites disentangled in minutes, no label in anything. Writes results/speedrun/.

Run as `python -m benchmarks.speedrun --seed 20`. Four parts:

1. m dimensions, one β for all, falling: position and size come out, each along one dimension.
2. All images are encoded; `benchmarks.charts` names a category of some of them, without labels.
3. The dimensions that stayed idle start anew (a random direction of the encoder's features). Most
   of each batch are images with a category from 2; the rest take the best one, as in CascadeVAE.
4. CascadeVAE as it is, on all images.

The outcome is the run directory of a CascadeVAE, which `unbraid evaluate` scores; nothing is scored
before the last step, and labels are read there only.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

import unbraid
from benchmarks import charts
from benchmarks.step import machine
from unbraid import latents
from unbraid.assignment import assign
from unbraid.data.images import ImageTable
from unbraid.engine import Budget, Config, Run, checkpoint, noise
from unbraid.engine.encode import Trained, encode
from unbraid.engine.precision import resolve
from unbraid.engine.state import State
from unbraid.methods.base import Losses
from unbraid.methods.cascade_vae import CascadeVAE
from unbraid.nets import ConvDecoder, ConvEncoder

RESULTS = Path("results/speedrun")
BATCH, GIVEN = 64, 44
# A dimension that tells less of an image, in nats, is idle.
IDLE = 0.3


@dataclass(frozen=True)
class Falling(CascadeVAE):
    """CascadeVAE without d; one β for every dimension falls in equal ratios from step to step."""

    beta_first: float = 60.0
    beta_last: float = 2.0
    fall: int = 4_000

    def betas(self, step: int) -> tuple[float, ...]:
        done = min(step / self.fall, 1.0)
        return (self.beta_first * (self.beta_last / self.beta_first) ** done,) * self.continuous

    def discrete_is_open(self, step: int) -> bool:
        return False


@dataclass(frozen=True)
class Given(CascadeVAE):
    """CascadeVAE with every dimension open and, until a step, d given for the first of a batch.

    `given` is a buffer of the parts.
    """

    until: int = 0

    def opened(self, step: int) -> int:
        return self.continuous

    def discrete_is_open(self, step: int) -> bool:
        return True

    def losses(
        self, parts: nn.ModuleDict, x: Tensor, noise: Mapping[str, Tensor], step: int
    ) -> Losses:
        if step >= self.until:
            return super().losses(parts, x, noise, step)
        given = parts.get_buffer("given")
        mean_bz, std_bz = parts["encoder"](x)
        z_bz = latents.sample_normal(mean_bz, std_bz, noise["z"])
        with torch.no_grad():
            cost_bk = self._cost(parts, x, z_bz)
            right = (cost_bk[: len(given)].argmin(dim=1) == given).float().mean()
            category_b = torch.cat([given, assign(cost_bk, self.pairwise)[len(given) :]])
        d_bk = functional.one_hot(category_b, self.categories).to(z_bz.dtype)
        logits = parts["decoder"](torch.cat([z_bz, d_bk], dim=1))
        reconstruction = latents.bernoulli_nats(logits, x).mean()
        kl_z = latents.kl_from_standard_normal(mean_bz, std_bz).mean(dim=0)
        more = {"share": d_bk.mean(dim=0), "right": right}
        return self.weighed(parts, reconstruction, kl_z, step, more)


def fall(table: ImageTable, seed: int, flags: argparse.Namespace) -> State:
    """Part 1."""
    method = Falling(continuous=flags.dimensions, learning_rate=1e-3, fall=flags.fall)
    state = State(_config(method, seed), table.shape, torch.device("cpu"))
    for _ in _steps("falling β", state, flags.falling):
        index = noise.batch_indices(seed, state.step, len(table), BATCH)
        state.advance(torch.from_numpy(table.images(index.numpy())).float())
    return state


def start_anew(state: State, table: ImageTable, idle: list[int], seed: int) -> None:
    """Each idle dimension's mean becomes a random direction of the features, its std 0.3."""
    encoder, decoder = state.parts["encoder"], state.parts["decoder"]
    assert isinstance(encoder, ConvEncoder)
    assert isinstance(decoder, ConvDecoder)
    m = state.config.method.continuous
    seen: list[Tensor] = []
    hook = encoder.head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    index = noise.batch_indices(seed, 0, len(table), 512)
    with torch.no_grad():
        encoder(torch.from_numpy(table.images(index.numpy())).float())
        hook.remove()
        drawn = noise.generator(seed, "anew", 0)
        entry = decoder.entry.weight
        for z in idle:
            direction = torch.randn(seen[0].shape[1], generator=drawn)
            along = seen[0] @ direction
            encoder.head.weight[z] = direction / along.std()
            encoder.head.bias[z] = -along.mean() / along.std()
            encoder.head.weight[m + z] = 0
            encoder.head.bias[m + z] = math.log(math.expm1(0.3))
            entry[:, z] = torch.randn(len(entry), generator=drawn) * entry[:, :m].std()


def settle(
    state: State, table: ImageTable, index: np.ndarray, category: np.ndarray, steps: int
) -> None:
    """Parts 3 and 4."""
    seed, method = state.config.seed, state.config.method
    assert isinstance(method, Given)
    for _ in _steps("d given, then free", state, steps):
        batch = noise.batch_indices(seed, state.step, len(table), BATCH).numpy()
        if state.step < method.until:
            drawn = noise.generator(seed, "given", state.step)
            which = torch.randint(len(index), (GIVEN,), generator=drawn).numpy()
            batch[:GIVEN] = index[which]
            state.parts.register_buffer("given", torch.from_numpy(category[which]))
        state.advance(torch.from_numpy(table.images(batch)).float())
    del state.parts.given


def _steps(name: str, state: State, steps: int) -> Any:
    with tqdm(total=steps, desc=name, unit="step") as bar:
        while state.step < steps:
            yield state.step
            bar.update()
            if state.step % 500 == 0:
                means = {k: np.round(v, 2).tolist() for k, v in state.means().items()}
                tqdm.write(json.dumps({"step": state.step, **means}), sys.stderr)


def _config(method: CascadeVAE, seed: int, steps: int = 1) -> Config:
    precision = resolve("auto", torch.device("cpu"))
    return Config(method, "dsprites", Budget(steps, BATCH), seed, precision)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dimensions", type=int, default=6)
    parser.add_argument("--fall", type=int, default=4_000)
    parser.add_argument("--falling", type=int, default=5_000)
    parser.add_argument("--given", type=int, default=4_500)
    parser.add_argument("--steps", type=int, default=7_000)
    parser.add_argument("--beta", type=float, default=1.5)
    parser.add_argument("--runs", type=Path, default=Path("runs/speedrun"))
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    seed, table = flags.seed, unbraid.load("dsprites")
    seconds: dict[str, float] = {}
    began = time.monotonic()

    def lap(name: str) -> None:
        seconds[name] = round(time.monotonic() - began - sum(seconds.values()), 1)

    state = fall(table, seed, flags)
    lap("falling")
    trained = Trained(state.config, state.parts, state.step)
    codes = encode(trained, table, precision=state.config.precision, discrete=False)
    kl_z, std_nz = codes.kl(), codes.std
    assert kl_z is not None
    assert std_nz is not None
    used = kl_z >= IDLE
    place_nz = codes.mean[:, used] / np.sqrt((std_nz[:, used] ** 2).mean(axis=0))
    lap("encoding")
    index, category, told = charts.categories(table, place_nz, 3, np.random.default_rng(seed))
    lap("charts")
    method = Given(
        continuous=flags.dimensions, learning_rate=7e-4, beta_low=flags.beta, until=flags.given
    )
    after = State(_config(method, seed + 2**31), table.shape, torch.device("cpu"))
    after.parts.load_state_dict(state.parts.state_dict())
    start_anew(after, table, np.flatnonzero(~used).tolist(), seed)
    settle(after, table, index, category, flags.steps)
    lap("settling")
    run = Run(flags.runs / f"seed-{seed}")
    run.path.mkdir(parents=True, exist_ok=True)
    as_scored = CascadeVAE(
        continuous=flags.dimensions, learning_rate=7e-4, beta_low=flags.beta, warmup_stages=0
    )
    config = _config(as_scored, seed, flags.steps)
    run.write_config(config)
    checkpoint.save(run.checkpoint_file, after.checkpoint(), config.identity())
    command = [sys.executable, "-m", "unbraid", "evaluate", str(run.path)]
    subprocess.run([*command, "--threads", str(flags.threads)], check=True)
    scores: dict[str, Any] = json.loads(run.scores_file.read_text())
    outcome = {
        "command": "python -m benchmarks.speedrun " + " ".join(sys.argv[1:]),
        "machine": machine(),
        "threads": flags.threads,
        "seed": seed,
        "kl_after_falling": kl_z.round(3).tolist(),
        "charts": told,
        "seconds": seconds,
        "minutes": round(sum(seconds.values()) / 60, 2),
        "kl": scores["kl"],
        "scores": {f"{r['metric']}, {r['protocol']}": r["score"] for r in scores["scores"]},
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"seed-{seed}.json").write_text(json.dumps(outcome, indent=2) + "\n")
    print(json.dumps(outcome, indent=2))


if __name__ == "__main__":
    main()
