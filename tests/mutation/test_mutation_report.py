"""The report of mutation testing is of today's code, and the mutants are those that it promises."""

import ast

from tests.mutation import report
from tests.mutation.operators import find_mutants, fingerprint


def test_the_report_is_of_the_present_code() -> None:
    assert {report.name_of(file) for file in report.targets()} == report.read().keys()
    found = report.changed()
    assert not found, "\n".join(found)


def changes(code: str) -> set[str]:
    source = code.encode() + b"\n"
    mutants = find_mutants(source)
    for mutant in mutants:
        ast.parse(mutant.apply(source))
    return {mutant.describe(source)[1] for mutant in mutants}


def test_a_sum_loses_each_term_and_its_sign() -> None:
    assert changes("y = a + b") == {"y = a - b", "y = a", "y = b"}
    assert changes("y = a - b * c") == {"y = a + b * c", "y = a", "y = a - b / c"}
    assert changes("y = (a - b) * c") == {"y = (a + b) * c", "y = (a) * c", "y = (a - b) / c"}


def test_comparisons_conditions_and_constants_change() -> None:
    assert changes("if a < 3: pass") == {"if a <= 3: pass", "if a >= 3: pass", "if a < 4: pass"}
    assert changes("if a and not b: pass") == {"if a or not b: pass", "if a and b: pass"}
    assert changes("y = x.sum(axis=1)") == {
        "y = x.mean(axis=1)",
        "y = x.sum(axis=0)",
        "y = x.sum(axis=2)",
    }
    assert changes("y = sorted(seeds)") == {"y = list(seeds)"}
    assert changes("y = min(a, 0.5)") == {"y = max(a, 0.5)", "y = min(a, 1.5)"}


def test_texts_annotations_and_errors_are_left_alone() -> None:
    assert changes('def f(x: Float[Tensor, "b 1"]) -> int:\n    """1 + 1."""') == set()
    assert changes('raise ValueError(f"{a + 1} of 2")') == set()
    assert changes("pairs = zip(a, b, strict=True)") == set()


def test_only_code_changes_the_fingerprint() -> None:
    code = b'"""A module."""\n\ndef f(x):\n    """Return x."""\n    return x + 1\n'
    other = b'def f(x):\n    """Return it."""\n    # Why.\n    return (x + 1)\n'
    assert fingerprint(code) == fingerprint(other)
    assert fingerprint(code) != fingerprint(code.replace(b"+", b"-"))
