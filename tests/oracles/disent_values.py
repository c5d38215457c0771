"""Compute the scores of disent 0.8.0 on six kinds of codes and write disent_values.json.

The tests do not run this: disent needs torchvision, which pins another torch. Install it in a
separate environment; empty modules replace the packages that its metrics never call:

    python -m venv other && other/bin/pip install --no-deps disent==0.8.0
    other/bin/pip install numpy scipy scikit-learn tqdm h5py pillow requests torch
    PYTHONPATH=. other/bin/python -W ignore -m tests.oracles.disent_values

`sample` needs only numpy: the tests generate the same items and codes from the same seeds.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (3, 5, 8, 16, 16)
KINDS = ("perfect", "noisy", "rotated", "duplicated", "noise", "mixed")
TRAIN, TEST = 5_000, 2_500
VALUES = Path(__file__).with_name("disent_values.json")


def grid() -> np.ndarray:
    """Factors of every item; the last one varies fastest."""
    values = np.meshgrid(*[np.arange(n) for n in SIZES], indexing="ij")
    return np.stack([v.reshape(-1) for v in values], axis=1)


def encoded(kind: str) -> np.ndarray:
    """Code of every item; every dimension has unit variance."""
    rng = np.random.default_rng(KINDS.index(kind))
    factors = grid()
    z = (factors - factors.mean(axis=0)) / factors.std(axis=0)
    noise = rng.normal(size=z.shape)
    if kind == "noisy":
        z = z + 0.3 * noise
    elif kind == "rotated":
        z[:, 3], z[:, 4] = z[:, 3] + z[:, 4], z[:, 3] - z[:, 4]
    elif kind == "duplicated":
        z = np.concatenate([z, z[:, 2:] + 0.1 * noise[:, 2:]], axis=1)
    elif kind == "noise":
        z = noise
    elif kind == "mixed":
        z = z @ rng.normal(size=(5, 5)) + 0.2 * noise
    return z / z.std(axis=0)


def sample(kind: str) -> dict[str, np.ndarray]:
    """Codes and factors of training and of test items."""
    order = np.random.default_rng(100 + KINDS.index(kind)).permutation(len(grid()))
    train, test = order[:TRAIN], order[TRAIN : TRAIN + TEST]
    z, y = encoded(kind), grid()
    return {"z_train": z[train], "y_train": y[train], "z_test": z[test], "y_test": y[test]}


def factor_vae(kind: str) -> dict[str, Any]:
    """disent's FactorVAE score over the grid, 2,000 votes and 1,000 held out, 64 images each."""
    from disent.dataset import DisentDataset  # pyright: ignore[reportMissingImports]
    from disent.dataset.data import GroundTruthData  # pyright: ignore[reportMissingImports]
    from disent.metrics import metric_factor_vae  # pyright: ignore[reportMissingImports]

    z = encoded(kind)

    class Grid(GroundTruthData):
        factor_names = ("a", "b", "c", "d", "e")
        factor_sizes = SIZES

        @property
        def img_shape(self) -> tuple[int, int, int]:
            return (1, 1, z.shape[1])

        def _get_observation(self, idx: int) -> np.ndarray:
            return z[idx]

    np.random.seed(0)
    return metric_factor_vae(
        DisentDataset(Grid()), lambda x: np.asarray(x), num_train=2_000, num_eval=1_000
    )


class EmptyModuleFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Provide torchvision and lightning as empty modules; the metrics use neither."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname.split(".")[0] in ("torchvision", "lightning"):
            return importlib.util.spec_from_loader(fullname, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__dict__["__getattr__"] = lambda name: type(name, (), {})
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def main() -> None:
    sys.meta_path.append(EmptyModuleFinder())
    from disent.metrics._dci import _compute_dci  # pyright: ignore[reportMissingImports]
    from disent.metrics._mig import _compute_mig  # pyright: ignore[reportMissingImports]
    from disent.metrics._sap import _compute_sap  # pyright: ignore[reportMissingImports]

    results: dict[str, Any] = {}
    for kind in KINDS:
        s = {name: array.T for name, array in sample(kind).items()}
        both = s["z_train"], s["y_train"], s["z_test"], s["y_test"]
        row: dict[str, Any] = {"seconds": {}}
        for name, metric in (
            ("mig", lambda both=both: _compute_mig(*both[:2])),
            ("sap", lambda both=both: _compute_sap(*both, False)),
            ("sap_continuous", lambda both=both: _compute_sap(*both, True)),
            ("factor_vae", lambda kind=kind: factor_vae(kind)),
            ("dci", lambda both=both: _compute_dci(*both)),
        ):
            start = time.perf_counter()
            values = {key: float(value) for key, value in metric().items()}
            row["seconds"][name] = round(time.perf_counter() - start, 2)
            row[name] = values
        results[kind] = row
        print(kind, row, flush=True)
        VALUES.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
