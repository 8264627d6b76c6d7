"""Of several labels of one prediction the latest counts; a brute-force loop says the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.labels.latest import fields_of, latest, same, together, with_fields

LABEL = np.dtype([("value", "<f8"), ("weight", "<f8")])


@given(
    st.integers(1, 4).flatmap(
        lambda count: st.tuples(
            st.lists(st.integers(0, 5), min_size=count, max_size=count),
            st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, 5)), max_size=12),
        )
    )
)
def test_the_greatest_time_counts_and_of_equal_times_the_later_row(
    given_rows: tuple[list[int], list[tuple[int, int]]],
) -> None:
    first, more = given_rows
    group = np.array([*range(len(first)), *(number for number, _ in more)], dtype=np.int64)
    at = np.array([*first, *(time for _, time in more)], dtype=np.int64)
    before, ends = latest(group, at, len(first))
    counting = {number: number for number in range(len(first))}
    for row in range(len(first), len(group)):
        number = int(group[row])
        assert before[row] == counting[number]
        if at[row] >= at[counting[number]]:
            counting[number] = row
    assert ends.tolist() == [counting[number] for number in range(len(first))]


def test_without_rows_there_is_none() -> None:
    none = np.zeros(0, dtype=np.int64)
    before, ends = latest(none, none, 0)
    assert (before.size, ends.size) == (0, 0)


def test_nan_equals_nan_and_every_field_counts() -> None:
    left = np.array([(1.0, np.nan), (1.0, 2.0), (np.nan, 0.0)], dtype=LABEL)
    right = np.array([(1.0, np.nan), (1.0, 3.0), (np.nan, 0.0)], dtype=LABEL)
    assert same(left, right).tolist() == [True, False, True]


def test_fields_are_put_before_a_label_and_taken_out_again() -> None:
    wide = with_fields(LABEL, [("at", "<i8")])
    assert wide.names == ("at", "value", "weight")
    rows = np.array([(7, 1.0, 2.0), (8, 3.0, np.nan)], dtype=wide)
    assert same(fields_of(rows, LABEL), np.array([(1.0, 2.0), (3.0, np.nan)], dtype=LABEL)).all()


def test_batches_follow_one_another() -> None:
    one = (["a"], np.array([1]), np.array([(1.0, 1.0)], dtype=LABEL))
    two = ([2, "c"], np.array([2, 3]), np.array([(2.0, 1.0), (3.0, 1.0)], dtype=LABEL))
    assert together([one]) is one
    ids, times, values = together([one, two])
    assert (ids, times.tolist(), values["value"].tolist()) == (["a", 2, "c"], [1, 2, 3], [1.0, 2.0, 3.0])
