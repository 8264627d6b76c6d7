"""Times, durations and categories as people and producers write them."""

from __future__ import annotations

import math
import re
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.moments import rfc3339
from detectors.layout import COLUMNS, HIGH, INVALID, LOW, MISSING, NONFINITE
from monitor.common.durations import duration_of, format_duration, parse_duration
from monitor.common.event_time import to_milliseconds
from monitor.rows.categories import canonical, label
from monitor.rows.values import NumericSubject, category_coder, to_numbers

MOMENT = 1_364_882_400_123  # 2013-04-02T06:00:00.123Z


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_364_882_400, 1_364_882_400_000),
        (1_364_882_400.123, MOMENT),
        (MOMENT, MOMENT),
        (float(MOMENT), MOMENT),
        (MOMENT * 1000 + 7, MOMENT),
        (MOMENT * 1_000_000 + 7, MOMENT),
        ("2013-04-02T06:00:00.123Z", MOMENT),
        ("2013-04-02T08:00:00.123+02:00", MOMENT),
        ("2013-04-02 06:00:00.123Z", MOMENT),
        ("2013-04-02T06:00:00.123", MOMENT),
        (datetime(2013, 4, 2, 6, 0, 0, 123_999, tzinfo=UTC), MOMENT),
        (datetime(2013, 4, 2, 8, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=2))), MOMENT),
        (0, 0),
        (-1.5, -1500),
    ],
)
def test_times_are_told_by_their_size_or_text(value: object, expected: int) -> None:
    assert to_milliseconds(value) == expected


@pytest.mark.parametrize("value", [None, True, "yesterday", "", "2013", [], {}, 1e30, math.nan, math.inf, "1364882400"])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        to_milliseconds(value)


@given(st.integers(0, 4_102_444_800_000))
def test_times_survive_being_written(moment: int) -> None:
    assert to_milliseconds(rfc3339(moment)) == moment


@given(st.integers(1, 10**11))
def test_durations_survive_being_written(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds)) == milliseconds


@pytest.mark.parametrize("text", ["", "1", "m", "1 m", "1m ", "-1m", "1.5h", "1y", "1h-30m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^got "):
        parse_duration(text)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (3600, '"3600s" or "1h"'), (86_400.0, '"86400s" or "1d"'), (5, '"5s" or "5m"'), (1.5, '"1500ms" or "1m30s"'),
        ("3600", '"3600s" or "1h"'), ("15 minutes", 'did you mean "15m"?'), ("1 hour 30 min", 'did you mean "1h30m"?'),
        ("5M", 'did you mean "5m"?'), ("-5m", "must not be negative"), (-1, "must not be negative"),
        (0, "needs a unit"), (True, "in quotes"), ([], "in quotes"), (math.inf, "needs a unit"),
        (math.nan, "needs a unit"),
        ("9" * 400 + " min", "write a number and a unit"), ("99999999999w", "a hundred years"),
    ],
)  # fmt: skip
def test_a_duration_without_a_unit_is_refused_with_its_likely_spellings(value: object, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        duration_of(value)


def test_one_category_however_it_is_typed() -> None:
    assert {canonical(value) for value in (1, 1.0, "1", True)} == {"1"}
    assert canonical(0.5) == "0.5"
    assert canonical(math.nan) is None
    assert canonical(None) is None
    with pytest.raises(TypeError):
        canonical([1])


def test_labels_are_printable_valid_and_short() -> None:
    assert label("a\nb\x00c") == "a?b?c"
    assert label("\ud800x") == "?x"
    assert label("é" * 500) == "é" * 120
    assert label({"a": 1}) is None


def test_numbers_are_binned_and_standardised_and_the_rest_is_told_apart() -> None:
    subject = NumericSubject(np.array([0.0, 1.0, 2.0]), location=1.0, scale=0.5)
    codes, z = subject.encode([0.0, 0.5, 1.0, 2.0, -1, 3, None, math.nan, math.inf, "1", [1], 10**400, True])
    assert codes.tolist() == [0, 0, 1, 1, LOW, HIGH, MISSING, MISSING, NONFINITE, INVALID, INVALID, NONFINITE, 1]
    assert np.isnan(z[6:12]).all()
    assert z[:6].tolist() == [-2.0, -1.0, 0.0, 2.0, -4.0, 4.0]


def test_text_is_never_taken_for_a_number() -> None:
    numbers, invalid = to_numbers(["1", "2"])
    assert np.isnan(numbers).all()
    assert invalid is not None
    assert invalid.all()


def test_lists_of_one_length_are_no_numbers() -> None:
    for values in ([[1, 2, 3]], [[1.0], [2.0]], [[], []]):
        numbers, invalid = to_numbers(values)
        assert numbers.shape == (len(values),)
        assert np.isnan(numbers).all()
        assert invalid is not None
        assert invalid.all()


def test_categories_have_their_bins_and_strangers_are_seen() -> None:
    coder = category_coder(["1", "red"], ["rare"], open_vocabulary=False)
    codes, _ = coder.encode([1, 1.0, True, "1", "red", "rare", "new", None, math.nan])
    assert codes.tolist() == [0, 0, 0, 0, 1, LOW, HIGH, MISSING, MISSING]
    codes, _ = coder.encode(["red", [1], {"a": 1}, 1])
    assert codes.tolist() == [1, INVALID, INVALID, 0]


def test_a_flood_of_new_categories_costs_no_memory() -> None:
    coder = category_coder(["red"], [], open_vocabulary=False)
    coder.encode(["warm", "red"])
    tracemalloc.start()
    for start in range(0, 100_000, 10_000):
        codes, _ = coder.encode([f"new-{number}" for number in range(start, start + 10_000)])
        assert set(codes.tolist()) == {HIGH}
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 100_000


def test_a_reference_with_more_categories_than_it_lists_calls_none_new() -> None:
    codes, _ = category_coder(["a"], [], open_vocabulary=True).encode(["b"])
    assert codes.tolist() == [LOW]


@given(st.lists(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3), max_size=20))
def test_every_value_falls_into_one_column(values: list[object]) -> None:
    subject = NumericSubject(np.array([0.0, 1.0, 2.0]), 1.0, 0.5)
    for codes, _ in (subject.encode(values), category_coder(["1"], ["2"], False).encode(values)):
        assert len(codes) == len(values)
        assert ((codes >= 0) & (codes < COLUMNS)).all()
