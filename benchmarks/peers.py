"""Time one training step of unbraid beside pythae and disent, on the same networks and images.

Run as `.venv-peers/bin/python -m benchmarks.peers`; `make bench` does, and makes that environment.
Every step is forward, backward and Adam on batches of 64 binary images of 64×64 through the
32-32-64-64 + FC256 networks with z = 10; FactorVAE takes two such batches. The steps are taken in
turn in one process, so that a machine that slows down slows them all: what to compare is the ratio.
pythae's discriminator has five hidden layers, unbraid's the paper's six; disent has no FactorVAE.
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
LAST = 299_999  # of CascadeVAE's schedule: every dimension and the discrete code are open
RATE = 1e-4
SIZES = {"input_dim": (1, 64, 64), "latent_dim": 10}


def pythae_beta_vae(x: torch.Tensor) -> Step:
    """A step of pythae's β-VAE, as its trainer takes it."""
    models = import_module("pythae.models")
    config = models.BetaVAEConfig(**SIZES, reconstruction_loss="bce", beta=4.0)
    model = models.BetaVAE(config, *_pythae_networks())
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)

    def step() -> None:
        loss = model({"data": x}).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def pythae_factor_vae(x: torch.Tensor) -> Step:
    """A step of pythae's FactorVAE, as its adversarial trainer takes it; it halves its batch."""
    models = import_module("pythae.models")
    config = models.FactorVAEConfig(**SIZES, reconstruction_loss="bce", gamma=35.0)
    model = models.FactorVAE(config, *_pythae_networks())
    networks = [*model.encoder.parameters(), *model.decoder.parameters()]
    vae = torch.optim.Adam(networks, lr=RATE)
    discriminator = torch.optim.Adam(model.discriminator.parameters(), lr=RATE, betas=(0.5, 0.9))
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
    """A step of disent's β-VAE, without the logging of its trainer."""
    _stand_in_for_torchvision()
    kind, model = import_module("disent.frameworks.vae").BetaVae, import_module("disent.model")
    networks = import_module("disent.model.ae")
    encoder = networks.EncoderConv64(x_shape=(1, 64, 64), z_size=10, z_multiplier=2)
    decoder = networks.DecoderConv64(x_shape=(1, 64, 64), z_size=10)
    # Its own encoder pads each layer by one pixel more.
    encoder.model, decoder.model = plain_networks()
    settings = kind.cfg(recon_loss="bce", loss_reduction="mean_sum", beta=4.0)
    framework = kind(model=model.AutoEncoder(encoder, decoder), cfg=settings)
    framework.log_dict = lambda *_, **__: None
    optimiser = torch.optim.Adam(framework.parameters(), lr=RATE)
    batch = {"x_targ": (x,)}

    def step() -> None:
        loss = framework.do_training_step(batch, 0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def _pythae_networks() -> tuple[Any, Any]:
    """The networks in the frame that pythae asks for."""
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


def _stand_in_for_torchvision() -> None:
    """Empty modules for what disent imports and none of this uses: the real one brings a torch."""
    import_module("lightning")  # it looks for the real one, and is not to find these
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
    """What is timed, by method; the peers of each beside it."""
    precisions = tuple(dict.fromkeys(("fp32", auto)))

    def unbraids(name: str, step: int = 0) -> dict[str, Step]:
        return {f"unbraid, {p}": ours(name, step, p, x) for p in precisions}

    beta = {"plain PyTorch": plain_pytorch(x), "pythae": pythae_beta_vae(x)}
    return {
        "beta-vae": {**beta, "disent": disent_beta_vae(x), **unbraids("beta-vae")},
        "factor-vae": {"pythae": pythae_factor_vae(x), **unbraids("factor-vae")},
        "joint-vae": unbraids("joint-vae"),
        "cascade-vae": unbraids("cascade-vae"),
        "cascade-vae with d": unbraids("cascade-vae", LAST),
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
        print(f"\n{count} thread(s), batch {BATCH}; × the fastest peer, where there is one")
        for method, row in threads[str(count)].items():
            for name, found in row.items():
                ratio = f"  × {found['ratio']:.2f}" if "ratio" in found else ""
                print(f"  {method:20}{name:16}{found['median_ms']:8.1f} ms{ratio}")
    versions = {name: importlib.metadata.version(name) for name in ("pythae", "disent")}
    outcome = {"batch": BATCH, "threads": threads, "machine": {**machine(), **versions}}
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(json.dumps(outcome, indent=2, ensure_ascii=False) + "\n")
    print(f"\nwritten to {flags.out}")


def _with_ratios(timed: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Each median over that of the fastest peer, if there is one."""
    peers = [row["median_ms"] for name, row in timed.items() if name in ("pythae", "disent")]
    if peers:
        for row in timed.values():
            row["ratio"] = round(row["median_ms"] / min(peers), 2)
    return timed


if __name__ == "__main__":
    main()
