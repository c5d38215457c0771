"""Unsupervised classification accuracy at derived values."""

import numpy as np
import pytest

from unbraid.codes import Codes
from unbraid.errors import UserError
from unbraid.metrics import classification


def score(category: list[int], labels: list[int], categories: int = 3) -> dict[str, float]:
    codes = Codes(np.zeros((len(category), 1)), category=np.array(category), categories=categories)
    return classification.score(codes, np.array(labels))


def test_a_relabelled_perfect_code() -> None:
    found = score([2, 2, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2])
    assert found["one_to_one"] == found["majority"] == 1.0
    assert found["chance_one_to_one"] == found["chance_majority"] == pytest.approx(1 / 3)


def test_a_collapsed_code_scores_chance() -> None:
    found = score([1] * 6, [0, 0, 1, 1, 2, 2])
    assert found["one_to_one"] == found["majority"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("counts", [(30, 35, 35), (29, 35, 36), (35, 29, 36), (50, 50, 0)])
def test_one_category_has_no_information_whatever_the_classes(counts: tuple[int, ...]) -> None:
    """I ≤ min(H, H) = 0 exactly, not 4e-16, which would put one collapsed code before another."""
    classes = [label for label, count in enumerate(counts) for _ in range(count)]
    assert score([1] * 100, classes)["nmi"] == score(classes, [1] * 100)["nmi"] == 0
    assert 1 - 1e-12 < score(classes, classes)["nmi"] <= 1


def test_by_hand() -> None:
    """Category × class counts [[3, 0, 1], [2, 0, 0], [0, 1, 1]].

    One to one: 3 + 0 + 1 = 4 with the diagonal permuted (0→0, 1→1 or 2→…): the best is 0→0 (3),
    1→2 (0), 2→1 (1) or 0→2 (1), 1→0 (2), 2→1 (1): both 4. Majority: 3 + 2 + 1 = 6.
    """
    category = [0] * 4 + [1] * 2 + [2] * 2
    labels = [0, 0, 0, 2, 0, 0, 1, 2]
    found = score(category, labels)
    assert found["one_to_one"] == 4 / 8
    assert found["majority"] == 6 / 8
    assert found["chance_majority"] == 5 / 8


def test_merged_classes_cost_one_to_one_more_than_majority_says() -> None:
    """Two classes in one category, the third split in two: ⅔ by majority, ½ one to one."""
    category, labels = [0] * 4 + [1, 2], [0, 0, 1, 1, 2, 2]
    found = score(category, labels)
    assert found["majority"] == pytest.approx(4 / 6)
    assert found["one_to_one"] == pytest.approx(3 / 6)


def test_chance_of_other_numbers_of_categories() -> None:
    """K = 10 categories, 2 classes: only two categories can be right, each half the time."""
    found = score(list(range(10)) * 2, [0] * 10 + [1] * 10, categories=10)
    assert found["chance_one_to_one"] == pytest.approx(2 / 20)
    assert found["one_to_one"] == pytest.approx(2 / 20)


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="no discrete part"):
        classification.score(Codes(np.zeros((2, 1))), np.array([0, 1]))
    with pytest.raises(UserError, match="2 codes for 3 labels"):
        score([0, 1], [0, 1, 2])
