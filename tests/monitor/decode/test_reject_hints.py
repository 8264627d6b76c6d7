"""Hints on rejects name paths and types, never a value."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from monitor.config.model import ModelSection
from monitor.decode.json import JsonDecoder
from monitor.decode.label_reader import LabelReader
from monitor.decode.readers import ModelReader
from monitor.decode.reject_hints import hints_of, kind, no_features
from monitor.reference.build import load_references
from monitor.rows.records import Messages, Partition

SECRET = "do-not-repeat-me"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ModelReader:
    path = tmp_path_factory.mktemp("hints") / "reference.parquet"
    pd.DataFrame({"x": [1.0, 2.0] * 50, "p": [0, 1] * 50}).to_parquet(path)
    columns = {"timestamp": "meta.t", "prediction": "p", "model": "name"}
    model = ModelSection.model_validate({"name": "m", "task": "binary", "reference": path, "columns": columns})
    return ModelReader(model, load_references(model), with_ids=False)


def hints(reader: ModelReader | LabelReader, reasons: dict[int, str], *records: object) -> dict[str, str]:
    values = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    chunk = Messages(Partition("t", 0), np.arange(len(values)), values)
    raw = JsonDecoder(reader.kinds(), 10_000, 10).decode(chunk)
    return hints_of(raw, raw.rejects | reasons, [reader], chunk)


def test_the_first_reject_of_each_reason_is_described(reader: ModelReader) -> None:
    found = hints(
        reader,
        {1: "no_timestamp", 2: "bad_timestamp", 3: "bad_timestamp", 4: "no_model", 5: "future"},
        b"\x1f\x8b" + SECRET.encode(),
        {"p": SECRET},
        {"meta": {"t": {"s": SECRET}}},
        {"meta": {"t": SECRET}},
        {"meta": {"t": 1}, "name": SECRET},
        {"meta": {"t": 9e12}},
    )
    assert found == {
        "malformed": "found gzip data",
        "no_timestamp": "at 'meta.t': found nothing",
        "bad_timestamp": "at 'meta.t': found an object",
        "no_model": "at 'name': found another name",
        "future": "at 'meta.t': further ahead of the clock than max_future_skew allows",
    }
    assert SECRET not in str(found)


def test_labels_are_described_and_reasons_without_a_place_are_not() -> None:
    columns = {"timestamp": "t", "prediction": "p", "id": "id", "label": "y"}
    model = ModelSection.model_validate({"name": "m", "task": "regression", "reference": "r", "columns": columns})
    reader = LabelReader(model, None, [("value", "<f8")])
    found = hints(reader, {0: "no_label", 1: "bad_label", 2: "past"}, {"t": 1}, {"y": [SECRET]}, {"t": 1})
    assert found == {
        "no_label": "at 'y': found nothing",
        "bad_label": "at 'y': found an array that is no label of the reference",
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "nothing"), (True, "true or false"), (1.5, "a number"), ("x", "text"), ((), "an array"), ({}, "an object"),
     (datetime(2024, 1, 1, tzinfo=UTC), "a date")],
)  # fmt: skip
def test_types_have_names(value: object, words: str) -> None:
    assert kind(value) == words


def test_what_was_looked_for_is_named_beside_what_is_there() -> None:
    chunk = Messages(Partition("t", 0), np.array([0]), [b'{"b": 1, "a": 2}'])
    raw = JsonDecoder({"in.x": "number"}, 1_000, 10).decode(chunk)
    assert no_features(raw, 0, ["in.x"]) == "looked for in.x; the record has a, b"
