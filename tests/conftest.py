"""Fixtures that tests share: a temporary cache, the dataset, a browser and tiny runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from unbraid.data import load
from unbraid.data.images import ImageTable
from unbraid.engine import train
from unbraid.methods import find
from unbraid.report import traversal
from unbraid.runs import Budget, Config, Run


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A temporary cache folder, separate from the user's."""
    path = tmp_path_factory.mktemp("cache")
    os.environ["UNBRAID_CACHE"] = str(path)
    yield path
    del os.environ["UNBRAID_CACHE"]


@pytest.fixture(scope="session")
def table(cache: Path) -> ImageTable:
    """All of dSprites."""
    return load("dsprites")


@pytest.fixture(scope="session")
def frames() -> dict[str, np.ndarray]:
    """Frames of the official animation: `frames` (320, 64, 64) and `factors` (320, 5)."""
    with np.load(Path(__file__).parent / "oracles" / "dsprites_frames.npz") as archive:
        return {key: archive[key] for key in ("frames", "factors")}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread, so that bits and times do not depend on the number of cores."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session", autouse=True)
def few_images() -> Iterator[None]:
    """Sort the rows of figures by the KL of 1,000 images: 10,000 take a second for each figure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traversal, "KL_IMAGES", 1_000)
        yield


BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
]
CHROMIUM_FLAGS += ["--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    if BROWSER is None:
        pytest.skip("Chromium is not installed; install it to test pages in a browser")
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with driver.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


# Hyperparameters of a CascadeVAE that goes through all stages within 12 steps.
TINY_HYPERPARAMETERS = {
    "latent_dim": 3,
    "stage_steps": 3,
    "warmup_stages": 2,
    "learning_rate": 1e-3,
    "restart_adam": True,
    "l2": 1e-4,
}


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., Config]:
    """A configuration of CascadeVAE that trains in seconds."""

    def make(steps: int = 12, seed: int = 0, precision: str = "fp32", **more: Any) -> Config:
        method = find("cascade-vae")(**{**TINY_HYPERPARAMETERS, **more})
        return Config(method, "dsprites", Budget(steps, 4), seed, precision)

    return make


@pytest.fixture(scope="session")
def tiny_run(
    tiny_config: Callable[..., Config],
    table: ImageTable,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """A finished run."""
    return train(tiny_config(), table, tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def tiny_runs(
    tiny_run: Run, table: ImageTable, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Run]:
    """Finished runs of methods with different kinds of codes."""
    runs = {"cascade-vae": tiny_run}
    for name in ("vae", "joint-vae", "qlae"):
        config = Config(find(name)(latent_dim=4), "dsprites", Budget(3, 4), 0, "fp32")
        runs[name] = train(config, table, tmp_path_factory.mktemp("runs") / name)
    return runs


@pytest.fixture
def grid() -> np.ndarray:
    """Factors of every item of a small grid of 3·4·5 values, 40 items each."""
    values = np.stack(np.meshgrid(range(3), range(4), range(5), indexing="ij"), axis=-1)
    return np.repeat(values.reshape(-1, 3), 40, axis=0).astype(np.int64)
