"""Time training steps of every method and of a plain PyTorch β-VAE, encoding, and loading.

Run as `python -m benchmarks.step` or `make bench`. The methods alternate in one process, so that a
slower machine slows all of them: compare ratios, not times. Peak memory is reported too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

import unbraid
from unbraid.data.images import ImageTable
from unbraid.engine.state import State
from unbraid.methods import METHODS, find
from unbraid.runs import Budget, Config
from unbraid.runs.encode import Trained, encode
from unbraid.runs.precision import resolve

BATCH = 64


def plain_networks() -> tuple[nn.Sequential, nn.Sequential]:
    """Return the usual encoder and decoder for z = 10, written as in a tutorial."""
    relu = nn.ReLU
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1),
        relu(),
        nn.Conv2d(32, 32, 4, 2, 1),
        relu(),
        nn.Conv2d(32, 64, 4, 2, 1),
        relu(),
        nn.Conv2d(64, 64, 4, 2, 1),
        relu(),
        nn.Flatten(),
        nn.Linear(1024, 256),
        relu(),
        nn.Linear(256, 20),
    )
    decoder = nn.Sequential(
        nn.Linear(10, 256),
        relu(),
        nn.Linear(256, 1024),
        relu(),
        nn.Unflatten(1, (64, 4, 4)),
        nn.ConvTranspose2d(64, 64, 4, 2, 1),
        relu(),
        nn.ConvTranspose2d(64, 32, 4, 2, 1),
        relu(),
        nn.ConvTranspose2d(32, 32, 4, 2, 1),
        relu(),
        nn.ConvTranspose2d(32, 1, 4, 2, 1),
    )
    return encoder, decoder


def plain_pytorch(x: torch.Tensor) -> Callable[[], None]:
    """Return a step of a β-VAE written as in a tutorial: fp32, contiguous, eager."""
    encoder, decoder = plain_networks()
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-4)

    def step() -> None:
        mean, log_variance = encoder(x).chunk(2, dim=1)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        nats = functional.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        optimiser.zero_grad()
        ((nats + 4 * kl) / len(x)).backward()
        optimiser.step()

    return step


def ours(name: str, step: int, precision: str, x: torch.Tensor) -> Callable[[], None]:
    """Return a training step of a method in the engine, at a step of its schedule."""
    config = Config(find(name)(), "dsprites", Budget(300_000, len(x)), 0, precision)
    x = x.repeat(config.method.batches_per_step, 1, 1, 1)
    channels, height, width = x.shape[1:]
    state = State(config, (channels, height, width), torch.device("cpu"))

    def advance() -> None:
        state.step = step
        state.advance(x)

    return advance


def measure(steps: dict[Any, Callable[[], None]], rounds: int) -> dict[Any, dict[str, float]]:
    """Time steps in turn; return the median, minimum and maximum of each in milliseconds."""
    seconds: dict[Any, list[float]] = {name: [] for name in steps}
    for number in tqdm(range(rounds + 3), desc="timing", unit="round"):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if number >= 3:
                seconds[name].append(time.perf_counter() - began)
    return {
        name: {
            "median_ms": round(1e3 * statistics.median(s), 1),
            "min_ms": round(1e3 * min(s), 1),
            "max_ms": round(1e3 * max(s), 1),
        }
        for name, s in seconds.items()
    }


def encoding(table: ImageTable, precision: str, images: int, discrete: bool) -> float:
    """Return the number of images encoded per second, with the discrete code if `discrete`."""
    method = find("cascade-vae")()
    config = Config(method, "dsprites", Budget(1, 1), 0, precision)
    trained = Trained(config, method.build(table.shape), 0)
    began = time.perf_counter()
    encode(trained, table, precision=precision, index=np.arange(images), discrete=discrete)
    return round(images / (time.perf_counter() - began))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--images", type=int, default=20_480, help="images to encode, default 20480"
    )
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/step.json"))
    flags = parser.parse_args()
    began = time.perf_counter()
    table = unbraid.load("dsprites")
    load_seconds = round(time.perf_counter() - began, 2)
    auto = resolve("auto", torch.device("cpu"))
    x = torch.from_numpy(table.images(np.arange(0, len(table), len(table) // BATCH)[:BATCH]))
    x = x.float()
    threads: dict[str, Any] = {}
    for count in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(count)
        steps = {"plain PyTorch β-VAE, fp32": plain_pytorch(x)}
        for name in METHODS:
            for precision in dict.fromkeys(("fp32", auto)):
                steps[f"{name}, {precision}"] = ours(name, 0, precision, x)
        for precision in dict.fromkeys(("fp32", auto)):
            steps[f"cascade-vae with d, {precision}"] = ours("cascade-vae", 299_999, precision, x)
        timed = measure(steps, flags.rounds)
        base = timed["plain PyTorch β-VAE, fp32"]["median_ms"]
        for row in timed.values():
            row["ratio"] = round(row["median_ms"] / base, 2)
        threads[str(count)] = {
            "step": timed,
            "encoded_images_per_second": {
                f"{precision}{', with d' * discrete}": encoding(
                    table, precision, flags.images, discrete
                )
                for precision in dict.fromkeys(("fp32", auto))
                for discrete in (False, True)
            },
        }
    outcome = {
        "batch": BATCH,
        "threads": threads,
        "load_seconds": load_seconds,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "machine": machine(),
    }
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(json.dumps(outcome, indent=2, ensure_ascii=False) + "\n")
    for count, result in threads.items():
        print(f"\n{count} thread(s), batch {BATCH}")
        for name, row in result["step"].items():
            print(f"  {name:32}{row['median_ms']:8.1f} ms  × {row['ratio']:.2f}")
        for setting, rate in result["encoded_images_per_second"].items():
            print(f"  encoding, {setting}: {rate:,} images per second")
    print(f"\ndataset loaded and verified in {load_seconds} s; written to {flags.out}")


def machine() -> dict[str, str]:
    """Return the processor, versions, commit and date of a measurement."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "processor": f"{len(models)} × {models[0]}" if models else platform.processor(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "unbraid": unbraid.__version__,
        "commit": commit.stdout.strip(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


if __name__ == "__main__":
    main()
