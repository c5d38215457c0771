"""Several metrics under all their protocols, on arrays: one row a score."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from unbraid.codes import Codes
from unbraid.errors import UserError
from unbraid.metrics import METRICS, uncertainty
from unbraid.metrics.protocols import fields

Row = dict[str, Any]
# What an evaluation scores if nothing is asked for: seconds, whatever the dataset.
DEFAULT_METRICS = ("factor-vae", "classification")
# What tells factors from each other is 1 by construction where there is only one.
NEEDS_SEVERAL_FACTORS = ("factor-vae", "beta-vae", "dci", "modularity", "infomec")
WITHOUT_FACTORS = ("unsupervised",)


class MetricSpec(NamedTuple):
    """One metric under one protocol."""

    metric: str
    protocol: str

    @property
    def title(self) -> str:
        """The metric as tables call it."""
        return METRICS[self.metric].TITLE.removeprefix("the ")

    @property
    def parts(self) -> tuple[str, ...]:
        """What its scores are called where it has several: dci's are three."""
        return getattr(METRICS[self.metric], "NAMES", ())

    def part_title(self, part: str) -> str:
        """One of them as tables call it."""
        return f"{self.title}: {part.replace('_', ' ')}"


def chosen(names: str | None) -> list[str]:
    """The metrics of `all`, or of names with commas between; UserError for an unknown one."""
    known = [name for name in METRICS if name != "udr"]
    if names is None:
        return list(DEFAULT_METRICS)
    if names == "all":
        return known
    given = [name.strip().replace("_", "-") for name in names.split(",")]
    for name in given:
        if name == "udr":
            raise UserError(
                "metric 'udr': it compares the members of a population, not one run; call"
                " unbraid.metrics.udr.score with their codes"
            )
        if name not in known:
            raise UserError(f"metric {name!r}: unknown; give all or some of {', '.join(known)}")
    return list(dict.fromkeys(given))


def jobs(names: list[str], *, discrete: bool) -> list[MetricSpec]:
    """Every protocol of these metrics; classification only if the code has a discrete part."""
    return [
        MetricSpec(name, protocol)
        for name in names
        for protocol in METRICS[name].PROTOCOLS
        if discrete or name != "classification"
    ]


def unsupported_reason(
    metric: str, factors: Shaped[np.ndarray, "..."], label: str | None, data: str
) -> str | None:
    """Why a metric cannot be computed with these factors, as one line; None if it can.

    `label` is the factor that a discrete code is scored against.
    """
    if metric in WITHOUT_FACTORS:
        return None
    if not factors.shape[1]:
        return f"{data}: it has no labels, and this needs them; give --metrics unsupervised"
    if metric == "classification" and label is None:
        return f"{data}: no factor is named as the one to score d against; give an array label"
    varying = int((factors.min(axis=0) != factors.max(axis=0)).sum())
    if metric in NEEDS_SEVERAL_FACTORS and varying < 2:
        return f"{data}: {varying} factor varies, and this tells factors from each other; give two"
    return None


def rows(
    job: MetricSpec,
    codes: Codes,
    factors: Shaped[np.ndarray, "..."],
    *,
    seed: int = 0,
    repeats: int = 1,
) -> list[Row]:
    """A job's scores, each with its protocol's name and, if it is sampled, its standard error.

    With `repeats` above 1 other items and votes are drawn each time: the row has their mean, and
    `low` and `high`, the 95 % interval of that mean. UserError as the metric's own.
    """
    metric = METRICS[job.metric]
    found = []
    for repeat in range(repeats):
        rng = np.random.default_rng(_key(job, seed, repeat))
        found.append(metric.score(codes, factors, rng, job.protocol))
        if "chance" in found[0] and "standard_error" not in found[0]:
            break  # Nothing was drawn: every repeat is the same.
    names = [n.removesuffix("_standard_error") for n in found[0] if n.endswith("_standard_error")]
    if "score" in found[0]:
        return [_row(job.title, job, found, "score", "standard_error")]
    return [
        _row(job.part_title(name), job, found, name, f"{name}_standard_error") for name in names
    ]


def known(row: Row) -> bool:
    """Whether a row is of a metric and a protocol that there are."""
    return row["name"] in METRICS and row["protocol"] in METRICS[row["name"]].PROTOCOLS


def place(row: Row) -> tuple[int, int]:
    """Where a row stands in a table: in the lists' order, whichever was scored first."""
    number = list(METRICS[row["name"]].PROTOCOLS).index(row["protocol"])
    return list(METRICS).index(row["name"]), number


def catalogue() -> str:
    """Every metric, and its protocols with their fields, as the command prints them."""
    lines = []
    for name, metric in METRICS.items():
        lines.append(f"{name}: {(metric.__doc__ or '').splitlines()[0]}")
        protocols = metric.PROTOCOLS.items()
        lines += [f"    {p:24}{fields(protocol)}".rstrip() for p, protocol in protocols]
    return "\n".join(lines)


def _key(job: MetricSpec, seed: int, repeat: int) -> list[int]:
    """What fixes a score's draws: they depend on no other metric, protocol or repeat."""
    number = list(METRICS[job.metric].PROTOCOLS).index(job.protocol)
    if job.metric == "factor-vae" and repeat == 0:
        return [seed, number]
    return [seed, number, repeat, *job.metric.encode()]


def _row(title: str, job: MetricSpec, found: list[dict[str, float]], name: str, error: str) -> Row:
    scores = [values[name] for values in found]
    row: Row = {"metric": title, "name": job.metric, "protocol": job.protocol, "score": scores[0]}
    if error in found[0]:
        row["standard_error"] = float(np.mean([values[error] for values in found]))
    if len(scores) > 1:
        row["score"], row["low"], row["high"] = uncertainty.interval(scores)
        row["repeats"] = len(scores)
    beside = ("chance", "dimensions", "items")
    return row | {key: found[0][key] for key in beside if key in found[0]}
