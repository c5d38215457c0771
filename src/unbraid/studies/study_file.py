"""A study's TOML file: methods × hyperparameters × seeds × budget × metrics."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import tomllib
import typing
from pathlib import Path
from typing import Any

from unbraid.data import canonical, load
from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.evaluation.scores import LEAST
from unbraid.methods import Method, find
from unbraid.metrics import METRICS, suite
from unbraid.runs import Config, configure, version_0_1
from unbraid.studies.study import PAPER_METRICS, Job, PrimaryScore, Published, Row, Scoring, Study

TOP = {
    *("title", "source", "data", "preset", "precision", "seeds", "steps", "batch_size", "metrics"),
    *(
        "metric",
        "protocol",
        "score",
        "checkpoints",
        "sample",
        "images",
        "retries",
        "hang_timeout_minutes",
        "rows",
    ),
}
# What is scored of a run, unless the file says otherwise; 0 images are all.
COUNTS = {"checkpoints": 0, "sample": 10_000, "images": 0}
IN_A_ROW = {
    "title",
    "method",
    "preset",
    "hyperparameters",
    "seeds",
    "steps",
    "batch_size",
    "published",
}


def read(path: Path) -> Study:
    """The study that a TOML file holds; UserError for whatever is unknown or out of its range."""
    try:
        text = path.read_text()
        table = _current(tomllib.loads(text))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no study can be read from it ({error}); give a TOML file") from (
            error
        )
    try:
        return _study(path, text, table)
    except (TypeError, AttributeError, KeyError) as error:
        why = str(error).splitlines()[0]
        raise UserError(
            f"{path}: a value is of the wrong kind ({why}); docs/studies.md has what each key takes"
        ) from error


def _current(table: dict[str, Any]) -> dict[str, Any]:
    """Return a study's table with today's keys, whichever version it was written for."""
    table = version_0_1.renamed(table, version_0_1.STUDY)
    rows = table.get("rows", [])
    if isinstance(rows, list):
        table["rows"] = [_current_row(row) if isinstance(row, dict) else row for row in rows]
    return table


def _current_row(row: dict[str, Any]) -> dict[str, Any]:
    row = version_0_1.renamed(row, version_0_1.STUDY)
    given = row.get("hyperparameters")
    if isinstance(given, dict):
        row["hyperparameters"] = version_0_1.current_hyperparameters(row.get("method", ""), given)
    return row


def _study(path: Path, text: str, table: dict[str, Any]) -> Study:
    _only(table, TOP, path, "study")
    job = suite.MetricSpec(table.get("metric", "factor-vae"), table.get("protocol", "jeong2019"))
    metrics = tuple(suite.chosen(",".join(table.get("metrics", suite.DEFAULT_METRICS))))
    if job.metric not in metrics or job.protocol not in METRICS[job.metric].PROTOCOLS:
        raise UserError(
            f"{path}: metric={job.metric!r}, protocol={job.protocol!r}: the table shows"
            f" what is scored; give one of {', '.join(metrics)} and a protocol of it"
        )
    primary_score = PrimaryScore(job, table.get("score", job.parts[0] if job.parts else ""))
    if primary_score.part and primary_score.part not in job.parts:
        known = f"one of {', '.join(job.parts)}" if job.parts else "none, as it has one only"
        raise UserError(
            f"{path}: score={primary_score.part!r}: no score of {job.title}; give {known}"
        )
    by = tuple(one for one in dict.fromkeys((*PAPER_METRICS, job)) if one.metric in metrics)
    counts = {name: table.get(name, usual) for name, usual in COUNTS.items()}
    _at_least(counts["checkpoints"], 0, "checkpoints", path)
    _at_least(counts["sample"], LEAST, "sample", path)
    if counts["images"] != 0:
        _at_least(counts["images"], LEAST, "images", path)
    scoring = Scoring(metrics, by, **counts)
    data = table.get("data", "dsprites")
    try:
        canonical(data)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    # One's own images may change under their name; a run is of these.
    own = load(data) if ":" in data else None
    given = table.get("rows", [])
    rows = [row for one in given for row in _rows(one, table, scoring, path, own, primary_score)]
    if not rows:
        raise UserError(
            f"{path}: it has no rows, so nothing would run; give [[rows]] with a method"
        )
    retries, hang_timeout_minutes = table.get("retries", 1), table.get("hang_timeout_minutes", 30)
    _at_least(retries, 0, "retries", path)
    _at_least(hang_timeout_minutes, 1, "hang_timeout_minutes", path, (int, float))
    return Study(
        _one_line(table.get("title", path.stem)),
        _one_line(table.get("source", "")),
        text,
        primary_score,
        tuple(_named_apart(rows, path)),
        retries,
        float(hang_timeout_minutes),
    )


def _rows(
    given: dict[str, Any],
    table: dict[str, Any],
    scoring: Scoring,
    path: Path,
    own: ImageTable | None,
    primary_score: PrimaryScore,
) -> list[Row]:
    """The rows of one [[rows]]: a hyperparameter with a list of values makes one for each."""
    _only(given, IN_A_ROW, path, "row")
    if "method" not in given:
        raise UserError(f"{path}: a row without a method; give method = one of the methods' names")
    method = find(given["method"])
    named = {**table, **given}
    run = {k: named[k] for k in ("data", "steps", "batch_size", "precision") if k in named}
    published = (
        _published(given["published"], primary_score, path) if "published" in given else None
    )
    values = {
        name: [
            _of_its_kind(method, name, v, path)
            for v in (value if isinstance(value, list) else [value])
        ]
        for name, value in given.get("hyperparameters", {}).items()
    }
    for name, tried in values.items():
        if not tried:
            raise UserError(f"{path}: {name}=[]: no value makes no row; give one or more")
    rows = []
    if "title" in given and any(len(of_one) != 1 for of_one in values.values()):
        raise UserError(
            f"{path}: title={given['title']!r}: its hyperparameters make several rows, and each is"
            " called by its values; leave the title out"
        )
    if published and any(len(of_one) != 1 for of_one in values.values()):
        raise UserError(
            f"{path}: published={given['published']}: its hyperparameters make several rows, and"
            " figures are of one; give each a [[rows]] of its own"
        )
    for combination in itertools.product(*values.values()):
        chosen = dict(zip(values, combination, strict=True))
        base = configure(method, named.get("preset"), chosen, run)
        base = base if own is None else base.with_fingerprint_of(own)
        configs = [dataclasses.replace(base, seed=s) for s in _seeds(named.get("seeds", 10), path)]
        jobs = tuple(Job(config, scoring) for config in configs)
        rows.append(Row(_one_line(given.get("title", _title(base, chosen))), jobs, published))
    return rows


def _named_apart(rows: list[Row], path: Path) -> list[Row]:
    """Rows of one title get what they differ in beside it; UserError if that is nothing."""
    alike = collections.defaultdict(list)
    for row in rows:
        alike[row.title].append(_settings(row.jobs[0].config))
    named = []
    for row in rows:
        others, own = alike[row.title], _settings(row.jobs[0].config)
        told = [f"{k}={v}" for k, v in own.items() if any(o.get(k) != v for o in others)]
        title = f"{row.title} ({', '.join(told)})" if told else row.title
        named.append(dataclasses.replace(row, title=title))
    counts = collections.Counter(row.title for row in named)
    for title, count in counts.items():
        if count > 1:
            raise UserError(
                f"{path}: {count} rows are called {title!r}, and no table could tell them apart;"
                " give each a title of its own"
            )
    return named


def _settings(config: Config) -> dict[str, Any]:
    method = {"method": config.method.name, **dataclasses.asdict(config.method)}
    return dataclasses.asdict(config.budget) | method


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())


def _title(config: Config, chosen: dict[str, Any]) -> str:
    told = ", ".join(f"{k}={v}" for k, v in chosen.items() if k != "latent_dim")
    return f"{config.method.title}{f' ({told})' if told else ''}, m={config.method.latent_dim}"


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


def _at_least(
    value: Any, least: int, name: str, path: Path, kinds: tuple[type, ...] = (int,)
) -> None:
    if type(value) not in kinds or value < least:
        what = "a number" if float in kinds else "a whole number"
        raise UserError(f"{path}: {name}={value!r}: too few; give {what}, {least} or more")


def _published(given: dict[str, Any], primary_score: PrimaryScore, path: Path) -> Published:
    _only(given, {"mean", "std", "best", "seeds"}, path, "published")
    seeds = given.get("seeds", 10)
    try:
        found = {name: float(given[name]) for name in ("mean", "std", "best")}
        if not all(type(given[name]) in (int, float) for name in found):
            raise TypeError
        if not all(map(math.isfinite, found.values())):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: published={given}: mean, std and best, {primary_score.unit}; give these three,"
            " each a finite number"
        ) from error
    if type(seeds) is not int or seeds < 2 or not found["std"] > 0:
        raise UserError(
            f"{path}: published={given}: a std is of two seeds or more, and above 0; give these"
        )
    mean, best = found["mean"], found["best"]
    if primary_score.best((mean, best)) != best:
        raise UserError(
            f"{path}: published={given}: the best of some scores is no worse than their mean; give"
            " them as they were published"
        )
    if primary_score.is_share and not 1 < best <= 100:
        raise UserError(
            f"{path}: published={given}: the table is in percent; give 74.41 where 0.7441 is meant"
        )
    return Published(**found, seeds=seeds)


def _of_its_kind(method: type[Method], name: str, value: Any, path: Path) -> Any:
    """A hyperparameter's value as the method has it: 4 is the same run as 4.0."""
    kind = typing.get_type_hints(method).get(name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is not None and type(value) is not kind:
        raise UserError(f"{path}: {name}={value!r}: give a value of type {kind.__name__}")
    return value
