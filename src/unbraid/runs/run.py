"""A run directory: config.toml, log.jsonl, checkpoint.safetensors and what is made from them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from unbraid.data.images import ImageTable
from unbraid.runs import checkpoint, version_0_1
from unbraid.errors import UserError
from unbraid.files import written_atomically
from unbraid.methods import Method, find


@dataclass(frozen=True)
class Budget:
    """How long a run trains: steps, and images a step."""

    steps: int
    batch_size: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f"steps={self.steps}: a run has steps; give --steps 1 or more")
        if self.batch_size < 1:
            raise UserError(f"batch_size={self.batch_size}: a step sees images; give --batch-size 1 or more")


@dataclass(frozen=True)
class Config:
    """Everything that fixes a run's numbers, but for device and thread count.

    `fingerprint` is that of the data, which `of` adds; empty where the name of the data says it.
    """

    method: Method
    data: str
    budget: Budget
    seed: int
    precision: str
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed={self.seed}: a seed is 0 to 4294967295; give --seed in there")
        least = self.method.min_batch
        if self.budget.batch_size < least:
            raise UserError(
                f"batch_size={self.budget.batch_size}: {self.method.title} compares the images of a batch;"
                f" give --batch-size {least} or more"
            )
        most = self.method.max_batch
        if most is not None and self.budget.batch_size > most:
            raise UserError(
                f"batch_size={self.budget.batch_size}: {self.method.title} weighs a batch against the"
                f" dataset's {most} images; give --batch-size {most} or less, or the right"
                " --dataset-size"
            )

    def as_table(self) -> dict[str, Any]:
        """The configuration as it stands in config.toml."""
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

    def identity(self) -> str:
        """A digest of what must not change between a checkpoint and its continuation.

        The number of steps is not in it: a longer budget continues the same run. Nor is the path of
        one's own data, which its fingerprint tells wherever it lies.
        """
        table = version_0_1.digested_config(self.as_table())
        del table["budget"]["steps"]
        if self.fingerprint:
            table["data"] = self.data.partition(":")[0]
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()

    def of(self, table: ImageTable) -> Config:
        """This configuration of this data; UserError if the run began with other images."""
        if self.fingerprint and self.fingerprint != table.fingerprint:
            raise UserError(
                f"{table.name}: its images or labels are not those that the run began with"
                f" (fingerprint {self.fingerprint[:12]}, now {table.fingerprint[:12] or 'none'});"
                " restore them, or train anew in another --out"
            )
        return dataclasses.replace(self, fingerprint=table.fingerprint)


@dataclass(frozen=True)
class Run:
    """A run directory and the names in it."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.toml"

    @property
    def checkpoint_file(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def log_file(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def provenance_file(self) -> Path:
        return self.path / "provenance.json"

    @property
    def scores_file(self) -> Path:
        return self.path / "scores.json"

    @property
    def survey_file(self) -> Path:
        return self.path / "survey.json"

    @property
    def written_by_training(self) -> list[Path]:
        """The files that training replaces whole."""
        checkpoints = [self.checkpoint_file, checkpoint.previous(self.checkpoint_file)]
        files = [self.config_file, self.log_file, self.provenance_file, self.survey_file]
        return [*files, *checkpoints]

    def write_config(self, config: Config) -> None:
        """Write config.toml, atomically."""
        with written_atomically(self.config_file) as file:
            file.write(tomli_w.dumps(config.as_table()).encode())

    def read_config(self) -> Config:
        """The run's configuration; UserError if there is none or it is not one of ours."""
        try:
            table = tomllib.loads(self.config_file.read_text())
        except FileNotFoundError as error:
            raise UserError(
                f"{self.path}: it holds no config.toml, so it is no run; give a run directory"
            ) from error
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.config_file}: cannot be read ({error}); restore it from a copy"
            ) from error
        try:
            table = version_0_1.current_config(table)
            kind = find(table["method"])
            return Config(
                kind(**table["hyperparameters"]),
                table["data"],
                Budget(**table["budget"]),
                table["seed"],
                table["precision"],
                table.get("fingerprint", ""),
            )
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{self.config_file}: not the configuration of a run ({error}); restore it from"
                " a copy"
            ) from error

    def read_log(self) -> list[dict[str, Any]]:
        """The log's records in order of step, up to the first that a kill cut short."""
        records = []
        if self.log_file.exists():
            for line in self.log_file.read_text().splitlines():
                try:
                    records.append(json.loads(line))
                except ValueError:
                    break
        return records
