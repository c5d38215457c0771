"""Studies: rows of runs, and the keys that identify a run and its scores."""

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
from unbraid.runs import Config, configure, paper_budget, version_0_1

# Increase it when a change of the code changes the numbers of a run: studies then repeat every run.
# tests/numbers has the current numbers; its tests fail when they change.
RESULTS_VERSION = 1
# The score by which the official CascadeVAE selects its checkpoint, and the score of its Table 2.
PAPER_METRICS = (
    suite.MetricSpec("factor-vae", "jeong2019"),
    suite.MetricSpec("classification", "one_to_one"),
)


@dataclass(frozen=True)
class Published:
    """Published figures of a row, in the unit of the table.

    Parameters
    ----------
    mean, std : float
        Mean and standard deviation over seeds.
    best : float
        Best score of all seeds.
    seeds : int, default 10
        Number of seeds.

    Examples
    --------
    Nine zeros and a one have the mean 0.1 and the std 0.3; the best is exactly √9 stds above:

    >>> Published(0.1, 0.3, 1.0).is_impossible, Published(0.1, 0.3, 1.1).is_impossible
    (False, True)
    """

    mean: float
    std: float
    best: float
    seeds: int = 10

    @property
    def max_deviation_of_best(self) -> float:
        """Largest possible distance of the best score from the mean, in stds.

        It is √(n − 1) for a std that divides by n, and (n − 1)/√n, which is less, for one that
        divides by n − 1.
        """
        return math.sqrt(self.seeds - 1)

    @property
    def is_impossible(self) -> bool:
        """Whether no scores have this mean, std and best, under either definition of the std.

        Each figure is assumed to be rounded to two decimals.
        """
        deviation = abs(self.best - self.mean) - 0.01
        return deviation > self.max_deviation_of_best * (self.std + 0.005)


@dataclass(frozen=True)
class PrimaryScore:
    """The score that a table reports.

    Parameters
    ----------
    spec : MetricSpec
        Metric and protocol.
    part : str, default ""
        Name of one of the metric's scores, if it has several (`dci` has three).
    """

    spec: suite.MetricSpec
    part: str = ""

    @property
    def title(self) -> str:
        """Title of the score in tables."""
        return self.spec.part_title(self.part) if self.part else self.spec.title

    @property
    def name(self) -> str:
        """Key of the score among the scores of a checkpoint; the first part adds no suffix."""
        has_suffix = self.part and self.part != self.spec.parts[0]
        return " ".join([*self.spec, *([self.part] if has_suffix else [])])

    @property
    def needs_labels(self) -> bool:
        """Whether the score, and therefore any selection by it, depends on labels."""
        return suite.min_factors(self.spec.metric) > 0

    @property
    def is_percent(self) -> bool:
        """Whether the score is between 0 and 1 and higher is better.

        Scores that need no labels are distances from 0.
        """
        return self.needs_labels

    @property
    def unit(self) -> str:
        """Unit of the table's numbers."""
        return "percent" if self.is_percent else "lower is better"

    def in_unit(self, score: float) -> float:
        """Return a score in the unit of the table."""
        return round((100 if self.is_percent else 1) * score, 6)

    def best(self, scores: Iterable[float]) -> float | None:
        """Return the best score, or None if there are none."""
        best = max if self.is_percent else min
        return best(scores, default=None)


@dataclass(frozen=True)
class Scoring:
    """Checkpoints of a run that are scored, and the images for it, which are those of all runs.

    Parameters
    ----------
    metrics : tuple of str
        Metrics of the last checkpoint, under all their protocols.
    checkpoint_metrics : tuple of MetricSpec
        Metrics and protocols of the checkpoints during training.
    checkpoints : int
        Number of evenly spaced checkpoints scored during training; 0 for none.
    sample : int
        Number of images on which these are scored.
    images : int, default 0
        Number of images on which the last checkpoint is scored; 0 for all.
    """

    metrics: tuple[str, ...]
    checkpoint_metrics: tuple[suite.MetricSpec, ...]
    checkpoints: int
    sample: int
    images: int = 0

    @property
    def during_training(self) -> dict[str, Any]:
        """Scoring during training, which cannot be added once a run is trained."""
        if not self.checkpoints:
            return {"sample": self.sample}
        metrics = self.checkpoint_metrics
        return {"sample": self.sample, "checkpoints": self.checkpoints, "by": metrics}


@dataclass(frozen=True)
class Job:
    """One run of a study: everything that determines its numbers."""

    config: Config
    scoring: Scoring

    def as_table(self) -> dict[str, Any]:
        """Return the job as plain values, for a worker process."""
        scoring = dataclasses.asdict(self.scoring)
        # Digests are computed from the names of version 0.1.
        scoring["by"] = scoring.pop("checkpoint_metrics")
        if not self.scoring.images:
            # Studies that were run before this option existed keep their keys.
            del scoring["images"]
        return {"config": self.config.as_table(), "scoring": scoring}

    @staticmethod
    def from_table(table: dict[str, Any]) -> Job:
        """Convert from the values that `as_table` returns.

        Raises
        ------
        UserError
            If the configuration is invalid.
        """
        config, scoring = version_0_1.current_config(table["config"]), dict(table["scoring"])
        run = {name: config[name] for name in ("data", "seed", "precision")} | config["budget"]
        scoring["metrics"] = tuple(scoring["metrics"])
        specs = tuple(suite.MetricSpec(*spec) for spec in scoring.pop("by"))
        configured = configure(find(config["method"]), None, config["hyperparameters"], run)
        return Job(
            dataclasses.replace(configured, fingerprint=config.get("fingerprint", "")),
            Scoring(**scoring, checkpoint_metrics=specs),
        )

    @property
    def _digested_config(self) -> dict[str, Any]:
        return version_0_1.digested_config(self.config.as_table())

    @property
    def key(self) -> str:
        """Key of the result: a digest of configuration, data, scoring and `RESULTS_VERSION`."""
        return _digest({**self.as_table(), "config": self._digested_config})

    @property
    def name(self) -> str:
        """Name of the run directory, with a digest of all but the scoring of the last checkpoint.

        So a trained run can be scored by another metric, or on more images, without new training.
        """
        run = _digest({"config": self._digested_config, "along": self.scoring.during_training})
        return f"{self.config.method.name}-seed{self.config.seed}-{run}"


def _digest(table: dict[str, Any]) -> str:
    text = json.dumps({"numbers": RESULTS_VERSION, **table}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Row:
    """A row of the table: one method with its hyperparameters, one job per seed.

    Parameters
    ----------
    title : str
        Title of the row.
    jobs : tuple of Job
        One job per seed.
    published : Published or None
        Published figures.
    preset : str
        Name of the method's preset.
    number : int, default 1
        Position among the rows of the study, from 1.
    """

    title: str
    jobs: tuple[Job, ...]
    published: Published | None
    preset: str
    number: int = 1

    @property
    def is_quick(self) -> bool:
        """Whether the budget is below the paper's, so that the published figures do not apply."""
        config = self.jobs[0].config
        return paper_budget.is_quick(type(config.method), self.preset, config.budget.steps)


@dataclass(frozen=True)
class Study:
    """A grid of runs and the table made from it.

    Parameters
    ----------
    title, source : str
        Title of the study; source of the published figures, empty if there are none.
    text : str
        Content of the study file.
    primary_score : PrimaryScore
        The score that the table reports.
    rows : tuple of Row
        Rows of the table.
    retries : int
        How many times a failed run is retried.
    hang_timeout_minutes : float
        Minutes without output after which a worker is killed.
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
        """All jobs without duplicates, ordered by seed, then by row."""
        by_seed = itertools.zip_longest(*[row.jobs for row in self.rows])
        jobs = [job for jobs_of_seed in by_seed for job in jobs_of_seed if job is not None]
        return list({job.key: job for job in jobs}.values())


def populations(jobs: Sequence[Job], members: int) -> list[list[Job]]:
    """Group jobs that differ only in their seed, for training as one population.

    Parameters
    ----------
    jobs : sequence of Job
        Jobs of a study.
    members : int
        Maximum number of jobs in a population.

    Returns
    -------
    list of list of Job
        Populations in order of their first jobs. Jobs of a method without `supports_vmap` are
        populations of one.
    """
    groups: dict[str, list[list[Job]]] = {}
    for job in jobs:
        config = dataclasses.replace(job.config, seed=0)
        group = groups.setdefault(dataclasses.replace(job, config=config).key, [[]])
        if len(group[-1]) == (members if config.method.supports_vmap else 1):
            group.append([])
        group[-1].append(job)
    position = {job.key: i for i, job in enumerate(jobs)}
    all_populations = [population for group in groups.values() for population in group]
    return sorted(all_populations, key=lambda population: position[population[0].key])
