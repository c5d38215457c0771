"""Time one training step of unbraid beside pythae and disent, on the same networks and images.

Run as `.venv-peers/bin/python -m benchmarks.peers`, or `make bench`, which also creates that
environment. Every step is forward, backward and Adam on batches of 64 binary images of 64×64
through the 32-32-64-64 + FC256 networks with z = 10; FactorVAE uses two such batches. All libraries
alternate in one process, so that a slower machine slows all of them: compare ratios, not times.
pythae's discriminator has five hidden layers, unbraid's has six as in the paper; disent has no
FactorVAE.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import types
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import unbraid
from benchmarks.step import BATCH, machine, measure, ours, plain_networks, plain_pytorch
from unbraid.runs.precision import resolve

Step = Callable[[], None]
LAST_STEP = 299_999  # of CascadeVAE's schedule: every dimension and the discrete code are open
LEARNING_RATE = 1e-4
SIZES = {"input_dim": (1, 64, 64), "latent_dim": 10}


def pythae_beta_vae(x: torch.Tensor) -> Step:
    """Return a step of pythae's β-VAE, as in its trainer."""
    models = import_module("pythae.models")
    config = models.BetaVAEConfig(**SIZES, reconstruction_loss="bce", beta=4.0)
    model = models.BetaVAE(config, *_pythae_networks())
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    def step() -> None:
        loss = model({"data": x}).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def pythae_factor_vae(x: torch.Tensor) -> Step:
    """Return a step of pythae's FactorVAE, as in its adversarial trainer; it halves the batch."""
    models = import_module("pythae.models")
    config = models.FactorVAEConfig(**SIZES, reconstruction_loss="bce", gamma=35.0)
    model = models.FactorVAE(config, *_pythae_networks())
    networks = [*model.encoder.parameters(), *model.decoder.parameters()]
    vae = torch.optim.Adam(networks, lr=LEARNING_RATE)
    discriminator = torch.optim.Adam(
        model.discriminator.parameters(), lr=LEARNING_RATE, betas=(0.5, 0.9)
    )
    both = x.repeat(2, 1, 1, 1)

    def step() -> None:
        out = model({"data": both})
        vae.zero_grad()
        out.autoencoder_loss.backward(retain_graph=True)
        discriminator.zero_grad()
        out.discriminator_loss.backward()
        vae.step()
        discriminator.step()

    return step


def disent_beta_vae(x: torch.Tensor) -> Step:
    """Return a step of disent's β-VAE, without the logging of its trainer."""
    _stub_torchvision()
    kind, model = import_module("disent.frameworks.vae").BetaVae, import_module("disent.model")
    networks = import_module("disent.model.ae")
    encoder = networks.EncoderConv64(x_shape=(1, 64, 64), z_size=10, z_multiplier=2)
    decoder = networks.DecoderConv64(x_shape=(1, 64, 64), z_size=10)
    # Its own encoder pads each layer by one pixel more.
    encoder.model, decoder.model = plain_networks()
    settings = kind.cfg(recon_loss="bce", loss_reduction="mean_sum", beta=4.0)
    framework = kind(model=model.AutoEncoder(encoder, decoder), cfg=settings)
    framework.log_dict = lambda *_, **__: None
    optimiser = torch.optim.Adam(framework.parameters(), lr=LEARNING_RATE)
    batch = {"x_targ": (x,)}

    def step() -> None:
        loss = framework.do_training_step(batch, 0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def _pythae_networks() -> tuple[Any, Any]:
    """Return the networks as subclasses of pythae's encoder and decoder."""
    output = import_module("pythae.models.base.base_utils").ModelOutput
    frames = import_module("pythae.models.nn")
    encoder, decoder = plain_networks()

    class Encoder(frames.BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = encoder

        def forward(self, x: torch.Tensor) -> Any:
            mean, log_variance = self.layers(x).chunk(2, dim=1)
            return output(embedding=mean, log_covariance=log_variance)

    class Decoder(frames.BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(decoder, nn.Sigmoid())

        def forward(self, z: torch.Tensor) -> Any:
            return output(reconstruction=self.layers(z))

    return Encoder(), Decoder()


def _stub_torchvision() -> None:
    """Stub torchvision, which disent imports; the real one would install another torch."""
    import_module("lightning")  # before the stub, because lightning checks for the real torchvision
    contents = {
        "torchvision": {},
        "torchvision.datasets": {"ImageFolder": object},
        "torchvision.models": {"vgg19_bn": None},
        "torchvision.transforms": {},
        "torchvision.transforms.functional": {},
    }
    for name, names in contents.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update({"__path__": [], **names})


def rows(x: torch.Tensor, auto: str) -> dict[str, dict[str, Step]]:
    """Return the steps to time, by method and library."""
    precisions = tuple(dict.fromkeys(("fp32", auto)))

    def unbraids(name: str, step: int = 0) -> dict[str, Step]:
        return {f"unbraid, {p}": ours(name, step, p, x) for p in precisions}

    beta = {"plain PyTorch": plain_pytorch(x), "pythae": pythae_beta_vae(x)}
    return {
        "beta-vae": {**beta, "disent": disent_beta_vae(x), **unbraids("beta-vae")},
        "factor-vae": {"pythae": pythae_factor_vae(x), **unbraids("factor-vae")},
        "joint-vae": unbraids("joint-vae"),
        "cascade-vae": unbraids("cascade-vae"),
        "cascade-vae with d": unbraids("cascade-vae", LAST_STEP),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/peers.json"))
    flags = parser.parse_args()
    table = unbraid.load("dsprites")
    x = torch.from_numpy(table.images(np.arange(0, len(table), len(table) // BATCH)[:BATCH]))
    chosen = rows(x.float(), resolve("auto", torch.device("cpu")))
    flat = {(m, name): step for m, steps in chosen.items() for name, step in steps.items()}
    threads: dict[str, Any] = {}
    for count in flags.threads:
        torch.set_num_threads(count)
        timed = measure(flat, flags.rounds)
        threads[str(count)] = {m: _with_ratios({n: timed[m, n] for n in chosen[m]}) for m in chosen}
        print(f"\n{count} thread(s), batch {BATCH}; × the fastest peer, if there is one")
        for method, row in threads[str(count)].items():
            for name, times in row.items():
                ratio = f"  × {times['ratio']:.2f}" if "ratio" in times else ""
                print(f"  {method:20}{name:16}{times['median_ms']:8.1f} ms{ratio}")
    versions = {name: importlib.metadata.version(name) for name in ("pythae", "disent")}
    outcome = {"batch": BATCH, "threads": threads, "machine": {**machine(), **versions}}
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(json.dumps(outcome, indent=2, ensure_ascii=False) + "\n")
    print(f"\nwritten to {flags.out}")


def _with_ratios(timed: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Add the ratio of each median to that of the fastest peer, if there is one."""
    peers = [row["median_ms"] for name, row in timed.items() if name in ("pythae", "disent")]
    if peers:
        for row in timed.values():
            row["ratio"] = round(row["median_ms"] / min(peers), 2)
    return timed


if __name__ == "__main__":
    main()
