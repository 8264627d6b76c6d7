"""Sliding windows against a brute-force oracle, whatever the batches, the interleaving and the restarts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.layout import COLUMNS
from monitor.common.durations import DAY, HOUR, MINUTE, parse_duration
from monitor.common.window_step import window_step
from monitor.config.model import ColumnsSection, ModelSection
from monitor.daemon.ordering import EventTimeBuffer
from monitor.reference.by_version import ReferencesByVersion
from monitor.rows.records import Decoded, ModelRows, Partition, Position
from monitor.state.checkpoint import LoadedModel
from monitor.state.window_state import changes, restore
from monitor.windows.panes import EMPTY
from monitor.windows.series import ALL, OVERFLOW, CountSpec, DueWindow, SeriesEnd, SeriesKey
from monitor.windows.windows import ModelWindows

SUBJECTS = 2
PANE, LATENESS = MINUTE, 2 * MINUTE
START = 1_364_882_400_000


def model(max_series: int = 50, windows: tuple[str, ...] = ("3m", "10m")) -> ModelSection:
    return ModelSection(
        name="m",
        task="binary",
        reference="r.parquet",  # type: ignore[arg-type]  # pydantic makes it a path
        pane="1m",  # type: ignore[arg-type]  # and this milliseconds
        lateness="2m",  # type: ignore[arg-type]
        windows=list(windows),
        segments=["s"],
        max_series=max_series,
        columns=ColumnsSection(timestamp="t", prediction="p"),
    )


@dataclass(frozen=True)
class Row:
    """One record; `version` and `segment` are its series, `code` the column of its first subject."""

    time: int
    code: int
    version: str = "1"
    segment: str | None = "s=a"


def chunk(partition: Partition, rows: list[Row], first: int) -> Decoded:
    size = len(rows)
    times = np.array([row.time for row in rows], dtype=np.int64)
    codes = np.array([[row.code, 0] for row in rows], dtype=np.int64).reshape(size, SUBJECTS)
    z = codes.astype(np.float64)
    versions = np.array([row.version for row in rows], dtype=object)
    segments = np.empty(size, dtype=object)
    segments[:] = [row.segment for row in rows]
    mine = ModelRows("m", np.arange(size), times, codes, z, versions, (segments,))
    offsets = np.arange(first, first + size)
    return Decoded(partition, offsets, np.zeros(size, dtype=np.int64), times, {}, {}, (mine,), first + size)


Judged = dict[tuple[str, int, str, str], tuple[int, tuple[int, ...], float, tuple[int, int] | None]]


def printed(fingerprint: str) -> ReferencesByVersion:
    """References that are known by their fingerprint alone."""
    references = ReferencesByVersion((), {})
    references.__dict__["fingerprints"] = (fingerprint,)
    return references


class Watched(ModelWindows):
    """Windows alone, as the intake sees a model."""

    def finish(self, latest: int) -> Iterator[DueWindow | SeriesEnd]:
        return self.advance((latest // self.pane + 1) * self.pane + self.lateness)


class Rig:
    """Windows and their intake, with what every due window held when it was due."""

    def __init__(self, section: ModelSection) -> None:
        self.section = section
        self.windows = Watched(section, [CountSpec(SUBJECTS)])
        self.intake = EventTimeBuffer({"m": self.windows}, lambda *_: None)
        self.judged: Judged = {}

    def feed(self, partition: Partition, rows: list[Row], first: int) -> None:
        self.intake.offer(chunk(partition, rows, first))
        self.look(self.intake.drain())

    def look(self, dues: Iterator[tuple[str, DueWindow | SeriesEnd | None]]) -> None:
        windows = self.windows
        for _, due in dues:
            if not isinstance(due, DueWindow):
                continue
            ranges = windows.offsets.window(due)
            for key, series in windows.series.items():
                counts = series.rings[due.window.step].window(due.start, due.end)
                if int(counts.rows):
                    self.judged[due.window.name, due.end, key.version, key.segment] = (
                        int(counts.rows),
                        tuple(counts.bins[0].tolist()),
                        float(counts.moments[0, 0]),
                        ranges.get(Partition("t", 0)),
                    )

    def restart(self) -> Rig:
        """A new process on what a checkpoint has saved."""
        # Everything counts as changed: the store, which keeps what has not, has tests of its own.
        for series in self.windows.series.values():
            for ring in series.rings.values():
                ring.dirty[:] = ring.starts != EMPTY
        self.windows.offsets.touch_all()
        saved: LoadedModel = changes(self.windows, printed("print"), fresh=False).model
        fresh = Rig(self.section)
        assert restore(fresh.windows, saved, printed("print"))
        fresh.intake.positions = dict(self.intake.positions)
        fresh.intake.active = self.intake.active
        fresh.judged = self.judged
        return fresh


def on_time(rows: list[Row]) -> list[bool]:
    clock, kept = -(2**62), []
    for row in rows:
        clock = max(clock, row.time)
        kept.append(row.time // PANE * PANE + PANE > clock - LATENESS)
    return kept


def expected(partitions: dict[Partition, list[Row]], judged: Judged, section: ModelSection) -> Judged:
    """What each judged window must hold, counted row by row."""
    kept = [
        (row, place, partition)
        for partition, rows in partitions.items()
        for place, (row, good) in enumerate(zip(rows, on_time(rows), strict=True))
        if good
    ]
    found: Judged = {}
    for name, end, version, segment in judged:
        start = end - parse_duration(name)
        # Offsets are kept for a window's panes as a whole, for all series.
        window = [item for item in kept if start <= item[0].time < end]
        mine = [row for row, _, _ in window if row.version == version and segment in (ALL, row.segment)]
        bins = np.bincount([row.code for row in mine], minlength=COLUMNS)
        places = [place for _, place, partition in window if partition == Partition("t", 0)]
        ranges = (min(places), max(places)) if places else None
        found[name, end, version, segment] = (len(mine), tuple(bins.tolist()), sum(row.code for row in mine), ranges)
    return found


rows_strategy = st.lists(
    st.builds(
        Row,
        st.integers(0, 40 * MINUTE).map(lambda ahead: START + ahead),
        st.integers(0, 5),
        st.sampled_from(["1", "2"]),
        st.sampled_from(["s=a", "s=b", None]),
    ),
    max_size=60,
)


def roughly_in_order(rows: list[Row], jitter: int) -> list[Row]:
    return [row for _, row in sorted(enumerate(rows), key=lambda item: item[1].time // jitter)]


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(rows_strategy, rows_strategy, st.sampled_from([1, 5, 60]), st.randoms(use_true_random=False))
def test_windows_hold_exactly_the_rows_that_came_in_time(
    one: list[Row], two: list[Row], minutes: int, dice: random.Random
) -> None:
    jitter = minutes * MINUTE
    partitions = {Partition("t", 0): roughly_in_order(one, jitter), Partition("t", 1): roughly_in_order(two, jitter)}
    results = []
    for _ in range(2):
        rig = Rig(model())
        given_to = dict.fromkeys(partitions, 0)
        while True:
            # A partition that has come to its end is proven idle: nobody waits for it any longer.
            rig.intake.active = frozenset(p for p, rows in partitions.items() if given_to[p] < len(rows))
            rig.look(rig.intake.drain())
            open_ones = [
                partition
                for partition, rows in partitions.items()
                if given_to[partition] < len(rows) and partition not in rig.intake.crowded()
            ]
            if not open_ones:
                break
            partition = dice.choice(open_ones)
            first = given_to[partition]
            size = dice.randint(1, 12)
            rig.feed(partition, partitions[partition][first : first + size], first)
            given_to[partition] = min(first + size, len(partitions[partition]))
            if dice.random() < 0.2:
                # A crash: what waited is gone and is read again from the saved positions.
                rig = rig.restart()
                for again in partitions:
                    given_to[again] = rig.intake.positions.get(again, Position(0)).offset
        assert not rig.intake.crowded()
        rig.look(rig.intake.flush())
        assert rig.judged == expected(partitions, rig.judged, rig.section)
        late = sum(not good for rows in partitions.values() for good in on_time(rows))
        assert rig.windows.tally.late == late
        assert sum(rig.windows.tally.rows.values()) == len(one) + len(two) - late
        results.append(rig.judged)
    assert results[0] == results[1]


@settings(max_examples=60, deadline=None)
@given(rows_strategy)
def test_when_the_log_ends_every_window_is_judged_that_ends_with_its_last_pane_and_none_later(rows: list[Row]) -> None:
    rows = sorted(rows, key=lambda row: row.time)
    rig = Rig(model())
    rig.intake.active = frozenset([Partition("t", 0)])
    rig.feed(Partition("t", 0), rows, 0) if rows else None
    rig.look(rig.intake.flush())
    last = (max(row.time for row in rows) // MINUTE + 1) * MINUTE if rows else 0
    assert all(end <= last for _, end, _, _ in rig.judged)
    for row in rows:
        for window in rig.windows.windows:
            ends = {end for name, end, _, _ in rig.judged if name == window.name}
            # The first window that is judged ends one step after the series began.
            first = row.time // window.step * window.step + window.step
            assert (first in ends) == (first <= last)


def test_a_partition_that_is_not_idle_holds_the_watermark_back_and_an_idle_one_does_not() -> None:
    slow, fast = Partition("t", 0), Partition("t", 1)
    rig = Rig(model())
    rig.intake.active = frozenset([slow, fast])
    rig.feed(slow, [Row(START, 1)], 0)
    rig.feed(fast, [Row(START + step * MINUTE, 1) for step in range(100)], 0)
    assert rig.windows.watermark == START - LATENESS
    assert fast in rig.intake.crowded()
    rig.intake.active = frozenset([fast])
    rig.look(rig.intake.drain())
    assert rig.windows.watermark == START + 99 * MINUTE - LATENESS
    # What comes back behind the watermark is late, though its own partition has not moved on.
    rig.intake.active = frozenset([slow, fast])
    rig.feed(slow, [Row(START + MINUTE, 1)], 1)
    assert rig.windows.tally.late == 1


def test_a_flood_of_versions_ends_in_one_series() -> None:
    rig = Rig(model(max_series=6))
    rig.intake.active = frozenset([Partition("t", 0)])
    rig.feed(Partition("t", 0), [Row(START, 1, version=str(number)) for number in range(100)], 0)
    assert len(rig.windows.series) == 7
    assert rig.windows.tally.overflow > 0
    assert len(rig.windows.tally.rows) == 7
    assert sum(rig.windows.tally.rows.values()) == 100
    overflow = rig.windows.series[SeriesKey(OVERFLOW, ALL)]
    assert overflow.rings[MINUTE].window_rows(START, START + MINUTE) == rig.windows.tally.overflow


def test_a_series_without_rows_for_its_longest_window_ends_and_memory_is_given_back() -> None:
    rig = Rig(model())
    rig.intake.active = frozenset([Partition("t", 0)])
    rig.feed(Partition("t", 0), [Row(START, 1, version="old")], 0)
    before = rig.windows.nbytes
    later = [Row(START + step * MINUTE, 1, version="new") for step in range(1, 40)]
    for place, row in enumerate(later):
        rig.feed(Partition("t", 0), [row], 1 + place)
    assert {key.version for key in rig.windows.series} == {"new"}
    assert SeriesKey("old", ALL) in rig.windows.ended
    assert rig.windows.nbytes == before


@pytest.mark.long
def test_memory_does_not_grow_with_rows_or_time() -> None:
    rig = Rig(model(windows=("10m", "24h")))
    rig.intake.active = frozenset([Partition("t", 0)])
    sizes = set()
    for day in range(4):
        rows = [Row(START + day * DAY + step * 7 * MINUTE, step % 5) for step in range(200)]
        for place, row in enumerate(rows):
            rig.feed(Partition("t", 0), [row], day * 200 + place)
        sizes.add(rig.windows.nbytes)
    assert len(sizes) == 1


def test_a_long_silence_is_jumped_over() -> None:
    rig = Rig(model())
    rig.intake.active = frozenset([Partition("t", 0)])
    rig.feed(Partition("t", 0), [Row(START, 1)], 0)
    rig.feed(Partition("t", 0), [Row(START + 3650 * DAY, 1)], 1)
    rig.look(rig.intake.flush())
    assert len(rig.judged) < 100


@pytest.mark.parametrize(
    ("length", "pane", "step"),
    [
        (15 * MINUTE, MINUTE, MINUTE),
        (HOUR, MINUTE, MINUTE),
        (DAY, MINUTE, 15 * MINUTE),
        (7 * DAY, MINUTE, 2 * HOUR),
        (28 * DAY, DAY, DAY),
        (90 * MINUTE, 5 * MINUTE, 5 * MINUTE),
        (365 * DAY, HOUR, 5 * DAY),
    ],
)
def test_long_windows_slide_by_about_a_hundredth(length: int, pane: int, step: int) -> None:
    assert window_step(length, pane) == step


def test_counts_made_with_another_reference_or_shape_are_not_used() -> None:
    rig = Rig(model())
    rig.intake.active = frozenset([Partition("t", 0)])
    rig.feed(Partition("t", 0), [Row(START, 1)], 0)
    saved = changes(rig.windows, printed("print"), fresh=False).model
    assert not restore(ModelWindows(model(windows=("5m",)), [CountSpec(SUBJECTS)]), saved, printed("print"))
    again = ModelWindows(model(), [CountSpec(SUBJECTS)])
    assert restore(again, saved, printed("print"))
    assert set(again.series) == set(rig.windows.series)
    # A version that has got another reference fills its windows anew, and what was kept of it is dropped.
    other = ModelWindows(model(), [CountSpec(SUBJECTS)])
    assert restore(other, saved, printed("another print"))
    assert other.series == {}
    assert set(other.ended) == set(rig.windows.series)
