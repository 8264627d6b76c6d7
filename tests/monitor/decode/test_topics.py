"""From raw messages to the rows of each model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detectors.layout import HIGH, INVALID, MISSING
from monitor.config.model import ModelSection
from monitor.config.schema import IngestSection
from monitor.decode.readers import ModelReader
from monitor.decode.topics import TopicDecoder
from monitor.reference.build import load_references
from monitor.rows.records import Decoded, Messages, Partition, Table

NOW = 1_700_000_000_000
LIMITS = IngestSection.model_validate({"max_future_skew": "5m"})


def section(folder: Path, name: str, **columns: object) -> ModelSection:
    path = folder / f"{name}.parquet"
    pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "job": ["a", "a", "b", "b"], "prediction": [0, 1, 0, 1]}).to_parquet(
        path
    )
    return ModelSection.model_validate(
        {
            "name": name,
            "task": "binary",
            "reference": path,
            "segments": ["job"],
            "columns": {"timestamp": "at", "prediction": "prediction", "version": "version", **columns},
        }
    )


def router(*models: ModelSection, keep: bool = False) -> TopicDecoder:
    return TopicDecoder([ModelReader(model, load_references(model), with_ids=False) for model in models], LIMITS, keep)


def decode(found: TopicDecoder, *records: object) -> Decoded:
    values = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    return found.decode(Messages(Partition("t", 0), np.arange(5, 5 + len(values)), values), NOW)


def test_values_become_codes_times_versions_and_segments(tmp_path: Path) -> None:
    found = decode(
        router(section(tmp_path, "m")),
        {"at": NOW, "age": 20, "job": "a", "prediction": 1, "version": 3},
        {"at": "2023-11-14T22:13:20Z", "age": None, "job": "c", "prediction": 1.0},
        {"at": NOW / 1000, "age": "x", "job": None, "prediction": "1", "version": "v"},
    )
    (rows,) = found.models
    assert rows.times.tolist() == [NOW, NOW, NOW]
    # The segment column is a feature as well; so subjects are age, job and prediction.
    assert rows.codes[:, 0].tolist() == [0, MISSING, INVALID]
    assert rows.codes[1, 1] == HIGH
    assert len(set(rows.codes[:, 2].tolist())) == 1
    assert rows.versions.tolist() == ["3", "-", "v"]
    assert rows.segments[0].tolist() == ["job=a", "job=c", None]
    assert found.next_offset == 8


def test_rejects_have_their_reasons_and_their_messages_when_wanted(tmp_path: Path) -> None:
    found = decode(
        router(section(tmp_path, "m"), keep=True),
        {"age": 20},
        {"at": "soon"},
        {"at": NOW + 10 * 60_000},
        {"at": NOW + 4 * 60_000},
        b"rubbish",
    )
    assert found.rejects == {0: "no_timestamp", 1: "bad_timestamp", 2: "future", 4: "malformed"}
    assert found.values[4] == b"rubbish"
    assert found.models[0].index.tolist() == [3]


def test_a_topic_of_two_models_is_shared_out_by_the_name_in_the_record(tmp_path: Path) -> None:
    both = router(section(tmp_path, "one", model="model"), section(tmp_path, "2", model="model"))
    found = decode(both, {"at": NOW, "model": "one"}, {"at": NOW, "model": 2}, {"at": NOW, "model": "x"}, {"at": NOW})
    assert {rows.model: rows.index.tolist() for rows in found.models} == {"one": [0], "2": [1]}
    assert found.rejects == {2: "no_model", 3: "no_model"}


def test_nested_records_are_read_below_features_at(tmp_path: Path) -> None:
    model = section(tmp_path, "m", timestamp="meta.at", prediction="out.prediction", features_at="in")
    found = decode(router(model), {"meta": {"at": NOW}, "in": {"age": 50, "job": "b"}, "out": {"prediction": 1}})
    assert found.models[0].codes[0].tolist()[:2] == [3, 1] or found.models[0].segments[0].tolist() == ["job=b"]
    assert MISSING not in found.models[0].codes


def test_columns_of_a_parquet_log_give_the_same_rows_as_its_messages(tmp_path: Path) -> None:
    found = router(section(tmp_path, "m"))
    records = [{"at": NOW + row, "age": 20 + row, "job": "ab"[row % 2], "prediction": row % 2} for row in range(10)]
    columns = {name: [record[name] for record in records] for name in records[0]}
    table = found.decode(Table(Partition("t", 0), 5, 10, columns), NOW)
    messages = decode(found, *records)
    for one, two in zip(table.models, messages.models, strict=True):
        assert one.codes.tolist() == two.codes.tolist()
        assert one.times.tolist() == two.times.tolist()
        assert np.array_equal(one.z, two.z, equal_nan=True)
    assert table.offsets.tolist() == messages.offsets.tolist()


@pytest.mark.parametrize("hostile", [[1], {"a": 1}, True, 1e308, "\ud800".encode("utf-16", "surrogatepass").hex()])
def test_any_json_value_anywhere_is_taken(tmp_path: Path, hostile: object) -> None:
    found = decode(
        router(section(tmp_path, "m")),
        {"at": NOW, "age": hostile, "job": hostile, "prediction": hostile, "version": hostile},
        {"at": hostile},
    )
    assert 0 in found.models[0].index
