"""Configuration of a run: method, data, budget, seed and precision."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from unbraid.data.images import ImageTable
from unbraid.errors import ArgumentError, UserError
from unbraid.methods import Method, find
from unbraid.runs import version_0_1


@dataclass(frozen=True)
class Budget:
    """Length of training.

    Parameters
    ----------
    steps : int
        Number of optimiser steps, at least 1.
    batch_size : int
        Number of images per batch, at least 1.

    Raises
    ------
    ArgumentError
        If a value is less than 1.

    Examples
    --------
    >>> Budget(steps=300_000, batch_size=64)
    Budget(steps=300000, batch_size=64)
    """

    steps: int
    batch_size: int

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            value = getattr(self, name)
            if value < 1:
                raise ArgumentError(name, value, "must be at least 1", f"set `{name}` to 1 or more")


@dataclass(frozen=True)
class Config:
    """Everything that determines a run's numbers, except device and number of threads.

    Parameters
    ----------
    method : Method
        Method with its hyperparameters.
    data : str
        Name of the dataset, as for `unbraid.load`.
    budget : Budget
        Number of steps and batch size.
    seed : int
        Seed of weights, batches and noise, 0 to 2³² − 1.
    precision : str
        Arithmetic of the networks' layers, "fp32" or "bf16".
    fingerprint : str, optional
        Checksum of the images and labels, set by `with_fingerprint_of`. Empty (the default) for
        datasets that are identified by their name.

    Raises
    ------
    ArgumentError
        If the seed or the batch size is out of the range that the method supports.

    Examples
    --------
    >>> from unbraid.methods import find
    >>> config = Config(find("beta-vae")(beta=4.0), "dsprites", Budget(1000, 64), 0, "fp32")
    >>> config.as_table()["hyperparameters"]["beta"]
    4.0
    """

    method: Method
    data: str
    budget: Budget
    seed: int
    precision: str
    fingerprint: str = ""

    def __post_init__(self) -> None:
        batch_size, title = self.budget.batch_size, self.method.title
        if not 0 <= self.seed < 2**32:
            raise ArgumentError(
                "seed",
                self.seed,
                f"must be 0 to {2**32 - 1}",
                "set `seed` to a value in this range",
            )
        smallest = self.method.min_batch
        if batch_size < smallest:
            raise ArgumentError(
                "batch_size",
                batch_size,
                f"{title} compares the images of a batch and needs at least {smallest}",
                f"set `batch_size` to {smallest} or more",
            )
        largest = self.method.max_batch
        if largest is not None and batch_size > largest:
            raise ArgumentError(
                "batch_size",
                batch_size,
                f"{title} weights a batch against the dataset's {largest} images",
                f"set `batch_size` to {largest} or less, or correct `dataset_size`",
            )

    def as_table(self) -> dict[str, Any]:
        """Return the configuration as nested dictionaries of plain values.

        Returns
        -------
        dict
            The contents of config.toml.
        """
        fingerprint = {"fingerprint": self.fingerprint} if self.fingerprint else {}
        return {
            "method": self.method.name,
            "data": self.data,
            **fingerprint,
            "seed": self.seed,
            "precision": self.precision,
            "budget": dataclasses.asdict(self.budget),
            "hyperparameters": dataclasses.asdict(self.method),
        }

    @staticmethod
    def from_table(table: dict[str, Any]) -> Config:
        """Return the configuration that `as_table` describes.

        Parameters
        ----------
        table : dict
            Contents of a config.toml, with the names of any version.

        Returns
        -------
        Config
            The configuration, with current names.

        Raises
        ------
        KeyError or TypeError
            If an entry is missing, unknown or of another type.
        UserError
            If the method is unknown or a value is out of range.
        """
        method = find(table["method"])
        table = version_0_1.current_config(table)
        fingerprint = table.get("fingerprint", "")
        if not isinstance(table["data"], str) or not isinstance(fingerprint, str):
            raise TypeError("data and fingerprint must be strings")
        return Config(
            method(**table["hyperparameters"]),
            table["data"],
            Budget(**table["budget"]),
            table["seed"],
            table["precision"],
            fingerprint,
        )

    def identity(self) -> str:
        """Compute a digest of everything that must be equal for a run to be resumed.

        The number of steps is left out, so that a run can be resumed with a larger budget; so is
        the path of custom data, which the fingerprint identifies wherever it is stored.

        Returns
        -------
        str
            SHA-256, as 64 hexadecimal digits.
        """
        table = version_0_1.digested_config(self.as_table())
        del table["budget"]["steps"]
        if self.fingerprint:
            table["data"] = self.data.partition(":")[0]
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()

    def with_fingerprint_of(self, table: ImageTable) -> Config:
        """Return this configuration with the fingerprint of the data.

        Parameters
        ----------
        table : ImageTable
            The dataset that `data` names.

        Returns
        -------
        Config
            A copy with the fingerprint of `table`.

        Raises
        ------
        UserError
            If the configuration has the fingerprint of other images or labels.
        """
        if self.fingerprint and self.fingerprint != table.fingerprint:
            raise UserError(
                f"{table.name}: the images or labels differ from those that the run was trained on"
                f" (fingerprint {self.fingerprint[:12]}, now {table.fingerprint[:12] or 'none'});"
                " restore them, or set `out` to another folder to train a new run"
            )
        return dataclasses.replace(self, fingerprint=table.fingerprint)
