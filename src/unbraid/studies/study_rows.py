"""Rows of a study file: each [[rows]] is one row, or a grid of rows over lists of values."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import typing
from collections.abc import Set
from pathlib import Path
from typing import Any, NamedTuple

from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.methods import Method, find
from unbraid.runs import Config, configure
from unbraid.studies.study import Job, PrimaryScore, Published, Row, Scoring

KEYS = frozenset(
    {
        *("title", "method", "preset", "hyperparameters", "seeds", "steps", "batch_size"),
        "published",
    }
)
PUBLISHED_KEYS = frozenset({"mean", "std", "best", "seeds"})
DEFAULT_SEEDS = 10


class StudyDefaults(NamedTuple):
    """What all rows of a study file have in common.

    Parameters
    ----------
    path : Path
        The file, for error messages.
    table : dict
        Top-level keys of the file, which a row may override.
    scoring : Scoring
        What is scored.
    primary_score : PrimaryScore
        The score that the table reports.
    images : ImageTable or None
        The user's own images; None for a published dataset.
    """

    path: Path
    table: dict[str, Any]
    scoring: Scoring
    primary_score: PrimaryScore
    images: ImageTable | None


def rows_of(table: dict[str, Any], defaults: StudyDefaults) -> list[Row]:
    """Return the rows of one [[rows]]: the product of its lists of hyperparameter values.

    Raises
    ------
    UserError
        If a key or a value is invalid.
    """
    path = defaults.path
    check_keys(table, KEYS, path, "row")
    if "method" not in table:
        raise UserError(f"{path}: a row has no method; add method = and the name of a method")
    method = find(table["method"])
    settings = {**defaults.table, **table}
    _check_types(settings, path)
    run = {k: settings[k] for k in ("data", "steps", "batch_size", "precision") if k in settings}
    grid = {
        name: _values(method, name, value, path)
        for name, value in table.get("hyperparameters", {}).items()
    }
    _check_single_row(table, grid, path)
    published = None
    if "published" in table:
        published = _published(table["published"], defaults.primary_score, path)
    rows = []
    for combination in itertools.product(*grid.values()):
        hyperparameters = dict(zip(grid, combination, strict=True))
        config = configure(method, settings.get("preset"), hyperparameters, run)
        if defaults.images is not None:
            config = config.with_fingerprint_of(defaults.images)
        seeds = _seeds(settings.get("seeds", DEFAULT_SEEDS), path)
        configs = [dataclasses.replace(config, seed=seed) for seed in seeds]
        title = one_line(table.get("title", _title(config, hyperparameters)))
        jobs = tuple(Job(c, defaults.scoring) for c in configs)
        rows.append(
            Row(title, jobs, published, settings.get("preset") or next(iter(method.PRESETS)))
        )
    return rows


def _check_types(settings: dict[str, Any], path: Path) -> None:
    """Raise UserError if a setting that is compared with numbers or names has another type."""
    for name, expected, kind in (
        ("title", str, "a text in quotes"),
        ("preset", str, "a text in quotes"),
        ("steps", int, "a whole number"),
        ("batch_size", int, "a whole number"),
    ):
        if name in settings and type(settings[name]) is not expected:
            raise UserError(f"{path}: {name}={settings[name]!r}: must be {kind}; correct its value")


def _values(method: type[Method], name: str, value: Any, path: Path) -> list[Any]:
    """Return the values of a hyperparameter, each of its type: 4 is the same run as 4.0."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise UserError(f"{path}: {name}=[]: an empty list makes no row; add one or more values")
    return [_with_type(method, name, value, path) for value in values]


def _with_type(method: type[Method], name: str, value: Any, path: Path) -> Any:
    expected = typing.get_type_hints(method).get(name)
    if expected is float and type(value) is int:
        return float(value)
    if expected is not None and type(value) is not expected:
        raise UserError(
            f"{path}: {name}={value!r}: wrong type; set {name} to a value of type"
            f" {expected.__name__}"
        )
    return value


def _check_single_row(table: dict[str, Any], grid: dict[str, list[Any]], path: Path) -> None:
    """Raise UserError if a title or published figures are given for several rows at once."""
    if all(len(values) == 1 for values in grid.values()):
        return
    if "title" in table:
        raise UserError(
            f"{path}: title={table['title']!r}: the lists of hyperparameters make several rows,"
            " which are named by their values; remove the title"
        )
    if "published" in table:
        raise UserError(
            f"{path}: published={table['published']}: the lists of hyperparameters make several"
            " rows, and published figures belong to one; write a [[rows]] for each"
        )


def unique_titles(rows: list[Row], path: Path) -> list[Row]:
    """Return the rows with the settings that differ added to titles that are equal.

    Raises
    ------
    UserError
        If two rows have the same title and no setting differs.
    """
    settings_by_title = collections.defaultdict(list)
    for row in rows:
        settings_by_title[row.title].append(_settings(row.jobs[0].config))
    unique = []
    for row in rows:
        others, settings = settings_by_title[row.title], _settings(row.jobs[0].config)
        differing = [f"{k}={v}" for k, v in settings.items() if any(o.get(k) != v for o in others)]
        title = f"{row.title} ({', '.join(differing)})" if differing else row.title
        unique.append(dataclasses.replace(row, title=title))
    for title, count in collections.Counter(row.title for row in unique).items():
        if count > 1:
            raise UserError(
                f"{path}: {count} rows have the title {title!r} and the same settings; give each a"
                " title of its own"
            )
    return unique


def _settings(config: Config) -> dict[str, Any]:
    method = {"method": config.method.name, **dataclasses.asdict(config.method)}
    return dataclasses.asdict(config.budget) | method


def one_line(text: Any) -> str:
    """Return a text with every run of white space replaced by one space."""
    return " ".join(str(text).split())


def _title(config: Config, hyperparameters: dict[str, Any]) -> str:
    values = ", ".join(f"{k}={v}" for k, v in hyperparameters.items() if k != "latent_dim")
    suffix = f" ({values})" if values else ""
    return f"{config.method.title}{suffix}, m={config.method.latent_dim}"


def _seeds(value: Any, path: Path) -> list[int]:
    seeds = list(range(value)) if type(value) is int else value
    is_list = isinstance(seeds, list) and all(type(seed) is int for seed in seeds)
    if not is_list or not seeds or len(set(seeds)) < len(seeds):
        raise UserError(
            f"{path}: seeds={value}: must be a number of seeds, or a list of different seeds; set"
            " seeds to 1 or more, or list them"
        )
    return seeds


def check_keys(table: dict[str, Any], known: Set[str], path: Path, kind: str) -> None:
    """Raise UserError if a table has an unknown key."""
    for key in table:
        if key not in known:
            raise UserError(
                f"{path}: {key}: unknown key of a {kind}; use {', '.join(sorted(known))}"
            )


def _published(table: dict[str, Any], primary_score: PrimaryScore, path: Path) -> Published:
    check_keys(table, PUBLISHED_KEYS, path, "published row")
    where = f"{path}: published={table}"
    seeds = table.get("seeds", 10)
    values: list[Any] = [table.get(name) for name in ("mean", "std", "best")]
    if not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        raise UserError(
            f"{where}: mean, std and best must be finite numbers ({primary_score.unit}); set all"
            " three"
        )
    mean, std, best = map(float, values)
    if type(seeds) is not int or seeds < 2 or not std > 0:
        raise UserError(
            f"{where}: a std must be positive and of at least 2 seeds; set std and seeds"
        )
    if primary_score.best((mean, best)) != best:
        raise UserError(
            f"{where}: best must not be worse than mean; set both as they were published"
        )
    if primary_score.is_percent and not 1 < best <= 100:
        raise UserError(f"{where}: must be in percent; write 74.41 instead of 0.7441")
    return Published(mean, std, best, seeds)
