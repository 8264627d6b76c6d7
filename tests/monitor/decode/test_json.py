"""JSON messages of every shape, good and bad: each record is read or counted with its reason."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.layout import HIGH
from monitor.decode.json import JsonDecoder
from monitor.rows.categories import label
from monitor.rows.records import Messages, Partition, RawColumns
from monitor.rows.values import category_coder

PATHS = {"age": "number", "job": "any", "meta.at": "time", "meta.run.id": "any"}


def decode(*values: bytes | None, max_bytes: int = 10_000, max_rows: int = 4) -> RawColumns:
    offsets = np.arange(7, 7 + len(values))
    return JsonDecoder(PATHS, max_bytes, max_rows).decode(Messages(Partition("t", 0), offsets, values))


def rows(found: RawColumns) -> list[tuple[object, ...]]:
    return list(zip(*(found.columns[path] for path in PATHS), strict=True))


def test_flat_and_nested_fields_are_found_by_dotted_paths() -> None:
    found = decode(b'{"age": 40, "job": "x", "meta": {"at": 1, "run": {"id": 7}}, "other": [1, {"a": 2}]}')
    assert rows(found) == [(40.0, "x", 1, 7)]
    assert found.rejects == {}


def test_what_is_absent_or_null_at_any_depth_is_missing() -> None:
    found = decode(b"{}", b'{"meta": null}', b'{"meta": {"run": null}}', b'{"age": null}')
    assert rows(found) == [(None, None, None, None)] * 4


def test_an_array_is_many_records_each_with_its_place() -> None:
    found = decode(b'{"age": 1}', b'[{"age": 2}, {"age": 3}]', b"[]", b'{"age": 4}')
    assert [row[0] for row in rows(found)] == [1, 2, 3, 4]
    assert found.offsets.tolist() == [7, 8, 8, 10]
    assert found.within.tolist() == [0, 0, 1, 0]


def test_numbers_that_json_does_not_have_reach_the_row_in_a_second_pass() -> None:
    found = decode(b'{"age": NaN}', b'{"age": 1e999}', b'{"age": -Infinity}', b'{"age": "forty", "job": 1}')
    ages = [row[0] for row in rows(found)]
    assert np.isnan(ages[0])  # type: ignore[call-overload]
    assert ages[1:] == [np.inf, -np.inf, "forty"]
    assert found.rejects == {}


def test_one_bad_record_in_an_array_does_not_take_the_others_with_it() -> None:
    found = decode(b'[{"age": 1}, 5, {"age": "x"}, null]')
    assert found.rejects == {1: "malformed", 3: "malformed"}
    assert [row[0] for row in rows(found)] == [1, None, "x", None]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "malformed"),
        (b"nonsense", "malformed"),
        (b'{"age": 1', "malformed"),
        (b'"text"', "malformed"),
        (b"5", "malformed"),
        (b"\xff\xfe{}", "malformed"),
        (b"[" * 5_000, "malformed"),
        (b'{"age": 1}' + b" " * 10_000, "too_large"),
        (b"[{}, {}, {}, {}, {}]", "too_large"),
        (b"[{}, {}, {}, {}, NaN]", "too_large"),
    ],
)
def test_what_cannot_be_read_is_a_reject_with_its_reason(value: bytes | None, reason: str) -> None:
    found = decode(b'{"age": 1}', value, b'{"age": 2}')
    assert found.rejects == {1: reason}
    assert [row[0] for row in rows(found)] == [1, None, 2]


DEEP = 100_000


@pytest.mark.parametrize(
    "value",
    [
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"meta":' * DEEP + b"1" + b"}" * DEEP,
        b'{"job": ' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"age": NaN, "job": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    ],
    ids=["open", "arrays", "objects", "a feature", "a feature in the second pass"],
)
def test_deep_nesting_is_a_reject_and_its_neighbours_are_rows(value: bytes) -> None:
    found = decode(b'{"age": 1}', value, b'{"age": 2}', max_bytes=10 * DEEP)
    assert found.rejects == {1: "malformed"}
    assert [row[0] for row in rows(found)] == [1, None, 2]


@pytest.mark.parametrize("half", [b"\\ud800", b"\xed\xa0\x80"], ids=["escaped", "in bytes"])
def test_half_a_character_is_a_value_like_any_other(half: bytes) -> None:
    found = decode(b'{"age": 1, "job": "x%s", "%s": 2}' % (half, half))
    assert found.rejects == {}
    assert rows(found) == [(1, "x\ud800", None, None)]
    coder = category_coder(["x"], [], open_vocabulary=False)
    assert coder.encode(found.columns["job"])[0].tolist() == [HIGH]
    assert label("x\ud800") == "x?"


scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text()
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["age", "job", "meta", "at"]), inner),
    max_leaves=12,
)


def look_up(record: Any, path: str) -> object:
    for key in path.split("."):
        record = record.get(key) if isinstance(record, dict) else None
    return record


@given(st.lists(documents, min_size=1, max_size=6))
def test_both_passes_read_what_the_standard_library_reads(values: list[Any]) -> None:
    found = decode(*(json.dumps(value).encode() for value in values), max_rows=100)
    expected = [
        tuple(look_up(record, path) for path in PATHS) if isinstance(record, dict) else None
        for value in values
        for record in (value if isinstance(value, list) else [value])
    ]
    assert [row for row, _ in enumerate(expected) if expected[row] is None] == sorted(found.rejects)
    assert len(found.offsets) == len(expected)
    for row, wanted in zip(rows(found) if expected else [], expected, strict=True):
        if wanted is not None:
            assert all(same(*pair) for pair in zip(row, wanted, strict=True)), (row, wanted)


def same(found: Any, wanted: Any) -> bool:
    # The typed pass may make a time of a text, or of an integer the nearest float.
    if isinstance(found, float) and isinstance(wanted, int) and abs(wanted) < 10**300:
        return found == float(wanted)
    return found == wanted or (hasattr(found, "isoformat") and isinstance(wanted, str))


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise(value: bytes) -> None:
    found = decode(value)
    assert len(found.offsets) >= 0


SHORT_AND_LONG = {"addr": "any", "addr.zip": "number", "in.a": "any", "in.a.b.c": "any", "t": "time"}


@pytest.mark.parametrize("tolerant", [b"", b', "t": NaN'])
def test_a_path_that_begins_another_one_is_read_beside_it(tolerant: bytes) -> None:
    records = [
        b'{"addr": "x", "addr.zip": 1, "in": {"a": 2, "a.b.c": 3}%b}',
        b'{"addr": {"zip": 1}, "in": {"a": {"b": {"c": 3}}}%b}',
        b'{"addr": "x"%b}',
        b'{"addr.zip": 1%b}',
    ]
    values = [record.replace(b"%b", tolerant) for record in records]
    found = JsonDecoder(SHORT_AND_LONG, 10_000, 4).decode(Messages(Partition("t", 0), np.arange(4), values))
    read = list(zip(*(found.columns[path] for path in list(SHORT_AND_LONG)[:4]), strict=True))
    assert read == [
        ("x", 1, 2, 3),
        ({"zip": 1}, 1, {"b": {"c": 3}}, 3),
        ("x", None, None, None),
        (None, 1, None, None),
    ]
    assert found.rejects == {}


def test_names_with_quotes_and_backslashes_are_read() -> None:
    paths = {'q"u': "number", "b\\s.x": "any", "t": "time"}
    values = [b'{"q\\"u": 1, "b\\\\s": {"x": "y"}, "t": 5}', b"[1, 2]", b"{}"]
    found = JsonDecoder(paths, 10_000, 4).decode(Messages(Partition("t", 0), np.arange(3), values))
    assert list(zip(*(found.columns[path] for path in paths), strict=True))[::3] == [(1, "y", 5), (None, None, None)]
    assert found.rejects == {1: "malformed", 2: "malformed"}
