"""The newest mature window, against the definition said in a loop; and what the history of delays is good for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.common.durations import DAY
from monitor.labels.maturity import Arrivals, MatureWindow, MaturityPolicy, newest_mature
from monitor.windows.geometry import Window

WEEK = Window("3d", 3 * DAY, DAY)
PATIENCE = MaturityPolicy(max_delay=10 * DAY, memory=60 * DAY, share=0.9, min_labels=50)


def everywhere(times: np.ndarray) -> np.ndarray:
    return np.ones(len(times), dtype=np.bool_)


def arrivals(rows: list[int], labelled: list[int]) -> Arrivals:
    starts = np.arange(len(rows)) * DAY
    return Arrivals(starts, starts + DAY, np.array(rows), np.array(labelled))


def by_definition(rows: list[int], labelled: list[int], tick: int, after: int | None) -> int | None:
    """The end of the newest mature window in days."""
    settled = [day for day in range(len(rows)) if day + 1 + 10 <= tick and day + 1 > tick - 10 - 60]
    known = sum(rows[day] for day in settled)
    share = sum(labelled[day] for day in settled) / known if known >= 50 else None
    for end in range(tick, -1 if after is None else after, -1):
        days = list(range(max(end - 3, 0), min(end, len(rows))))
        seen, came = sum(rows[day] for day in days), sum(labelled[day] for day in days)
        enough = share is not None and came >= 50 and came >= 0.9 * share * seen
        if end > 0 and seen and (end + 10 <= tick or enough):
            return end
    return None


@given(
    days=st.lists(st.tuples(st.integers(0, 200), st.floats(0, 1)), min_size=1, max_size=40),
    tick=st.integers(0, 60),
    after=st.none() | st.integers(0, 40),
)
def test_the_newest_mature_window_is_that_of_the_definition(
    days: list[tuple[int, float]], tick: int, after: int | None
) -> None:
    rows = [count for count, _ in days]
    labelled = [int(count * share) for count, share in days]
    found = newest_mature(
        arrivals(rows, labelled), WEEK, None if after is None else after * DAY, tick * DAY, PATIENCE, everywhere
    )
    end = by_definition(rows, labelled, tick, after)
    assert found == (None if end is None else MatureWindow(WEEK, (end - 3) * DAY, end * DAY, tick * DAY))


def test_labels_that_come_at_once_are_not_waited_for() -> None:
    # Twenty days of history tell that labels are complete; those of the last days are, all but a few.
    full = newest_mature(arrivals([100] * 20, [100] * 20), WEEK, None, 20 * DAY, PATIENCE, everywhere)
    assert full is not None
    assert full.end == 20 * DAY
    young = newest_mature(arrivals([100] * 20, [100] * 19 + [60]), WEEK, None, 20 * DAY, PATIENCE, everywhere)
    assert young is not None
    assert young.end == 19 * DAY


def test_a_model_that_labels_one_in_five_does_not_wait_for_the_rest() -> None:
    found = newest_mature(arrivals([1_000] * 20, [200] * 20), WEEK, None, 20 * DAY, PATIENCE, everywhere)
    assert found is not None
    assert found.end == 20 * DAY


def test_without_history_the_longest_delay_is_waited_for() -> None:
    for tick, end in ((9, None), (11, 1), (12, 2)):
        found = newest_mature(arrivals([100] * 9, [100] * 9), WEEK, None, tick * DAY, PATIENCE, everywhere)
        if end is None:
            assert found is None
        else:
            # From the first settled day on the share that comes is known: all of it.
            assert found is not None
            assert found.end >= end * DAY


def test_a_window_is_judged_once() -> None:
    arrived = arrivals([100] * 20, [100] * 20)
    assert newest_mature(arrived, WEEK, 20 * DAY, 20 * DAY, PATIENCE, everywhere) is None


def test_no_pane_is_cut_in_two() -> None:
    def even(times: np.ndarray) -> np.ndarray:
        return np.asarray(times // DAY % 2 == 0)

    two = Window("2d", 2 * DAY, DAY)
    found = newest_mature(arrivals([100] * 19, [100] * 19), two, None, 19 * DAY, PATIENCE, even)
    assert found is not None
    assert found.end == 18 * DAY


def test_nothing_is_nothing() -> None:
    assert newest_mature(arrivals([], []), WEEK, None, 20 * DAY, PATIENCE, everywhere) is None
    assert arrivals([100], [30]).final_share(5 * DAY, PATIENCE) is None
    assert arrivals([100], [30]).final_share(11 * DAY, PATIENCE) == pytest.approx(0.3)
    assert arrivals([100], [30]).final_share(100 * DAY, PATIENCE) is None
