"""numbers.json: the committed numbers, and a history that says why they changed.

The sections are `ten_steps`, `default_losses`, `runs` and `scores`. Each entry of the history has
the `RESULTS_VERSION` of the code, the reason, the entries that changed, and a digest of all
numbers, so that an edit without an entry is detected.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("numbers.json")
# Significant digits: two more than float32 has.
DIGITS = 9
TEN_STEPS_TOLERANCE = 1e-5
# Relative tolerances of scores and of standard errors, where they are larger than 1e-6, by the
# first word of the title: a logistic regression is fitted in float32 until its gradient is 1e-5.
# The accuracies may differ by one item of 1,200 or one vote of 5,000.
SCORE_TOLERANCES = {
    "modularity": (1e-4, 1e-2),
    "InfoMEC:": (1e-5, 1e-3),
    "β-VAE": (2e-4, 1e-2),
    "probes": (1.2e-3, 1e-2),
}


def read() -> dict[str, Any]:
    """Return the contents of numbers.json."""
    return json.loads(FILE.read_text())


def rounded(value: Any) -> Any:
    """Round every number to `DIGITS` significant digits."""
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def difference(section: str, name: str, value: Any, expected: Any) -> str:
    """Describe how a value differs from the committed one by more than its tolerance; "" if not.

    Tolerances of runs cover the differences between processors in bf16: an Intel processor with AMX
    differs from the Zen 4 that wrote them by 0.07 % in the loss and by 9 % in one KL.
    """
    if value is None or expected is None:
        return "" if value is expected else "missing"
    if section == "ten_steps":
        largest, term = largest_difference(value, expected)
        return f"{term} by {largest:.1e}" if largest > TEN_STEPS_TOLERANCE else ""
    numbers, committed = dict(leaves(value)), dict(leaves(expected))
    if numbers.keys() != committed.keys():
        return f"{sorted(numbers.keys() ^ committed.keys())} are not in both"
    for path, number in numbers.items():
        rel, abs_ = _tolerance(section, name, path)
        if not math.isclose(number, committed[path], rel_tol=rel, abs_tol=abs_):
            return f"{path}: {number}, committed {committed[path]}"
    return ""


def _tolerance(section: str, name: str, path: str) -> tuple[float, float]:
    """Return relative and absolute tolerance of a number."""
    if section == "scores":
        score, standard_error = SCORE_TOLERANCES.get(name.split()[0], (1e-6, 1e-6))
        return standard_error if path == "standard_error" else score, 1e-9
    if section == "default_losses":
        return 1e-4, 0.0
    if name.endswith("fp32"):
        return 1e-3, 1e-4 if path.startswith("kl") else 0.0
    return (0.25, 1e-4) if path.startswith("kl") else (5e-3, 0.0)


def largest_difference(
    values: Mapping[str, list[Any]], expected: Mapping[str, list[Any]]
) -> tuple[float, str]:
    """Return the largest difference between two results of ten steps, and its term.

    A difference is relative to the largest absolute value of the same element of the same term in
    the ten steps, because a term may cross 0. It is infinite if a term is reported in other steps.
    """
    if values.keys() != expected.keys():
        return math.inf, str(sorted(values.keys() ^ expected.keys()))
    differences = [(0.0, "")]
    for term, steps in values.items():
        absent = [value is None for value in steps]
        if absent != [value is None for value in expected[term]]:
            return math.inf, term
        a, b = (np.array([v for v in s if v is not None]) for s in (steps, expected[term]))
        if a.shape != b.shape:
            return math.inf, term
        largest = np.abs(b).max(axis=0)
        scale = np.where(largest > 0, largest, 1.0)
        differences.append((float((np.abs(a - b) / scale).max()), term))
    return max(differences)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number with its path, for example "kl[3][0]"."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}[{i}]")
    else:
        yield path, value


def digest(sections: Mapping[str, Any]) -> str:
    """Return a digest of all numbers, the first 16 hexadecimal digits of their SHA-256."""
    return hashlib.sha256(json.dumps(sections, sort_keys=True).encode()).hexdigest()[:16]


def changed(sections: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Return the entries, as "section: name", that were added, removed or changed."""
    names = {(s, name) for table in (sections, before) for s in table for name in table[s]}
    return [
        f"{section}: {name}"
        for section, name in sorted(names)
        if difference(
            section,
            name,
            sections.get(section, {}).get(name),
            before.get(section, {}).get(name),
        )
    ]


def merged(
    sections: Mapping[str, Any], before: Mapping[str, Any], changes: list[str]
) -> dict[str, dict[str, Any]]:
    """Return the current numbers; those that agree within their tolerance keep their digits."""

    def value(section: str, name: str, current: Any) -> Any:
        return current if f"{section}: {name}" in changes else before[section][name]

    return {
        section: {name: value(section, name, current) for name, current in table.items()}
        for section, table in sections.items()
    }


def write(contents: Mapping[str, Any]) -> None:
    """Write numbers.json with one line per innermost list or table of numbers."""
    FILE.write_text(_text(contents, 0) + "\n")


def _text(value: Any, indent: int) -> str:
    if not isinstance(value, Mapping | list) or not _is_nested(value):
        return json.dumps(value, ensure_ascii=False)
    inner = " " * (indent + 1)
    if isinstance(value, Mapping):
        lines = [f"{json.dumps(k)}: {_text(v, indent + 1)}" for k, v in value.items()]
        opening, closing = "{", "}"
    else:
        lines = [_text(item, indent + 1) for item in value]
        opening, closing = "[", "]"
    body = f",\n{inner}".join(lines)
    return f"{opening}\n{inner}{body}\n{' ' * indent}{closing}"


def _is_nested(value: Any) -> bool:
    """Whether a list or table has another table, or a list of tables, in it."""
    items = value.values() if isinstance(value, Mapping) else value
    return any(
        isinstance(item, Mapping) or (isinstance(value, Mapping) and isinstance(item, list))
        for item in items
    )
