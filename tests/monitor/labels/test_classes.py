"""Classes of several references together, and the number of each in one of them."""

from __future__ import annotations

import math

from detectors.performance.binary import Binary
from detectors.performance.multiclass import Multiclass
from detectors.performance.regression import Regression
from monitor.labels.classes import all_classes, all_names, translation
from monitor.reference.performance import PerformanceProfile
from monitor.reference.scorer import Scorer


def binary(positive: str, negatives: tuple[str, ...] | None) -> PerformanceProfile:
    return PerformanceProfile(("other", positive), Scorer(Binary((0.0, 0.5, 1.0))), negatives=negatives)


def multiclass(*classes: str) -> PerformanceProfile:
    return PerformanceProfile(classes, Scorer(Multiclass(classes, ())))


NUMBERS = PerformanceProfile(None, Scorer(Regression(1.0)))


def test_each_class_is_named_once_in_the_order_of_its_first_reference() -> None:
    assert all_classes([multiclass("b", "a"), multiclass("a", "c")]) == ("b", "a", "c")
    assert all_classes([NUMBERS]) is None
    assert all_names([NUMBERS], binary=False) is None


def test_a_class_of_one_reference_is_unknown_to_another() -> None:
    older, newer = multiclass("b", "a"), multiclass("a", "c")
    every = all_classes([older, newer])
    found = translation(every, newer)
    assert found is not None
    assert [None if math.isnan(number) else number for number in found.tolist()] == [None, 0.0, 1.0]
    assert translation(("b", "a"), older) is None
    assert translation(None, NUMBERS) is None


def test_negatives_of_all_references_are_known_if_each_knows_its_own() -> None:
    names = all_names([binary("yes", ("no",)), binary("yes", ("maybe",))], binary=True)
    assert names is not None
    assert [names.number(value) for value in ("yes", "no", "maybe", "never")] == [1.0, 0.0, 0.0, -1.0]
    unsure = all_names([binary("yes", ("no",)), binary("yes", None)], binary=True)
    assert unsure is not None
    assert unsure.number("never") == 0.0


def test_what_is_positive_in_one_binary_reference_is_no_label_in_another() -> None:
    first, second = binary("yes", ("no",)), binary("sure", ("no",))
    found = translation(all_classes([first, second]), first)
    assert found is not None
    assert found[:2].tolist() == [0.0, 1.0]
    assert math.isnan(found[2])
