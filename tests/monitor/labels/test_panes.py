"""Panes get coarser, are saved, forgotten and read again: every sum over whole days stays what was added."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.common.durations import DAY, HOUR, MINUTE
from monitor.labels import panes as labelled_panes
from monitor.labels.panes import FINE, HOURLY, LabelledChange, LabelledPanes
from monitor.windows.lives import Lifetimes
from monitor.windows.series import ALL, SeriesKey

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHOLE, PART = SeriesKey("1", ALL), SeriesKey("1", "sex=f")
BEGIN = 20_000 * DAY


@dataclass
class Disk:
    """What the state's database does with a change, by its description."""

    held: dict[tuple[SeriesKey, int], tuple[int, NDArray[np.int64]]] = field(default_factory=dict)

    def labelled_panes(self, model: str, key: SeriesKey, start: int, end: int) -> list[tuple[int, NDArray[np.int64]]]:
        assert model == "m"
        return [
            (begin, vector.copy())
            for (name, begin), (_, vector) in sorted(self.held.items())
            if name == key and start <= begin < end
        ]

    def save(self, change: LabelledChange) -> None:
        for key in change.dropped:
            self.held = {name: found for name, found in self.held.items() if name[0] != key}
        for name in change.gone:
            self.held.pop(name, None)
        for key, start, step, vector in change.panes:
            self.held[key, start] = (step, vector.copy())
        if change.before is not None:
            before = change.before
            self.held = {name: found for name, found in self.held.items() if name[1] + found[0] > before}


def panes(disk: Disk, base: int = MINUTE, coarsest: int = DAY) -> LabelledPanes:
    return LabelledPanes("m", base, coarsest, disk, Lifetimes(DAY, base))


def put(into: LabelledPanes, key: SeriesKey, times: list[int], vectors: list[list[int]]) -> None:
    starts = into.pane_starts(np.array(times))
    for start in sorted(set(starts.tolist())):
        mine = np.array([vector for vector, own in zip(vectors, starts, strict=True) if own == start])
        into.add(key, np.array([start]), mine.sum(axis=0)[None])


def again(old: LabelledPanes, disk: Disk) -> LabelledPanes:
    """As after a restart, from what was saved."""
    new = panes(disk, old.base, old.coarsest)
    new.restore(old.saved_totals(), [(key, *life) for key, lives in old.lives.items() for life in lives])
    new.fine_from, new.hours_from = old.fine_from, old.hours_from
    return new


steps = st.one_of(
    st.tuples(
        st.just("add"), st.sampled_from([WHOLE, PART]), st.integers(0, 40 * DAY // MINUTE), st.integers(0, 3),
    ),
    st.tuples(st.just("age"), st.integers(0, 40)),
    st.tuples(st.sampled_from(["save", "forget", "restart", "ask"])),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(script=st.lists(steps, max_size=40), coarsest=st.sampled_from([MINUTE, HOUR, DAY]))
def test_sums_over_days_are_what_was_added(script: list[tuple[object, ...]], coarsest: int) -> None:
    disk = Disk()
    held = panes(disk, coarsest=coarsest)
    added: list[tuple[SeriesKey, int, NDArray[np.int64]]] = []
    for step in script:
        match step:
            case ("add", SeriesKey() as key, int() as minute, int() as labelled):
                time = BEGIN + minute * MINUTE + 17
                vector = np.array([3, labelled, minute % 7])
                # Every row of a segment is one of the whole.
                for name in {key, WHOLE}:
                    put(held, name, [time], [vector.tolist()])
                    added.append((name, time, vector))
            case ("age", int() as day):
                held.coarsen(BEGIN + day * DAY)
            case ("ask",):
                held.window(WHOLE, BEGIN, BEGIN + 41 * DAY)
            case ("save",) | ("forget",) | ("restart",):
                disk.save(held.change(None))
                with patch.object(labelled_panes, "_CACHE_BYTES", 0 if step == ("forget",) else 2**20):
                    held.mark_saved()
                if step == ("restart",):
                    held = again(held, disk)
    for key in (WHOLE, PART):
        for first, last in ((0, 41), (3, 4), (10, 38)):
            start, end = BEGIN + first * DAY, BEGIN + last * DAY
            own = [vector for name, time, vector in added if name == key and start <= time < end]
            found = held.window(key, start, end)
            assert (found is None) == (not own)
            if found is not None:
                np.testing.assert_array_equal(found, np.sum(own, axis=0))
    starts, ends, rows, labelled = held.arrays()
    whole = [vector for name, _, vector in added if name == WHOLE]
    assert rows.sum() == sum(int(vector[0]) for vector in whole)
    assert labelled.sum() == sum(int(vector[1]) for vector in whole)
    assert (starts[1:] >= ends[:-1]).all()


@pytest.mark.long
def test_panes_get_as_coarse_as_they_are_old() -> None:
    disk = Disk()
    held = panes(disk)
    minutes = [BEGIN + minute * MINUTE for minute in range(20 * 24 * 60)]
    for day in range(20):
        put(held, WHOLE, minutes[day * 1440 : (day + 1) * 1440], [[1, 0, 0]] * 1440)
    now = BEGIN + 20 * DAY
    held.coarsen(now)
    starts, ends, rows, _ = held.arrays()
    lengths = ends - starts
    ages = now - starts
    assert set(lengths[ages > HOURLY].tolist()) == {DAY}
    assert set(lengths[(ages > FINE) & (ages <= HOURLY)].tolist()) == {HOUR}
    assert set(lengths[ages <= FINE].tolist()) == {MINUTE}
    np.testing.assert_array_equal(rows, lengths // MINUTE)
    assert len(starts) == 6 + 12 * 24 + 2 * 1440


def test_a_late_label_goes_to_the_coarse_pane_of_its_prediction() -> None:
    disk = Disk()
    held = panes(disk)
    put(held, WHOLE, [BEGIN + 5 * HOUR], [[1, 0, 0]])
    disk.save(held.change(None))
    held.mark_saved()
    held.coarsen(BEGIN + 20 * DAY)
    put(held, WHOLE, [BEGIN + 5 * HOUR], [[0, 1, 1]])
    disk.save(held.change(None))
    assert {(start, step) for (_, start), (step, _) in disk.held.items()} == {(BEGIN, DAY)}
    np.testing.assert_array_equal(disk.held[WHOLE, BEGIN][1], [1, 1, 1])


def test_a_cache_that_is_full_is_let_go_and_read_again() -> None:
    disk = Disk()
    held = panes(disk)
    for minute in range(50):
        put(held, WHOLE, [BEGIN + minute * MINUTE], [[1, 0, minute]])
    held.window(WHOLE, BEGIN, BEGIN + DAY)
    disk.save(held.change(None))
    with patch.object(labelled_panes, "_CACHE_BYTES", 100):
        held.mark_saved()
    assert held.nbytes == 0
    put(held, WHOLE, [BEGIN], [[0, 1, 1_000]])
    found = held.window(WHOLE, BEGIN, BEGIN + HOUR)
    assert found is not None
    assert found.tolist() == [50, 1, sum(range(50)) + 1_000]


def test_old_panes_go_and_their_totals_later() -> None:
    disk = Disk()
    held = panes(disk, base=DAY)
    put(held, WHOLE, [BEGIN, BEGIN + DAY], [[5, 2, 0], [7, 7, 0]])
    put(held, PART, [BEGIN], [[2, 1, 0]])
    held.expire(BEGIN + DAY, BEGIN)
    disk.save(held.change(BEGIN + DAY))
    assert held.ends(BEGIN + 2 * DAY) == [(BEGIN + 2 * DAY, PART)]
    held.end(PART)
    assert held.ends(BEGIN + 2 * DAY) == []
    assert set(disk.held) == {(WHOLE, BEGIN + DAY)}
    found = held.window(WHOLE, BEGIN, BEGIN + 2 * DAY)
    assert found is not None
    assert found.tolist() == [7, 7, 0]
    assert held.arrays()[2].tolist() == [5, 7]
    held.expire(BEGIN + DAY, BEGIN + DAY)
    assert held.arrays()[2].tolist() == [7]


def test_a_series_made_anew_leaves_nothing_behind() -> None:
    disk = Disk()
    held = panes(disk)
    put(held, WHOLE, [BEGIN], [[5, 2, 0]])
    disk.save(held.change(None))
    held.mark_saved()
    held.drop(WHOLE)
    disk.save(held.change(None))
    assert not disk.held
    assert held.window(WHOLE, BEGIN, BEGIN + DAY) is None
