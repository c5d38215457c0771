"""Unsupervised classification accuracy at values derived by hand."""

import numpy as np
import pytest

from unbraid.codes import Codes
from unbraid.errors import ArgumentError
from unbraid.metrics import classification


def score(category: list[int], labels: list[int], categories: int = 3) -> dict[str, float]:
    codes = Codes(np.zeros((len(category), 1)), category=np.array(category), categories=categories)
    return classification.score(codes, np.array(labels))


def test_a_relabelled_perfect_code_scores_1() -> None:
    result = score([2, 2, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2])
    assert result["one_to_one"] == result["majority"] == 1.0
    assert result["chance_one_to_one"] == result["chance_majority"] == pytest.approx(1 / 3)


def test_a_collapsed_code_scores_chance() -> None:
    result = score([1] * 6, [0, 0, 1, 1, 2, 2])
    assert result["one_to_one"] == result["majority"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("counts", [(30, 35, 35), (29, 35, 36), (35, 29, 36), (50, 50, 0)])
def test_a_single_category_has_no_information(counts: tuple[int, ...]) -> None:
    """Exactly 0, not 4e-16: rounding must not rank collapsed codes."""
    classes = [label for label, count in enumerate(counts) for _ in range(count)]
    assert score([1] * 100, classes)["nmi"] == score(classes, [1] * 100)["nmi"] == 0
    assert 1 - 1e-12 < score(classes, classes)["nmi"] <= 1


def test_a_table_of_counts() -> None:
    """Category × class counts [[3, 0, 1], [2, 0, 0], [0, 1, 1]].

    One to one: 3 + 0 + 1 = 4 with the diagonal permuted (0→0, 1→1 or 2→…): the best is 0→0 (3),
    1→2 (0), 2→1 (1) or 0→2 (1), 1→0 (2), 2→1 (1): both 4. Majority: 3 + 2 + 1 = 6.
    """
    category = [0] * 4 + [1] * 2 + [2] * 2
    labels = [0, 0, 0, 2, 0, 0, 1, 2]
    result = score(category, labels)
    assert result["one_to_one"] == 4 / 8
    assert result["majority"] == 6 / 8
    assert result["chance_majority"] == 5 / 8


def test_merging_classes_lowers_one_to_one_more_than_majority() -> None:
    """Two classes in one category, the third split in two: ⅔ by majority, ½ one to one."""
    category, labels = [0] * 4 + [1, 2], [0, 0, 1, 1, 2, 2]
    result = score(category, labels)
    assert result["majority"] == pytest.approx(4 / 6)
    assert result["one_to_one"] == pytest.approx(3 / 6)


def test_chance_of_more_categories_than_classes() -> None:
    """10 categories, 2 classes: two categories can be matched, each correct half the time."""
    result = score(list(range(10)) * 2, [0] * 10 + [1] * 10, categories=10)
    assert result["chance_one_to_one"] == pytest.approx(2 / 20)
    assert result["one_to_one"] == pytest.approx(2 / 20)


def test_bad_arrays_are_errors() -> None:
    with pytest.raises(ArgumentError, match="codes=no discrete code"):
        classification.score(Codes(np.zeros((2, 1))), np.array([0, 1]))
    with pytest.raises(
        ArgumentError, match="labels=3 values: must have one class for each of the 2 items"
    ):
        score([0, 1], [0, 1, 2])
