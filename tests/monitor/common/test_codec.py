"""What is saved is read back as it was, in MessagePack and in JSON, and corrupt arrays are refused."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from monitor.common.codec import CorruptError, decode, encode, from_json, to_json, to_plain_json
from monitor.evaluate.traffic import Traffic

HOUR = 3_600_000


@dataclass(frozen=True)
class Inner:
    number: float
    held: np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Outer:
    name: str
    parts: dict[int, Inner]
    maybe: float | None


@given(
    st.text(), st.floats(), st.none() | st.floats(),
    arrays(np.float64, array_shapes(max_dims=3, max_side=4, min_side=0), elements=st.floats()),
)  # fmt: skip
def test_dataclasses_with_arrays_come_back(name: str, number: float, maybe: float | None, held: Any) -> None:
    value = Outer(name, {3: Inner(number, held)}, maybe)
    for back in (from_json(to_json(value), Outer), decode(encode(value), Outer), decode(to_json(value), Outer)):
        assert back.name == name
        np.testing.assert_array_equal(back.parts[3].held, held)
        assert back.parts[3].held.shape == held.shape
        np.testing.assert_equal((back.parts[3].number, back.maybe), (number, maybe))


@given(arrays(np.float64, (2, 3), elements=st.floats(allow_infinity=False)) | arrays(np.int64, (2, 3)))
def test_plain_json_holds_nested_lists_and_null_for_nan(held: Any) -> None:
    kind = np.ndarray[Any, np.dtype[held.dtype.type]]
    raw = to_plain_json(held)
    assert json.loads(raw) == [[None if math.isnan(part) else part for part in row] for row in held.tolist()]
    back = from_json(raw, kind, strict=True)
    np.testing.assert_array_equal(back, held)
    assert back.dtype == held.dtype


def test_a_value_of_another_type_is_refused() -> None:
    for raw in (b'{"name": 3}', b"{", b"", b"[" * 100_000):
        with pytest.raises(CorruptError):
            from_json(raw, Outer)
        with pytest.raises(CorruptError):
            decode(raw, Outer)


@pytest.mark.parametrize(
    "packed",
    [
        {"dtype": "|O", "shape": [1], "data": bytes(8)},
        {"dtype": "O", "shape": [0], "data": b""},
        {"dtype": "f8,f8", "shape": [1], "data": bytes(16)},
        {"dtype": "<c16", "shape": [1], "data": bytes(16)},
        {"dtype": "<M8[s]", "shape": [1], "data": bytes(8)},
        {"dtype": "<f3", "shape": [1], "data": bytes(3)},
        {"dtype": "<f8", "shape": [2], "data": bytes(8)},
        {"dtype": "<f8", "shape": [-1], "data": bytes(8)},
        {"dtype": "<f8", "shape": [-1, -1], "data": bytes(8)},
        {"dtype": "<f8", "shape": [0, 2**62, 2**62], "data": b""},
        {"dtype": "<f8", "shape": [1] * 1_000, "data": bytes(8)},
        {"dtype": "<f8", "shape": [2**70], "data": bytes(8)},
        {"dtype": "<f8", "shape": [1]},
        [["1.5"]],
        [1.5, [2.5]],
        [{}],
        "1.5",
    ],
    ids=str,
)
def test_an_array_that_is_none_is_refused(packed: Any) -> None:
    with pytest.raises((CorruptError, OverflowError)) as caught:
        decode(encode({"number": 1.0, "held": packed}), Inner)
    assert isinstance(caught.value, CorruptError) or packed["shape"] == [2**70]


def test_an_array_of_numbers_that_its_type_cannot_hold_is_refused() -> None:
    whole = np.ndarray[Any, np.dtype[np.int64]]
    for raw in (encode(np.ones(2)), to_json(np.ones(2)), b"[1.5]", b"[null]", b"[9223372036854775808]"):
        with pytest.raises(CorruptError):
            from_json(raw, whole) if raw[:1] in b"{[" else decode(raw, whole)
    assert decode(encode(np.ones(2, dtype=np.int32)), whole).tolist() == [1, 1]


def test_traffic_of_which_nothing_is_known_yet_survives_a_restart() -> None:
    before, after = Traffic(HOUR, 1e-6), Traffic(HOUR, 1e-6)
    for hour in range(3):
        before.take(hour * HOUR, 100)
    after.restore(before.document())
    assert after.document() == before.document()
    assert math.isnan(after.finding().value)
