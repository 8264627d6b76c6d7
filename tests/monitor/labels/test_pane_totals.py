"""Totals of panes in sorted arrays hold what a dictionary holds, whatever is added, merged and dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.labels.pane_totals import PaneTotals

STEP = 10
Expected = dict[int, tuple[int, int, int]]


def add(totals: PaneTotals, panes: dict[int, tuple[int, int]]) -> None:
    starts = np.array(list(panes), dtype=np.int64) * STEP
    rows, labelled = np.array(list(panes.values()), dtype=np.int64).reshape(-1, 2).T
    totals.add(starts, starts + STEP, rows, labelled)


batches = st.dictionaries(
    st.integers(0, 60), st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8
)  # fmt: skip


@given(st.lists(batches, max_size=6), st.integers(0, 62))
def test_it_is_a_sorted_dictionary(added: list[dict[int, tuple[int, int]]], dropped: int) -> None:
    totals, expected = PaneTotals(), {}
    for panes in added:
        add(totals, panes)
        for number, (rows, labelled) in panes.items():
            _, old_rows, old_labelled = expected.get(number * STEP, (STEP, 0, 0))
            expected[number * STEP] = (STEP, old_rows + rows, old_labelled + labelled)
    assert dict(totals.saved()) == expected
    assert totals.starts.tolist() == sorted(expected)
    assert totals.between(100, 300) == [start for start in sorted(expected) if 100 <= start < 300]
    again = PaneTotals()
    again.restore(totals.saved())
    totals.drop_before(dropped * STEP)
    again.drop_before(dropped * STEP)
    wanted = {start: pane for start, pane in expected.items() if start + STEP > dropped * STEP}
    assert dict(totals.saved()) == dict(again.saved()) == wanted
    assert len(totals) == len(wanted)


def test_short_panes_become_one_long_one() -> None:
    totals = PaneTotals()
    add(totals, {number: (number, 1) for number in range(9)})
    totals.merge(np.array([0, 10, 20, 30, 40, 50]), 3 * STEP)
    assert dict(totals.saved()) == {
        0: (30, 0 + 1 + 2, 3), 30: (30, 3 + 4 + 5, 3), 60: (10, 6, 1), 70: (10, 7, 1), 80: (10, 8, 1),
    }  # fmt: skip
    # What comes for a merged pane is added to it.
    totals.add(*(np.array([value]) for value in (30, 60, 5, 2)))
    assert totals.saved()[30] == (30, 17, 5)


def test_more_panes_than_there_is_room_for() -> None:
    totals = PaneTotals()
    panes: Any = dict.fromkeys(range(3000), (1, 0))
    for first in range(0, 3_000, 100):
        add(totals, {number: panes[number] for number in range(first, first + 100)})
    assert len(totals) == 3_000
    assert totals.rows.sum() == 3_000
    assert (np.diff(totals.starts) == STEP).all()
