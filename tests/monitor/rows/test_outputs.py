"""Outputs of every task as numbers; what is missing or no number is NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monitor.config.model import ModelSection
from monitor.rows.class_names import ClassNames
from monitor.rows.ids import hash_ids
from monitor.rows.outputs import OutputReader, hash_lists
from monitor.rows.records import RawColumns

NAN = np.nan


def section(task: str, columns: dict[str, Any], **more: Any) -> ModelSection:
    named = {"timestamp": "t", "prediction": "p", **columns}
    return ModelSection.model_validate({"name": "m", "task": task, "reference": "r", "columns": named, **more})


def raw(**columns: list[object]) -> RawColumns:
    size = len(next(iter(columns.values())))
    return RawColumns(columns, np.arange(size), np.zeros(size, dtype=np.int64), {})


def binary(columns: dict[str, Any], **more: Any) -> OutputReader:
    names = ClassNames(("other", "yes"), ("no",), binary=True)
    return OutputReader(section("binary", columns, **more), ("other", "yes"), names, with_ids=True)


def test_a_binary_model_is_read_by_its_classes() -> None:
    reader = binary({"score": "s", "id": "id"})
    assert (reader.paths, reader.width) == (["p", "s", "id"], 1)
    rows = raw(p=["yes", "no", "maybe", None], s=[0.9, "0.1", None, float("inf")], id=["a", "b", "c", 4])
    found = reader.read(rows, range(4))
    np.testing.assert_array_equal(found.predicted, [1.0, 0.0, NAN, NAN])
    np.testing.assert_array_equal(found.scores[:, 0], [0.9, NAN, NAN, NAN])
    assert list(found.ids or ()) == ["a", "b", "c", 4]
    some = reader.read(rows, [2, 0])
    np.testing.assert_array_equal(some.predicted, [NAN, 1.0])
    assert list(some.ids or ()) == ["c", "a"]


def test_a_threshold_decides_instead_of_the_prediction() -> None:
    reader = binary({"score": "s"}, performance={"threshold": 0.7})
    found = reader.read(raw(p=["no", "yes", "yes"], s=[0.7, 0.69, None]), range(3))
    np.testing.assert_array_equal(found.predicted, [1.0, 0.0, NAN])


def test_probabilities_count_for_all_classes_or_for_none() -> None:
    names = ClassNames(("a", "b"), None, binary=False)
    whole = OutputReader(section("multiclass", {"score": {"b": "sb", "a": "sa"}}), ("a", "b"), names, with_ids=False)
    assert whole.paths == ["p", "sa", "sb"]
    found = whole.read(raw(p=["b", "c"], sa=[0.2, 0.5], sb=[0.8, 0.5]), range(2))
    assert found.scores.tolist() == [[0.2, 0.8], [0.5, 0.5]]
    assert found.predicted.tolist() == [1.0, -1.0]
    part = OutputReader(section("multiclass", {"score": {"a": "sa"}}), ("a", "b"), names, with_ids=False)
    assert (part.paths, part.width) == (["p"], 0)


def test_a_regression_has_limits() -> None:
    reader = OutputReader(section("regression", {"lower": "lo", "upper": "hi"}), None, None, with_ids=False)
    found = reader.read(raw(p=[1, "x", float("nan")], lo=[0.5, 1, None], hi=[2, float("-inf"), 3]), range(3))
    np.testing.assert_array_equal(found.predicted, [1.0, NAN, NAN])
    np.testing.assert_array_equal(found.low, [0.5, 1.0, NAN])
    np.testing.assert_array_equal(found.high, [2.0, NAN, 3.0])


def test_a_ranking_is_hashes_of_its_first_items() -> None:
    reader = OutputReader(section("ranking", {}, performance={"k": 2}), None, None, with_ids=False)
    found = reader.read(raw(p=[["a", "b", "c"], ["b"], [], "abc", None]), range(5))
    a, b = hash_ids(["a", "b"])[0]
    assert found.items.tolist() == [[a, b], [b, 0], [0, 0], [0, 0], [0, 0]]
    np.testing.assert_array_equal(found.predicted, [0.0, 0.0, NAN, NAN, NAN])


@pytest.mark.parametrize("values", [[], [[]], [[None, "a"], ("a",)]])
def test_items_without_an_id_are_none(values: list[Any]) -> None:
    found = hash_lists(values, 2)
    assert found.shape == (len(values), 2)
    wanted = [[bool(item) for item in (*value, None, None)[:2]] for value in values]
    assert (found != 0).tolist() == wanted
