"""Study files: methods × hyperparameters × seeds × budget × metrics, in TOML."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from pathlib import Path
from typing import Any

from unbraid.data import canonical_name, load
from unbraid.errors import UserError
from unbraid.evaluation.scores import MIN_IMAGES
from unbraid.metrics import METRICS, suite
from unbraid.runs import version_0_1
from unbraid.studies.study import PAPER_METRICS, PrimaryScore, Scoring, Study
from unbraid.studies.study_rows import StudyDefaults, check_keys, one_line, rows_of, unique_titles

DEFINITIONS = Path(__file__).with_name("definitions")
KEYS = frozenset(
    {
        *("title", "source", "data", "preset", "precision", "seeds", "steps", "batch_size"),
        *("metrics", "metric", "protocol", "score", "checkpoints", "sample", "images"),
        *("retries", "hang_timeout_minutes", "rows"),
    }
)
# Default number of scored checkpoints, and of images for them and for the last; 0 images means all.
DEFAULT_COUNTS = {"checkpoints": 0, "sample": 10_000, "images": 0}
DEFAULT_RETRIES, DEFAULT_HANG_TIMEOUT_MINUTES = 1, 30


def shipped_studies() -> list[str]:
    """Return the names of the studies that the package contains."""
    return sorted(path.stem for path in DEFINITIONS.glob("*.toml"))


def read(source: Path | str) -> Study:
    """Read a study.

    Parameters
    ----------
    source : Path or str
        A TOML file, or the name of a study in `shipped_studies`.

    Returns
    -------
    Study
        The study with all its jobs.

    Raises
    ------
    UserError
        If there is no such file or study, or a key or a value is invalid.

    Examples
    --------
    >>> len(read("table1-quick").jobs)
    100
    """
    path = _file_of(Path(source))
    try:
        text = path.read_text(encoding="utf-8")
        table = _current(tomllib.loads(text))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read as a study ({reason}); choose a TOML file") from (
            error
        )
    try:
        return _study(path, text, table)
    except UserError as error:
        raise _in_file(path, error) from error
    except (TypeError, AttributeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path}: a value has the wrong type ({reason}); docs/studies.md lists the type of"
            " every key"
        ) from error


def _in_file(path: Path, error: UserError, where: str = "") -> UserError:
    """Return an error with the name of the file, and without the backticks of arguments."""
    message = str(error)
    if message.startswith(f"{path}: "):
        return error
    return UserError(f"{path}: {where}{message.replace('`', '')}")


def _file_of(source: Path) -> Path:
    """Return the file of a study, given the file or the name of a shipped study."""
    is_name = source.name == str(source) and not source.suffix
    if not is_name or source.is_file():
        return source
    if source.name not in shipped_studies():
        raise UserError(
            f"{source}: no such study; choose a TOML file, or one of {', '.join(shipped_studies())}"
        )
    return DEFINITIONS / f"{source.name}.toml"


def _current(table: dict[str, Any]) -> dict[str, Any]:
    """Return a study's table with current keys, whichever version it was written for."""
    table = version_0_1.renamed(table, version_0_1.STUDY)
    rows = table.get("rows", [])
    if isinstance(rows, list):
        table["rows"] = [_current_row(row) if isinstance(row, dict) else row for row in rows]
    return table


def _current_row(row: dict[str, Any]) -> dict[str, Any]:
    row = version_0_1.renamed(row, version_0_1.STUDY)
    values = row.get("hyperparameters")
    if isinstance(values, dict):
        row["hyperparameters"] = version_0_1.current_hyperparameters(row.get("method", ""), values)
    return row


def _study(path: Path, text: str, table: dict[str, Any]) -> Study:
    check_keys(table, KEYS, path, "study")
    for name in ("title", "source", "data", "preset", "precision", "metric", "protocol", "score"):
        _check_type(table.get(name, ""), str, "a text in quotes", name, path)
    names = table.get("metrics", list(suite.DEFAULT_METRICS))
    _check_type(names, list, "a list of names in brackets", "metrics", path)
    metrics = tuple(suite.parse_names(",".join(names)))
    primary_score = _primary_score(table, metrics, path)
    scoring = _scoring(table, metrics, primary_score, path)
    data = table.get("data", "dsprites")
    canonical_name(data)
    # Custom images may change under the same name, so the runs are identified by a fingerprint.
    images = load(data) if ":" in data else None
    defaults = StudyDefaults(path, table, scoring, primary_score, images)
    rows = []
    for number, row_table in enumerate(table.get("rows", []), start=1):
        try:
            rows += rows_of(row_table, defaults)
        except UserError as error:
            raise _in_file(path, error, f"[[rows]] number {number}: ") from error
    if not rows:
        raise UserError(f"{path}: the study has no rows; add [[rows]] with a method")
    retries = table.get("retries", DEFAULT_RETRIES)
    hang_timeout_minutes = table.get("hang_timeout_minutes", DEFAULT_HANG_TIMEOUT_MINUTES)
    _check_at_least(retries, 0, "retries", path)
    _check_at_least(hang_timeout_minutes, 1, "hang_timeout_minutes", path, (int, float))
    titled = [
        dataclasses.replace(row, number=number)
        for number, row in enumerate(unique_titles(rows, path), start=1)
    ]
    return Study(
        one_line(table.get("title", path.stem)),
        one_line(table.get("source", "")),
        text,
        primary_score,
        tuple(titled),
        retries,
        float(hang_timeout_minutes),
    )


def _primary_score(table: dict[str, Any], metrics: tuple[str, ...], path: Path) -> PrimaryScore:
    spec = suite.MetricSpec(table.get("metric", "factor-vae"), table.get("protocol", "jeong2019"))
    if spec.metric not in metrics or spec.protocol not in METRICS[spec.metric].PROTOCOLS:
        raise UserError(
            f"{path}: metric={spec.metric!r}, protocol={spec.protocol!r}: the table must report"
            f" a score that is computed; choose one of {', '.join(metrics)} and one of its"
            " protocols"
        )
    primary_score = PrimaryScore(spec, table.get("score", spec.parts[0] if spec.parts else ""))
    if primary_score.part and primary_score.part not in spec.parts:
        remedy = f"choose one of {', '.join(spec.parts)}" if spec.parts else "remove the key"
        raise UserError(
            f"{path}: score={primary_score.part!r}: not a score of {spec.title}; {remedy}"
        )
    return primary_score


def _scoring(
    table: dict[str, Any], metrics: tuple[str, ...], primary_score: PrimaryScore, path: Path
) -> Scoring:
    specs = dict.fromkeys((*PAPER_METRICS, primary_score.spec))
    counts = {name: table.get(name, default) for name, default in DEFAULT_COUNTS.items()}
    _check_at_least(counts["checkpoints"], 0, "checkpoints", path)
    _check_at_least(counts["sample"], MIN_IMAGES, "sample", path)
    if counts["images"] != 0:
        _check_at_least(counts["images"], MIN_IMAGES, "images", path)
    return Scoring(metrics, tuple(spec for spec in specs if spec.metric in metrics), **counts)


def _check_type(value: Any, expected: type, kind: str, name: str, path: Path) -> None:
    if type(value) is not expected:
        raise UserError(f"{path}: {name}={value!r}: must be {kind}; correct its value")


def _check_at_least(
    value: Any, minimum: int, name: str, path: Path, types: tuple[type, ...] = (int,)
) -> None:
    if type(value) not in types or value < minimum or not math.isfinite(value):
        kind = "a number" if float in types else "a whole number"
        raise UserError(
            f"{path}: {name}={value!r}: must be {kind} of at least {minimum}; set {name} to"
            f" {minimum} or more"
        )
