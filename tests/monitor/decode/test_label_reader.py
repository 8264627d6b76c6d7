"""Label records of every task as rows, or a reason why one cannot be used."""

from __future__ import annotations

from typing import Any

import numpy as np

from monitor.config.model import ModelSection
from monitor.decode.label_reader import LabelReader
from monitor.reference.scorer import MAX_RELEVANT
from monitor.rows.class_names import ClassNames
from monitor.rows.ids import hash_ids
from monitor.rows.records import LabelRows, RawColumns

NUMBER = [("value", "<f8")]
RELEVANT = [(f"item{place}", "<u8") for place in range(MAX_RELEVANT)] + [
    (f"gain{place}", "<f8") for place in range(MAX_RELEVANT)
]


def section(task: str, **labels: object) -> ModelSection:
    columns = {"timestamp": "t", "prediction": "p", "id": "id", "label": "y", "model": "model"}
    return ModelSection.model_validate(
        {"name": "m", "task": task, "reference": "r", "columns": columns, "labels": labels}
    )


def read(reader: LabelReader, values: list[Any], index: list[int] | None = None) -> tuple[LabelRows, dict[int, str]]:
    size = len(values)
    raw = RawColumns(
        {"y": values, "id": [f"id{row}" for row in range(size)]}, np.arange(size), np.zeros(size, dtype=np.int64), {}
    )
    return reader.rows(raw, np.arange(size) * 10, np.array(range(size) if index is None else index, dtype=np.int64))


def test_paths_are_those_of_predictions_unless_labels_have_their_own() -> None:
    plain = LabelReader(section("regression"), None, NUMBER)
    assert plain.kinds() == {"id": "any", "y": "any", "model": "any", "t": "time"}
    own = LabelReader(section("regression", id="key", label="truth", timestamp="known"), None, NUMBER)
    assert own.kinds() == {"key": "any", "truth": "any", "model": "any", "known": "time"}


def test_classes_are_numbers_and_the_rest_has_a_reason() -> None:
    names = ClassNames(("other", "yes"), ("no",), binary=True)
    found, faults = read(
        LabelReader(section("binary"), names, NUMBER), ["yes", "no", None, " ", "maybe", ["yes"], True]
    )
    assert found.values["value"].tolist() == [1.0, 0.0, 1.0]
    assert (found.index.tolist(), found.times.tolist()) == ([0, 1, 6], [0, 10, 60])
    assert list(found.ids) == ["id0", "id1", "id6"]
    assert faults == {2: "no_label", 3: "no_label", 4: "bad_label", 5: "bad_label"}


def test_only_the_rows_asked_for_are_read() -> None:
    found, faults = read(LabelReader(section("regression"), None, NUMBER), [1, "x", 2.5, None, float("inf")], [2, 3, 4])
    assert (found.index.tolist(), found.values["value"].tolist()) == ([2], [2.5])
    assert faults == {3: "no_label", 4: "bad_label"}


def test_relevant_items_are_a_list_or_have_gains_the_greatest_first() -> None:
    many = [str(number) for number in range(MAX_RELEVANT + 5)]
    values: list[Any] = [["a", "b"], {"a": 1, "b": 3, "c": "x"}, [], many, "a", None]
    found, faults = read(LabelReader(section("ranking"), None, RELEVANT), values)
    a, b = hash_ids(["a", "b"])[0].tolist()
    assert found.index.tolist() == [0, 1, 2, 3]
    assert [found.values[name].tolist()[:3] for name in ("item0", "item1", "item2")] == [
        [a, b, 0],
        [b, a, 0],
        [0, 0, 0],
    ]
    assert [found.values[name].tolist()[:3] for name in ("gain0", "gain1", "gain2")] == [
        [1.0, 3.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0],
    ]  # fmt: skip
    assert found.values[f"gain{MAX_RELEVANT - 1}"].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert faults == {4: "bad_label", 5: "no_label"}
