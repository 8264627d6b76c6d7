"""A model's sliding windows: rows go into panes by their event time, windows are sums of panes.

Which pane a row belongs to and whether it is late depend on nothing but the order of rows within its own partition, so
counts do not depend on batch sizes, on how partitions interleave, or on restarts.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.layout import COLUMNS
from monitor.counting import count_groups
from monitor.durations import DAY, parse_duration
from monitor.lives import Life, Lifetimes
from monitor.panes import Pane, PaneRing, rows_alone
from monitor.pyramid import SLACK_PANES, Window, ring_capacities, window_step
from monitor.record_faults import RecordFaults
from monitor.schema_changes import SchemaChanges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from monitor.config import ModelSection
    from monitor.records import ModelRows, Partition

ALL = "all"
OVERFLOW = "overflow"
UNVERSIONED = "-"
NO_EXTRA = np.zeros(0, dtype=np.int64)


class SeriesKey(NamedTuple):
    """One (version, segment) of a model."""

    version: str
    segment: str


class Extra(Protocol):
    """Something that is counted beside the subjects: sums of whole numbers, so that panes add up exactly."""

    @property
    def width(self) -> int:
        """How many numbers."""

    def count(self, rows: ModelRows, groups: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """int64[size, width]: the sums of each group of rows (groups int64[n], from 0 to ``size`` − 1)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is counted of rows that were encoded with one reference.

    Attributes:
        subjects: S.
        whole: counted beside them in the series of all rows.
        part: counted beside them in segments.
        fingerprint: changes whenever what is counted does.
    """

    subjects: int
    whole: tuple[Extra, ...] = ()
    part: tuple[Extra, ...] = ()
    fingerprint: str = ""

    def extras(self, segment: str) -> tuple[Extra, ...]:
        """What is counted beside the subjects in a segment."""
        return self.whole if segment == ALL else self.part


@dataclass(slots=True)
class Series:
    """The state of one series.

    Attributes:
        rings: by pane length.
        lives: from when to when it has rows; the first is the present one.
        profile: which reference its counts are made by.
        flagged: starts of days in which a window was found drifted; kept for rolling references.
        touched: something but its rings has changed since it was saved.
    """

    rings: dict[int, PaneRing]
    lives: tuple[Life, ...]
    profile: int = 0
    flagged: set[int] = field(default_factory=set)
    touched: bool = False

    @property
    def started(self) -> int:
        """Start of the first pane of its present life, epoch ms."""
        return self.lives[0].first


@dataclass(frozen=True, slots=True)
class Due:
    """A window that the watermark has passed: [start, end)."""

    window: Window
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SeriesEnd:
    """A series of which no window holds a row any more ends at an event time, epoch ms.

    Attributes:
        realised: what ends is its realised performance, not its windows.
    """

    key: SeriesKey
    end: int
    realised: bool = False


@dataclass(slots=True)
class Tally:
    """What became of rows.

    Attributes:
        rows: version → rows counted, since the state began; so are ``late`` and ``overflow``.
        late: rows whose pane had closed.
        overflow: rows counted in the overflow series.
        columns: for each reference int64[S, COLUMNS], what the values of all rows were, since the process began.
    """

    columns: list[NDArray[np.int64]]
    rows: dict[str, int] = field(default_factory=dict)
    late: int = 0
    overflow: int = 0


class ModelWindows:
    """All series of one model.

    Args:
        model: its configuration.
        shapes: what is counted, for each of the model's references.
    """

    def __init__(self, model: ModelSection, shapes: Sequence[Shape]) -> None:
        self.name, self.pane, self.lateness = model.name, model.pane, model.lateness
        self.windows = tuple(
            Window(name, length, window_step(length, model.pane))
            for name, length in sorted(
                ((name, parse_duration(name)) for name in model.windows), key=lambda item: item[1]
            )
        )
        self.capacities = ring_capacities(self.windows, self.pane, self.lateness, model.drift.rolling)
        self.slack = SLACK_PANES * self.pane
        self.longest = self.windows[-1].length
        # A rolling reference looks back from the start of the window, by whole days.
        self.rolling = model.drift.rolling
        self.memory = self.longest + (0 if self.rolling is None else self.rolling + DAY)
        self.lifetimes = Lifetimes(self.memory + self.pane, min(window.step for window in self.windows))
        self.max_series = model.max_series
        self.shapes = tuple(shapes)
        self.series: dict[SeriesKey, Series] = {}
        self.ended: list[SeriesKey] = []
        self.watermark: int | None = None
        self.evaluated: dict[str, int] = {}
        # Windows that have ended and are to be yielded next; no rows are added between them.
        self.ahead: deque[Due] = deque()
        self.tally = Tally([np.zeros((shape.subjects, COLUMNS), dtype=np.int64) for shape in self.shapes])
        self.offsets: dict[int, dict[int, dict[Partition, tuple[int, int]]]] = {step: {} for step in self.capacities}
        self.dirty_offsets: set[tuple[int, int]] = set()
        self.schema = SchemaChanges()
        self.faults = RecordFaults(model.pane)

    def add(self, rows: ModelRows, clocks: NDArray[np.int64], offsets: NDArray[np.int64], partition: Partition) -> None:
        """Counts rows of one partition.

        Args:
            rows: in the partition's order.
            clocks: int64[n], greatest event time of the partition up to and including each row.
            offsets: int64[n], offset of each row's message.
            partition: where they came from.
        """
        panes, on_time = self.on_time(rows.times, clocks)
        self.tally.late += int((~on_time).sum())
        if not on_time.any():
            return
        kept = np.flatnonzero(on_time)
        panes = panes[kept]
        self._remember_offsets(panes, offsets[kept], partition)
        rows = rows if len(kept) == len(on_time) else rows.take(kept)
        if rows.unknown:
            self.schema.take(
                (int(panes[place]), str(rows.versions[place]), rows.unknown[row])
                for place, row in enumerate(rows.index.tolist())
                if row in rows.unknown
            )
        for version, count in zip(*np.unique(rows.versions.astype(str), return_counts=True), strict=True):
            # A field full of ids, taken for the version, must not fill the memory and the metrics page.
            known = version in self.tally.rows or len(self.tally.rows) < self.max_series
            name = str(version) if known else OVERFLOW
            self.tally.rows[name] = self.tally.rows.get(name, 0) + int(count)
        self._count(rows, None, panes)
        for labels in rows.segments:
            held = np.flatnonzero(labels != np.array(None))
            self._count(rows.take(held), labels[held], panes[held])

    def on_time(
        self, times: NDArray[np.int64], clocks: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """int64[n], the start of each row's pane; bool[n], whether it is still open."""
        panes = times // self.pane * self.pane
        closed = clocks - self.lateness
        if self.watermark is not None:
            # A partition that was idle while others went on comes back behind the watermark.
            closed = np.maximum(closed, self.watermark)
        return panes, panes + self.pane > closed

    def repeat(self, rows: ModelRows, clocks: NDArray[np.int64]) -> None:
        """Rows that are counted already came again: in their panes, the last of the extra numbers counts how many."""
        panes, on_time = self.on_time(rows.times, clocks)
        shape = self.shapes[rows.profile]
        again = Counter(zip(rows.versions[on_time].tolist(), panes[on_time].tolist(), strict=True))
        for (version, start), count in again.items():
            series = self.series.get(SeriesKey(version, ALL))
            if series is None or series.profile != rows.profile:
                continue
            extra = np.zeros(sum(part.width for part in shape.whole), dtype=np.int64)
            extra[-1] = count
            for step, ring in series.rings.items():
                ring.add(rows_alone(start // step * step, 0, shape.subjects, extra))

    def _count(self, rows: ModelRows, labels: NDArray[np.object_] | None, panes: NDArray[np.int64]) -> None:
        if not len(panes):
            return
        versions, shape = rows.versions, self.shapes[rows.profile]
        # Groups are numbered through (pane, series); there are few of them, so the loop below is short.
        numbers: dict[tuple[str, str], int] = {}
        segments = [ALL] * len(panes) if labels is None else labels
        owner = np.array(
            [numbers.setdefault(pair, len(numbers)) for pair in zip(versions, segments, strict=True)], dtype=np.int64
        )
        keys = [SeriesKey(*pair) for pair in numbers]
        distinct, place = np.unique(panes, return_inverse=True)
        pairs, groups = np.unique(place * len(keys) + owner, return_inverse=True)
        counted = count_groups(rows.codes, rows.z, groups, len(pairs))
        extras = shape.extras(ALL if labels is None else "")
        parts = [extra.count(rows, groups, len(pairs)) for extra in extras]
        extra = np.concatenate(parts, axis=1) if parts else np.zeros((len(pairs), 0), dtype=np.int64)
        if labels is None:
            self.tally.columns[rows.profile] += counted.bins.sum(axis=0)
        for group, pair in enumerate(pairs.tolist()):
            start = int(distinct[pair // len(keys)])
            pane = Pane(
                start,
                int(counted.rows[group]),
                counted.bins[group],
                counted.moments[group],
                counted.extremes[group],
                extra[group],
            )
            key = keys[pair % len(keys)]
            series = self._series(key, start, pane.rows, rows.profile)
            if series is self.series.get(SeriesKey(OVERFLOW, ALL)):
                # It is never judged, and takes in rows of any reference and segment: it counts rows alone.
                pane = rows_alone(pane.start, pane.rows, self.shapes[0].subjects, NO_EXTRA)
            # Rows of one chunk come in any order of time, and so do chunks of different partitions.
            series.lives = self.lifetimes.extended(series.lives, start)
            for step, ring in series.rings.items():
                ring.add(replace(pane, start=start // step * step))

    def new_series(self, key: SeriesKey, profile: int, lives: tuple[Life, ...]) -> Series:
        """An empty series."""
        shape = self.shapes[profile]
        extra = 0 if key.version == OVERFLOW else sum(extra.width for extra in shape.extras(key.segment))
        rings = {step: PaneRing(step, size, shape.subjects, extra) for step, size in self.capacities.items()}
        return Series(rings, lives, profile)

    def _series(self, key: SeriesKey, start: int, rows: int, profile: int) -> Series:
        series = self.series.get(key)
        if series is None and len(self.series) >= self.max_series and key != SeriesKey(OVERFLOW, ALL):
            # A flood of versions or segments ends in one series, so memory and metrics stay bounded.
            self.tally.overflow += rows
            return self._series(SeriesKey(OVERFLOW, ALL), start, rows, 0)
        if series is None:
            series = self.series[key] = self.new_series(key, profile, (Life(start, start),))
        return series

    def _remember_offsets(self, panes: NDArray[np.int64], offsets: NDArray[np.int64], partition: Partition) -> None:
        for start in np.unique(panes).tolist():
            held = offsets[panes == start]
            first, last = int(held.min()), int(held.max())
            for step, ledger in self.offsets.items():
                bucket = ledger.setdefault(start // step * step, {})
                old = bucket.get(partition, (first, last))
                bucket[partition] = (min(first, old[0]), max(last, old[1]))
                self.dirty_offsets.add((step, start // step * step))

    def horizon(self, floor: int) -> int:
        """Rows up to this event time may be added while the slowest partition stands at ``floor``."""
        return floor + self.slack

    def advance(self, clock: int) -> Iterator[Due | SeriesEnd]:
        """Moves the watermark behind ``clock`` (event time, ms); yields each window that it passes and each series
        that ends on its way, in the order of their ends.

        Each item is to be dealt with before the next one is asked for. The watermark moves on with the items, so they
        may be asked for later, or not at all: the next call then goes on after the last one.
        """
        target = clock - self.lateness
        if self.watermark is not None and target <= self.watermark:
            return
        passed = self._passed(target)
        self.ahead = deque(item for item in passed if isinstance(item, Due))
        for item in passed:
            self.watermark = item.end if self.watermark is None else max(self.watermark, item.end)
            if isinstance(item, Due):
                self.evaluated[item.window.name] = self.ahead.popleft().end
            else:
                self._end(item.key)
            yield item
        self.watermark = target
        self._retire()

    def _passed(self, target: int) -> list[Due | SeriesEnd]:
        """What ends up to an event time and is not dealt with yet, in order."""
        found: list[Due | SeriesEnd] = [
            SeriesEnd(key, end)
            for key, series in sorted(self.series.items())
            for life in series.lives
            if (end := self.lifetimes.end(life.last)) <= target
        ]
        alive = self._alive()
        for window in self.windows:
            done = self.evaluated.get(window.name)
            for first, over in alive:
                # A window that ends before the first row, or when no series is left, is not judged.
                begin = first // window.step * window.step
                begin = begin if done is None else max(done, begin)
                ends = range(begin + window.step, min(over, target + 1), window.step)
                found += [Due(window, end - window.length, end) for end in ends]
        return sorted(found, key=_order)

    def _alive(self) -> list[tuple[int, int]]:
        """Stretches of event time [first row, end) in which some series lives; in order, none overlaps."""
        spans = sorted(
            (life.first, self.lifetimes.end(life.last)) for series in self.series.values() for life in series.lives
        )
        found: list[tuple[int, int]] = []
        for first, over in spans:
            if found and first < found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], over))
            else:
                found.append((first, over))
        return found

    def _end(self, key: SeriesKey) -> None:
        """The present life of a series is over; rows of its next one may be here already."""
        series = self.series[key]
        if len(series.lives) > 1:
            series.lives = series.lives[1:]
            series.touched = True
        else:
            del self.series[key]
            self.ended.append(key)

    def _retire(self) -> None:
        """Drops days and ledgers that no window can reach any more."""
        assert self.watermark is not None
        oldest = self.watermark - self.memory - self.pane
        for series in self.series.values():
            series.flagged = {day for day in series.flagged if day >= oldest - DAY}
        oldest = self.watermark - self.longest - self.pane
        for step, ledger in self.offsets.items():
            for start in [start for start in ledger if start + step <= oldest]:
                del ledger[start]

    def window_offsets(self, due: Due) -> dict[Partition, tuple[int, int]]:
        """First and last offset, by partition, of the messages that fed a window."""
        ranges: dict[Partition, tuple[int, int]] = {}
        ledger = self.offsets[due.window.step]
        starts = range(due.start, due.end, due.window.step)
        for start in starts if len(starts) < len(ledger) else [start for start in ledger if start in starts]:
            for partition, (first, last) in ledger.get(start, {}).items():
                old = ranges.get(partition, (first, last))
                ranges[partition] = (min(first, old[0]), max(last, old[1]))
        return ranges

    @property
    def nbytes(self) -> int:
        """Bytes of all panes."""
        return sum(ring.nbytes for series in self.series.values() for ring in series.rings.values())


def _order(item: Due | SeriesEnd) -> tuple[int, int]:
    """By end; at one time a series ends before windows are judged, and short windows are judged before long ones."""
    return item.end, item.window.length if isinstance(item, Due) else 0
