"""What is saved as JSON is read back as it was, numbers that JSON does not have included."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from monitor.common.array_json import from_json, to_json
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
    back = from_json(to_json(Outer(name, {3: Inner(number, held)}, maybe)), Outer)
    assert back.name == name
    np.testing.assert_array_equal(back.parts[3].held, held)
    np.testing.assert_equal((back.parts[3].number, back.maybe), (number, maybe))


def test_another_shape_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        from_json(b'{"name": 3}', Outer)


def test_traffic_of_which_nothing_is_known_yet_survives_a_restart() -> None:
    before, after = Traffic(HOUR, 1e-6), Traffic(HOUR, 1e-6)
    for hour in range(3):
        before.take(hour * HOUR, 100)
    after.restore(before.document())
    assert after.document() == before.document()
    assert math.isnan(after.finding().value)
