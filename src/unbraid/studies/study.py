"""A study: methods × hyperparameters × seeds × budget × metrics, as its TOML file says."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import tomllib
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unbraid.data import DATASETS
from unbraid.engine import Config, configure
from unbraid.errors import UserError
from unbraid.methods import Method, find
from unbraid.metrics import METRICS, suite

# Raised when a change of code changes what a run gives: every run is then made anew. A test
# (tests/studies/test_numbers.py) holds today's numbers and asks for it.
NUMBERS = 1
# What the official CascadeVAE chooses its checkpoint by, and what its Table 2 reports.
OF_THE_PAPER = (suite.Job("factor-vae", "jeong2019"), suite.Job("classification", "one_to_one"))

TOP = {
    *("title", "source", "data", "preset", "precision", "seeds", "steps", "batch", "metrics"),
    *("metric", "protocol", "checkpoints", "sample", "retries", "patience", "rows"),
}
IN_A_ROW = {"method", "preset", "hyperparameters", "seeds", "steps", "batch", "published"}


@dataclass(frozen=True)
class Published:
    """A published row: mean, std and best in percent, over a number of seeds."""

    mean: float
    std: float
    best: float
    seeds: int = 10

    @property
    def most(self) -> float:
        """How many stds above its mean the best of so many numbers can lie.

        √(n − 1) for a std that divides by n; (n − 1)/√n, which is less, for one by n − 1.
        """
        return math.sqrt(self.seeds - 1)

    @property
    def impossible(self) -> bool:
        """Whether these cannot be mean, std and best of the same numbers, whichever std is meant.

        Each may be rounded by half a hundredth.
        """
        return self.best - self.mean - 0.01 > self.most * (self.std + 0.005)


@dataclass(frozen=True)
class Scoring:
    """What is scored of a run: the last checkpoint on all images, and, if asked, others as it goes.

    `checkpoints` evenly spaced ones are scored on `sample` images, the same for every run, by the
    protocols in `by`. 0 scores the last one only.
    """

    metrics: tuple[str, ...]
    by: tuple[suite.Job, ...]
    checkpoints: int
    sample: int


@dataclass(frozen=True)
class Job:
    """One run of a study: everything that fixes its numbers."""

    config: Config
    scoring: Scoring

    def as_table(self) -> dict[str, Any]:
        """The same as plain values, for a worker and for the key."""
        return {"config": self.config.as_table(), "scoring": dataclasses.asdict(self.scoring)}

    @staticmethod
    def of_table(table: dict[str, Any]) -> Job:
        """A job from what `as_table` gave; UserError as for a configuration."""
        config, scoring = table["config"], table["scoring"]
        run = {name: config[name] for name in ("data", "seed", "precision")} | config["budget"]
        by = tuple(suite.Job(*job) for job in scoring["by"])
        return Job(
            configure(find(config["method"]), "paper", config["hyperparameters"], run),
            Scoring(tuple(scoring["metrics"]), by, scoring["checkpoints"], scoring["sample"]),
        )

    @property
    def key(self) -> str:
        """Digest of configuration, data, scoring and the version of the code that matters."""
        text = json.dumps({"numbers": NUMBERS, **self.as_table()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """The run directory's name."""
        return f"{self.config.method.name}-seed{self.config.seed}-{self.key}"


@dataclass(frozen=True)
class Row:
    """A row of the table: one method with its hyperparameters, a run per seed."""

    title: str
    jobs: tuple[Job, ...]
    published: Published | None


@dataclass(frozen=True)
class Study:
    """A grid of runs and how the table reads it.

    `headline` is the metric and protocol that the table is about. A worker that stays silent for
    `patience` minutes is ended; a failed run is tried again `retries` times.
    """

    title: str
    source: str
    text: str
    headline: suite.Job
    rows: tuple[Row, ...]
    retries: int
    patience: float

    @property
    def jobs(self) -> list[Job]:
        """Every run once, the first seed of every row first."""
        by_seed = itertools.zip_longest(*[row.jobs for row in self.rows])
        jobs = [job for seed in by_seed for job in seed if job is not None]
        return list({job.key: job for job in jobs}.values())


def read(path: Path) -> Study:
    """The study that a TOML file holds; UserError for whatever is unknown or out of its range."""
    try:
        text = path.read_text()
        table = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no study can be read from it ({error}); give a TOML file") from (
            error
        )
    _only(table, TOP, path, "study")
    headline = suite.Job(table.get("metric", "factor-vae"), table.get("protocol", "jeong2019"))
    metrics = tuple(suite.chosen(",".join(table.get("metrics", suite.USUAL))))
    if (
        headline.metric not in metrics
        or headline.protocol not in METRICS[headline.metric].PROTOCOLS
    ):
        raise UserError(
            f"{path}: metric={headline.metric!r}, protocol={headline.protocol!r}: the table shows"
            f" what is scored; give one of {', '.join(metrics)} and a protocol of it"
        )
    by = tuple(job for job in dict.fromkeys((*OF_THE_PAPER, headline)) if job.metric in metrics)
    scoring = Scoring(metrics, by, table.get("checkpoints", 0), table.get("sample", 10_000))
    _at_least(scoring.checkpoints, 0, "checkpoints", path)
    _at_least(scoring.sample, 100, "sample", path)
    rows = [row for given in table.get("rows", []) for row in _rows(given, table, scoring, path)]
    if not rows:
        raise UserError(
            f"{path}: it has no rows, so nothing would run; give [[rows]] with a method"
        )
    retries, patience = table.get("retries", 1), table.get("patience", 30)
    _at_least(retries, 0, "retries", path)
    _at_least(patience, 0, "patience", path)
    return Study(
        table.get("title", path.stem),
        table.get("source", ""),
        text,
        headline,
        tuple(rows),
        retries,
        float(patience),
    )


def _rows(given: dict[str, Any], table: dict[str, Any], scoring: Scoring, path: Path) -> list[Row]:
    """The rows of one [[rows]]: a hyperparameter with a list of values makes one for each."""
    _only(given, IN_A_ROW, path, "row")
    if "method" not in given:
        raise UserError(f"{path}: a row without a method; give method = one of the methods' names")
    method = find(given["method"])
    named = {**table, **given}
    data = named.get("data", "dsprites")
    if data not in DATASETS:
        raise UserError(f"{path}: data={data!r}: unknown; give one of {', '.join(DATASETS)}")
    run = {k: named[k] for k in ("data", "steps", "batch", "precision") if k in named}
    published = _published(given["published"], path) if "published" in given else None
    values = {
        name: [
            _of_its_kind(method, name, v, path)
            for v in (value if isinstance(value, list) else [value])
        ]
        for name, value in given.get("hyperparameters", {}).items()
    }
    rows = []
    for combination in itertools.product(*values.values()):
        chosen = dict(zip(values, combination, strict=True))
        base = configure(method, named.get("preset", "paper"), chosen, run)
        configs = [dataclasses.replace(base, seed=s) for s in _seeds(named.get("seeds", 10), path)]
        jobs = tuple(Job(config, scoring) for config in configs)
        rows.append(Row(_title(base, chosen), jobs, published))
    return rows


def _title(config: Config, chosen: dict[str, Any]) -> str:
    told = ", ".join(f"{k}={v}" for k, v in chosen.items() if k != "continuous")
    return f"{config.method.title}{f' ({told})' if told else ''}, m={config.method.continuous}"


def _seeds(given: Any, path: Path) -> list[int]:
    seeds = list(range(given)) if isinstance(given, int) else list(given)
    if not seeds or len(set(seeds)) < len(seeds) or not all(type(s) is int for s in seeds):
        raise UserError(
            f"{path}: seeds={given}: a row has seeds, each once; give a number or a list"
        )
    return seeds


def _only(table: dict[str, Any], known: set[str], path: Path, what: str) -> None:
    for key in table:
        if key not in known:
            raise UserError(
                f"{path}: {key}: no key of a {what}; give one of {', '.join(sorted(known))}"
            )


def _at_least(value: Any, least: int, name: str, path: Path) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
        raise UserError(f"{path}: {name}={value!r}: too few; give a number, {least} or more")


def _published(given: dict[str, Any], path: Path) -> Published:
    try:
        seeds = int(given.get("seeds", 10))
        found = {name: float(given[name]) for name in ("mean", "std", "best")}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: published={given}: mean, std and best in percent; give these three numbers"
        ) from error
    return Published(**found, seeds=seeds)


def _of_its_kind(method: type[Method], name: str, value: Any, path: Path) -> Any:
    """A hyperparameter's value as the method has it: 4 is the same run as 4.0."""
    kind = typing.get_type_hints(method).get(name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is not None and type(value) is not kind:
        raise UserError(f"{path}: {name}={value!r}: give a value of type {kind.__name__}")
    return value
