"""A study: rows of runs, and the keys that say whether a run and its scores are there already."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from unbraid.methods import find
from unbraid.metrics import suite
from unbraid.runs import Config, configure, version_0_1

# Raised when a change of code changes what a run gives: every run is then made anew. A test
# (tests/studies/test_numbers.py) holds today's numbers and asks for it.
NUMBERS = 1
# What the official CascadeVAE chooses its checkpoint by, and what its Table 2 reports.
PAPER_METRICS = (
    suite.MetricSpec("factor-vae", "jeong2019"),
    suite.MetricSpec("classification", "one_to_one"),
)


@dataclass(frozen=True)
class Published:
    """A published row: mean, std and best in percent, over a number of seeds."""

    mean: float
    std: float
    best: float
    seeds: int = 10

    @property
    def most(self) -> float:
        """How many stds from its mean the best of so many numbers can lie.

        √(n − 1) for a std that divides by n; (n − 1)/√n, which is less, for one by n − 1.
        """
        return math.sqrt(self.seeds - 1)

    @property
    def impossible(self) -> bool:
        """Whether these cannot be mean, std and best of the same numbers, whichever std is meant.

        Each may be rounded by half a hundredth.
        """
        return abs(self.best - self.mean) - 0.01 > self.most * (self.std + 0.005)


@dataclass(frozen=True)
class PrimaryScore:
    """The score that a table is about: a metric's under a protocol, and which of its parts."""

    job: suite.MetricSpec
    part: str = ""

    @property
    def title(self) -> str:
        """As it is called wherever scores are printed."""
        return self.job.part_title(self.part) if self.part else self.job.title

    @property
    def name(self) -> str:
        """What it is called among the scores of a checkpoint: the first part has no name there."""
        other = self.part and self.part != self.job.parts[0]
        return " ".join([*self.job, *([self.part] if other else [])])

    @property
    def needs_labels(self) -> bool:
        """Whether whoever chooses by it chooses by labels."""
        return self.job.metric not in suite.WITHOUT_FACTORS

    @property
    def is_share(self) -> bool:
        """Whether it goes from 0 to 1, and up; what needs no labels is a distance from 0."""
        return self.needs_labels

    @property
    def unit(self) -> str:
        """What the numbers of the table are."""
        return "percent" if self.is_share else "the less the better"

    def shown(self, score: float) -> float:
        """The score in that unit."""
        return round((100 if self.is_share else 1) * score, 6)

    def best(self, scores: Iterable[float]) -> float | None:
        """The best of some; None of none."""
        choose = max if self.is_share else min
        return choose(scores, default=None)


@dataclass(frozen=True)
class Scoring:
    """What is scored of a run: the last checkpoint and, if asked, others as it goes.

    The last one is scored on `images` images, 0 for all; `checkpoints` evenly spaced ones, if any,
    on `sample` images by the protocols in `by`. Every run is scored on the same images.
    """

    metrics: tuple[str, ...]
    by: tuple[suite.MetricSpec, ...]
    checkpoints: int
    sample: int
    images: int = 0

    @property
    def along(self) -> dict[str, Any]:
        """What is kept and scored as a run goes, which nothing makes up for once it is trained."""
        marks = {"checkpoints": self.checkpoints, "by": self.by} if self.checkpoints else {}
        return {"sample": self.sample, **marks}


@dataclass(frozen=True)
class Job:
    """One run of a study: everything that fixes its numbers."""

    config: Config
    scoring: Scoring

    def as_table(self) -> dict[str, Any]:
        """The same as plain values, for a worker and for the key."""
        scoring = dataclasses.asdict(self.scoring)
        if not self.scoring.images:
            # So that studies from before there was a choice keep their keys.
            del scoring["images"]
        return {"config": self.config.as_table(), "scoring": scoring}

    @staticmethod
    def of_table(table: dict[str, Any]) -> Job:
        """A job from what `as_table` gave; UserError as for a configuration."""
        config, scoring = version_0_1.current_config(table["config"]), table["scoring"]
        run = {name: config[name] for name in ("data", "seed", "precision")} | config["budget"]
        by = tuple(suite.MetricSpec(*job) for job in scoring["by"])
        found = configure(find(config["method"]), None, config["hyperparameters"], run)
        return Job(
            dataclasses.replace(found, fingerprint=config.get("fingerprint", "")),
            Scoring(**{**scoring, "metrics": tuple(scoring["metrics"]), "by": by}),
        )

    @property
    def _digested(self) -> dict[str, Any]:
        return version_0_1.digested_config(self.config.as_table())

    @property
    def key(self) -> str:
        """The result's: of configuration, data, scoring and the version of code that matters."""
        return _digest({**self.as_table(), "config": self._digested})

    @property
    def name(self) -> str:
        """The run directory's name, with a key of all but what is scored of the last checkpoint.

        So a run that is trained can be given another metric, or more images.
        """
        run = _digest({"config": self._digested, "along": self.scoring.along})
        return f"{self.config.method.name}-seed{self.config.seed}-{run}"


def _digest(table: dict[str, Any]) -> str:
    text = json.dumps({"numbers": NUMBERS, **table}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Row:
    """A row of the table: one method with its hyperparameters, a run per seed."""

    title: str
    jobs: tuple[Job, ...]
    published: Published | None


@dataclass(frozen=True)
class Study:
    """A grid of runs and how the table reads it.

    `primary_score` is what the table is about. A worker that stays silent for
    `hang_timeout_minutes` minutes is ended; a failed run is tried again `retries` times.
    """

    title: str
    source: str
    text: str
    primary_score: PrimaryScore
    rows: tuple[Row, ...]
    retries: int
    hang_timeout_minutes: float

    @property
    def jobs(self) -> list[Job]:
        """Every run once, the first seed of every row first."""
        by_seed = itertools.zip_longest(*[row.jobs for row in self.rows])
        jobs = [job for seed in by_seed for job in seed if job is not None]
        return list({job.key: job for job in jobs}.values())


def populations(jobs: Sequence[Job], members: int) -> list[list[Job]]:
    """The jobs in groups that differ in their seed alone, `members` in each at most.

    The group whose first job comes first is first. What must be `alone` is.
    """
    groups: dict[str, list[list[Job]]] = {}
    for job in jobs:
        config = dataclasses.replace(job.config, seed=0)
        alike = groups.setdefault(dataclasses.replace(job, config=config).key, [[]])
        if len(alike[-1]) == (members if config.method.supports_vmap else 1):
            alike.append([])
        alike[-1].append(job)
    place = {job.key: i for i, job in enumerate(jobs)}
    every = [group for alike in groups.values() for group in alike]
    return sorted(every, key=lambda group: place[group[0].key])
