"""Select a part of a study: some of its rows, or the runs with some settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from unbraid.errors import ArgumentError
from unbraid.studies.study import Job, Row, Study

# Error messages list at most this many values.
MAX_LISTED = 12


def select(study: Study, rows: str | None = None, only: Sequence[str] = ()) -> Study:
    """Return the part of a study that has the given rows and settings.

    Parameters
    ----------
    study : Study
        The study.
    rows : str, optional
        Rows, separated by commas: numbers from 1 in the order of the table, ranges of numbers such
        as "1-3", or titles. By default all rows.
    only : sequence of str, optional
        Settings such as "seed=0" or "latent_dim=4". Several values of one setting ("seed=0,3-5", or
        two entries) are alternatives; different settings must all match.

    Returns
    -------
    Study
        The study with only these rows and runs; rows without a run are left out.

    Raises
    ------
    ArgumentError
        If a row or a setting is unknown, or no run is left.

    Examples
    --------
    >>> from unbraid.studies.study_file import read
    >>> part = select(read("table2"), rows="3-4", only=["seed=0,1"])
    >>> [(row.title, len(row.jobs)) for row in part.rows]
    [('CascadeVAE (beta_low=1.0), m=6', 2), ('CascadeVAE (beta_low=2.0), m=4', 2)]
    """
    selected = study.rows if rows is None else tuple(_rows(rows, study.rows))
    wanted = _settings(only, study)
    filtered = [
        dataclasses.replace(row, jobs=tuple(job for job in row.jobs if _has(job, wanted)))
        for row in selected
    ]
    left = tuple(row for row in filtered if row.jobs)
    if not left:
        raise ArgumentError(
            "only", ", ".join(only), "no run of the rows has these settings", "change or remove it"
        )
    return dataclasses.replace(study, rows=left)


def _rows(text: str, rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a list of numbers, ranges and titles, which may contain commas."""
    titles = {row.title: i for i, row in enumerate(rows)}
    pieces, chosen = text.split(","), set[int]()
    while pieces:
        number = _range(pieces[0])
        if number is not None:
            first, last = number
            if not 1 <= first <= last <= len(rows):
                raise _unknown_row(text, pieces[0], rows)
            chosen |= set(range(first - 1, last))
            pieces = pieces[1:]
            continue
        for end in range(len(pieces), 0, -1):
            title = ",".join(pieces[:end]).strip()
            if title in titles:
                chosen.add(titles[title])
                pieces = pieces[end:]
                break
        else:
            raise _unknown_row(text, pieces[0], rows)
    return [rows[i] for i in sorted(chosen)]


def _unknown_row(text: str, piece: str, rows: Sequence[Row]) -> ArgumentError:
    name = f"{piece.strip()}: " if piece.strip() != text.strip() else ""
    return ArgumentError(
        "rows",
        text,
        f"{name}unknown row",
        f"set `rows` to numbers from 1 to {len(rows)}, ranges, or titles as unbraid study status"
        " prints them",
    )


def _settings(only: Sequence[str], study: Study) -> dict[str, list[str]]:
    """Return the wanted values of each setting, after checking that some run has each of them."""
    wanted: dict[str, list[str]] = {}
    all_settings = [_settings_of(job) for job in study.jobs]
    names = sorted({name for settings in all_settings for name in settings})
    for text in only:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values:
            raise ArgumentError(
                "only", text, "must be a setting and its value", "set `only` as in seed=0"
            )
        if name not in names:
            raise ArgumentError(
                "only", text, "unknown setting", f"set `only` to one of {', '.join(names)}"
            )
        existing = {settings[name]: None for settings in all_settings if name in settings}
        for value in values.split(","):
            if not any(_matches(value, actual) for actual in existing):
                listed = [str(actual) for actual in existing][:MAX_LISTED]
                listed += ["…"] if len(existing) > MAX_LISTED else []
                remedy = f"set `only` to {name}= and one of {', '.join(listed)}"
                raise ArgumentError("only", text, f"no run has {name}={value.strip()}", remedy)
        wanted.setdefault(name, []).extend(values.split(","))
    return wanted


def _has(job: Job, wanted: Mapping[str, Sequence[str]]) -> bool:
    settings = _settings_of(job)
    return all(
        name in settings and any(_matches(value, settings[name]) for value in values)
        for name, values in wanted.items()
    )


def _settings_of(job: Job) -> dict[str, Any]:
    table = job.config.as_table()
    return {
        **{name: table[name] for name in ("method", "seed", "data", "precision")},
        **table["budget"],
        **table["hyperparameters"],
    }


def _matches(text: str, actual: object) -> bool:
    """Return whether a text is the value, or a range that contains it."""
    text = text.strip()
    if type(actual) is int:
        numbers = _range(text)
        return numbers is not None and numbers[0] <= actual <= numbers[1]
    if type(actual) is float:
        try:
            return float(text) == actual
        except ValueError:
            return False
    return text.lower() == str(actual).lower()


def _range(text: str) -> tuple[int, int] | None:
    """Return the ends of a range such as "3-5" or "3", or None for anything else."""
    first, dash, last = (part.strip() for part in text.partition("-"))
    if (
        not first.isdecimal()
        or (dash and not last.isdecimal())
        or max(map(len, (first, last))) > 18
    ):
        return None
    return int(first), int(last or first)
